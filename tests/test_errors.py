"""Bad settings at the Trainer: a named error that says what was expected, what came, and what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from models import data, make

import aefast
from aefast import backends
from aefast.errors import unknown_name

MLP = aefast.Topology.mlp([13, 4, 13])
SIGMOID = aefast.Topology.mlp([13, 4, 13], output_activation="sigmoid")
VARIATIONAL = aefast.Topology.mlp([13, 4, 13], variational=True)


@pytest.mark.parametrize(
    ("topology", "settings", "words"),
    [
        (MLP, {"loss": "mes"}, "Did you mean 'mse'"),
        (MLP, {"loss": "bce"}, "output_activation must be 'sigmoid', not 'identity'"),
        (MLP, {"reduction": "median"}, "known: mean, sum"),
        (VARIATIONAL, {}, "reduction must be 'sum', not 'mean'"),
        (MLP, {"sparsity": aefast.Sparsity("kl")}, r"code in \(0, 1\).*'sigmoid', not 'identity'"),
        (VARIATIONAL, {"sparsity": aefast.Sparsity("kl"), "reduction": "sum"}, "KL sparsity"),
        (MLP, {"optimizer": "adamm"}, "Did you mean 'adam'"),
        (MLP, {"schedule": "cosin"}, "Did you mean 'cosine'"),
        (MLP, {"nonfinite": "ignore"}, "known: raise, skip, propagate"),
        (MLP, {"dtype": "float16"}, "unknown dtype 'float16'"),
        (MLP, {"batch_size": 0}, "batch_size must be an integer of at least 1, but is 0"),
        (MLP, {"n_threads": 0}, r"n_threads must be an integer in \[1, 1024\] or None, but is 0"),
        (MLP, {"weight_decay": -1.0}, r"weight_decay must be a number in \[0, inf\), but is -1.0"),
        (MLP, {"weight_decay": math.nan}, "weight_decay"),
        (MLP, {"warmup_steps": -1}, "warmup_steps"),
        (VARIATIONAL, {"beta": math.nan, "reduction": "sum"}, "beta must be a number"),
        (VARIATIONAL, {"free_bits": -1.0, "reduction": "sum"}, "free_bits"),
        (VARIATIONAL, {"kl_warmup_epochs": -1.0, "reduction": "sum"}, "kl_warmup_epochs"),
        (MLP, {"clip_norm": 0.0}, r"clip_norm must be a number in \(0, inf\] or None"),
        (MLP, {"clip_norm": math.nan}, "clip_norm"),
        (MLP, {"ema": 1.0}, r"ema must be a number in \[0, 1\) or None"),
        (MLP, {"seed": -1}, r"seed must be an integer in \[0, 2\^64\), but is -1"),
        (MLP, {"seed": 2**64}, "seed"),
        (MLP, {"learning_rate": math.inf}, "learning_rate must be a number"),
        (MLP, {"learning_rate": -1.0}, "learning_rate"),
        (MLP, {"feature_weight": np.ones(12)}, r"feature_weight must have shape \(13,\).*shape \(12,\)"),
        (MLP, {"feature_weight": -np.ones(13)}, "at least 0.*feature 0 is -1"),
        (MLP, {"feature_weight": [math.nan] * 13}, "feature 0 is nan"),
        (MLP, {"feature_weight": np.zeros(13)}, "all are 0"),
        (MLP, {"backend": "cuba"}, "unknown backend 'cuba'"),
    ],
)
def test_trainer_settings(topology: aefast.Topology, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        aefast.Trainer(topology, **{"backend": "numpy", **settings})


def test_an_optimizer_is_a_name_or_a_row() -> None:
    with pytest.raises(TypeError, match=r"a name or an aefast\.optim dataclass, but is float"):
        aefast.Trainer(MLP, optimizer=0.1)  # type: ignore[arg-type]


def test_an_explicit_backend_never_falls_back() -> None:
    with pytest.raises(aefast.BackendUnavailableError, match="bfloat16"):
        aefast.Trainer(MLP, backend="numba", dtype="bfloat16")
    if backends.available("cpu"):
        with pytest.raises(aefast.BackendUnavailableError, match=r"cpu: .*float64"):
            aefast.Trainer(MLP, backend="cpu", dtype="float64")
        assert aefast.Trainer(MLP, dtype="float64").backend_name != "cpu"
        assert aefast.Trainer(MLP).backend_name == "cpu"


def test_auto_names_every_backends_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "supports_plan", lambda *_: backends.Support(False, "not this one"))
    with pytest.raises(aefast.BackendUnavailableError) as caught:
        aefast.Trainer(MLP)
    assert all(f"{name}:" in str(caught.value) for name in backends.NAMES)


def test_an_elbo_needs_a_variational_model_with_a_likelihood() -> None:
    with pytest.raises(ValueError, match="deterministic with loss 'mse'"):
        make("vanilla mse", "numpy").elbo(data(5))
    huber = aefast.Trainer(VARIATIONAL, loss="huber", reduction="sum", backend="numpy")
    with pytest.raises(ValueError, match="variational with loss 'huber'"):
        huber.elbo(data(5))


def test_a_bound_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="n_samples must be at least 1, but is 0"):
        make("variational", "numpy").elbo(data(5), 0)


@pytest.mark.parametrize(
    "method", ["encode", "reconstruct", "step", "gradients", "evaluate", "sample_losses"]
)
def test_widths_are_checked_everywhere(method: str) -> None:
    with pytest.raises(ValueError, match="12 features, but 13 were expected"):
        getattr(make("vanilla mse", "numpy"), method)(np.zeros((4, 12)))


def test_codes_are_checked_by_name() -> None:
    with pytest.raises(ValueError, match="Z has 3 features, but 4 were expected"):
        make("vanilla mse", "numpy").decode(np.zeros((2, 3)))


@pytest.mark.parametrize("method", ["step", "gradients", "evaluate"])
@pytest.mark.parametrize("weights", [np.ones(3), -np.ones(5), np.full(5, np.nan)])
def test_weights_are_checked_everywhere(method: str, weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sample_weight"):
        getattr(make("vanilla mse", "numpy"), method)(data(5), weights)


def test_weights_may_be_a_list() -> None:
    made = make("vanilla mse", "numpy")
    assert made.gradients(data(2), [1, 3])[0] == made.gradients(data(2), np.array([1.0, 3.0]))[0]


def test_unknown_names_are_answered() -> None:
    assert (
        str(unknown_name("thing", "abb", ["ab", "zz"]))
        == "unknown thing 'abb'; known: ab, zz. Did you mean 'ab'?"
    )
    assert str(unknown_name("thing", None, ["ab"])) == "unknown thing None; known: ab."


def test_backends_are_told_with_reasons() -> None:
    told = aefast.backends()
    assert list(told) == list(backends.NAMES) and told["numpy"] == "available"
