"""Arguments that can't be: each call answers with an error of the right class that names what was wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from models import make

import aefast
from aefast import activations, backends, callbacks, losses, optim, schedules, threads
from aefast.callbacks import Callback, as_callback, as_callbacks
from aefast.data.rows import as_feature_weight, as_weights
from aefast.data.scaling import Scaling
from aefast.estimators import parameters
from aefast.topology import Layer, Topology

MLP = Topology.mlp([13, 4, 13])
X = np.random.default_rng(0).random((5, 13), np.float32)
HUGE = 10**400


def trainer(**settings: Any) -> aefast.Trainer:
    return aefast.Trainer(**{"topology": MLP, "backend": "numpy", **settings})


def fit(**options: Any) -> object:
    return trainer().fit(X, **{"epochs": 1, **options})


def rule(name: str, value: Any) -> Callable[[], None]:
    return lambda: parameters.check({name: value})


@dataclass(frozen=True)
class Tuned(optim.Adam):
    pass


class Every(Callback):
    def __init__(self, every: Any) -> None:
        self.every = every


WEIGHTS = "sample_weight must hold real numbers"
CASES: dict[str, list[tuple[Callable[[], object], type[Exception], str]]] = {
    "weights": [
        (lambda: as_weights(np.ones(3, complex), 3), TypeError, f"{WEIGHTS}.*complex128"),
        (lambda: as_weights(np.zeros(3, "M8[s]"), 3), TypeError, f"{WEIGHTS}.*datetime64"),
        (lambda: as_weights(["1", "2", "3"], 3), TypeError, f"{WEIGHTS}.*list of dtype <U1"),
        (lambda: as_weights(np.array(["1", "2", 3], object), 3), TypeError, WEIGHTS),
        (lambda: as_weights({"a": 1}, 1), TypeError, f"{WEIGHTS}.*dict"),
        (lambda: as_weights([[1], [1, 2]], 2), TypeError, WEIGHTS),
        (lambda: as_weights([1, HUGE], 2), TypeError, WEIGHTS),
        (lambda: as_weights([1, math.nan, 1], 3), ValueError, "that of row 1 is nan"),
        (lambda: as_weights([1, 1, -2], 3), ValueError, "that of row 2 is -2"),
        (lambda: as_weights([math.inf, 1], 2), ValueError, "that of row 0 is inf"),
        (lambda: as_weights([0, 0], 2), ValueError, "all are 0"),
        (lambda: as_weights(0.0, 2), ValueError, "all are 0"),
        (lambda: as_feature_weight("ab", 2), TypeError, "feature_weight must hold real numbers"),
        (lambda: as_feature_weight([1, -1], 2), ValueError, "feature_weight.*that of feature 1 is -1"),
    ],
    "optimizers": [
        (lambda: optim.Adam(beta1="0.9"), TypeError, "beta1 must be a number in"),
        (lambda: optim.Adam(beta2=True), TypeError, "beta2 must be a number in"),
        (lambda: optim.Adam(eps=0.0), ValueError, r"eps must be a number in \(0, inf\), but is 0.0"),
        (lambda: optim.RMSprop(eps=math.inf), ValueError, "eps"),
        (lambda: optim.RMSprop(alpha=True), TypeError, "alpha"),
        (lambda: optim.Momentum(momentum=None), TypeError, "momentum"),
        (lambda: optim.SGD(learning_rate=math.inf), ValueError, "learning_rate"),
        (lambda: optim.SGD(learning_rate=HUGE), ValueError, "learning_rate"),
        (lambda: optim.SGD(weight_decay="0"), TypeError, "weight_decay"),
        (lambda: trainer(optimizer=optim.Adam), TypeError, r"write Adam\(\)"),
        (lambda: trainer(optimizer=optim.Optimizer()), TypeError, "Optimizer, which no backend knows"),
        (lambda: trainer(optimizer=Tuned()), TypeError, "SGD, .*Tuned, which no backend knows"),
        (lambda: trainer(optimizer=["adam"]), TypeError, r"optimizer must be a name .* list \['adam'\]"),
    ],
    "trainer": [
        (lambda: trainer(topology=[13, 4, 13]), TypeError, r"topology must be a Topology.*Topology\.mlp"),
        (lambda: trainer(corruption="gaussian"), TypeError, r"corruption .* write Corruption\('gaussian'\)"),
        (lambda: trainer(corruption=0.3), TypeError, "corruption must be an aefast.Corruption or None"),
        (lambda: trainer(sparsity="kl"), TypeError, r"sparsity .* write Sparsity\('kl'\)"),
        (lambda: trainer(scaling="standard"), TypeError, r"scaling .*from_data\('standard', X\)"),
        (lambda: trainer(scaling=Scaling(np.ones(2), np.ones(2))), ValueError, r"scaling\.shift .*\(13,\)"),
        (lambda: trainer(learning_rate="0.1"), TypeError, "learning_rate must be a number"),
        (lambda: trainer(learning_rate=None), TypeError, "learning_rate must be a number"),
        (lambda: trainer(weight_decay=True), TypeError, "weight_decay must be a number"),
        (lambda: trainer(beta="1"), TypeError, "beta must be a number"),
        (lambda: trainer(beta=HUGE), ValueError, "beta must be a number"),
        (lambda: trainer(warmup_steps="3"), TypeError, "warmup_steps must be a number"),
        (lambda: trainer(clip_norm="1"), TypeError, "clip_norm must be a number"),
        (lambda: trainer(ema="0.9"), TypeError, "ema must be a number"),
        (lambda: trainer(free_bits=[1]), TypeError, "free_bits must be a number"),
        (lambda: trainer(kl_warmup_epochs=1j), TypeError, "kl_warmup_epochs must be a number"),
        (
            lambda: trainer(batch_size=2.5),
            TypeError,
            "batch_size must be an integer of at least 1, but is 2.5",
        ),
        (lambda: trainer(batch_size=HUGE), ValueError, r"batch_size must be an integer in \[1, 2\^63\)"),
        (lambda: trainer(batch_size=10**5000), ValueError, "batch_size .* an integer of 16610 bits"),
        (lambda: trainer(seed=1.5), TypeError, r"seed must be an integer in \[0, 2\^64\)"),
        (lambda: trainer(seed=True), TypeError, "seed must be an integer"),
        (lambda: trainer(shuffle="no"), TypeError, "shuffle must be True or False"),
        (lambda: trainer(shuffle=None), TypeError, "shuffle must be True or False"),
        (lambda: trainer(n_threads=1025), ValueError, r"n_threads must be an integer in \[1, 1024\]"),
        (lambda: trainer(dtype=np.dtype("float16")), ValueError, "unknown dtype 'float16'"),
        (lambda: trainer(dtype=np.array(["float32"] * 2)), ValueError, "unknown dtype"),
        (lambda: trainer(loss=["mse"]), ValueError, "unknown loss"),
        (lambda: trainer(reduction=np.array(["mean", "sum"])), ValueError, "unknown reduction"),
        (lambda: trainer(schedule=["cosine"]), ValueError, "unknown schedule"),
        (lambda: trainer(nonfinite=["raise"]), ValueError, "unknown nonfinite"),
        (lambda: trainer(backend=["numpy"]), ValueError, "unknown backend"),
        (lambda: fit(epochs="3"), TypeError, "epochs must be an integer of at least 0"),
        (lambda: fit(epochs=2.5), TypeError, "epochs must be an integer"),
        (lambda: fit(epochs=None), TypeError, "epochs must be an integer"),
        (lambda: fit(epochs=True), TypeError, "epochs must be an integer"),
        (lambda: fit(epochs=-1), ValueError, "epochs must be an integer of at least 0, but is -1"),
        (lambda: fit(callbacks=5), TypeError, "a callback must be a function"),
        (lambda: fit(callbacks="stop"), TypeError, "a callback must be a function .* is 'stop'"),
        (lambda: fit(callbacks={}), TypeError, "a callback must be a function"),
        (lambda: fit(callbacks=callbacks.EarlyStopping), TypeError, r"write EarlyStopping\(\.\.\.\)"),
    ],
    "names": [
        (lambda: activations.get(["relu"]), ValueError, "unknown activation"),  # type: ignore[arg-type]
        (lambda: losses.get({}), ValueError, "unknown loss"),  # type: ignore[arg-type]
        (lambda: schedules.factors([], np.zeros(1), np.zeros(1, int)), ValueError, "unknown schedule"),  # type: ignore[arg-type]
        (lambda: backends.get([]), ValueError, "unknown backend"),  # type: ignore[arg-type]
        (lambda: backends.declared([]), ValueError, "unknown backend"),  # type: ignore[arg-type]
    ],
    "regularizers": [
        (lambda: aefast.Corruption("gaussian", math.inf), ValueError, "corruption level of 'gaussian'"),
        (lambda: aefast.Corruption("gaussian", "0.3"), TypeError, "corruption level"),
        (lambda: aefast.Corruption("masking", True), TypeError, "corruption level of 'masking'"),
        (lambda: aefast.Corruption(["gaussian"]), ValueError, "unknown corruption"),
        (lambda: aefast.Corruption(low=math.nan), ValueError, "corruption low must be a finite number"),
        (lambda: aefast.Corruption(high="1"), TypeError, "corruption high must be a finite number"),
        (lambda: aefast.Sparsity(["kl"]), ValueError, "unknown sparsity"),
        (lambda: aefast.Sparsity("l1", math.inf), ValueError, "sparsity weight"),
        (lambda: aefast.Sparsity("l1", "1"), TypeError, "sparsity weight"),
        (lambda: aefast.Sparsity("kl", 1, "0.1"), TypeError, "sparsity target rho"),
        (lambda: aefast.Sparsity("l2", 1, math.nan), ValueError, "sparsity target rho"),
    ],
    "callbacks": [
        (
            lambda: callbacks.EarlyStopping(patience=0),
            ValueError,
            "patience must be an integer of at least 1",
        ),
        (lambda: callbacks.EarlyStopping(patience=1.5), TypeError, "patience"),
        (lambda: callbacks.EarlyStopping(tol=-1), ValueError, "tol must be a number"),
        (lambda: callbacks.EarlyStopping(tol=math.nan), ValueError, "tol must be a number"),
        (lambda: callbacks.EarlyStopping(["loss"]), ValueError, "unknown monitor"),
        (lambda: callbacks.EarlyStopping(restore_best="no"), TypeError, "restore_best"),
        (lambda: callbacks.Checkpoint("a", epochs=0), ValueError, "epochs must be an integer of at least 1"),
        (lambda: callbacks.Checkpoint("a", epochs=1.5), TypeError, "epochs"),
        (lambda: callbacks.Checkpoint("a", every=-1), ValueError, "every must be an integer of at least 0"),
        (lambda: callbacks.Checkpoint(5), TypeError, "path must be a path"),
        (lambda: callbacks.CSVLogger(None), TypeError, "path must be a path"),
        (lambda: callbacks.CSVLogger("a", every=0.5), TypeError, "every"),
        (lambda: callbacks.JSONLLogger("a", append="yes"), TypeError, "append must be True or False"),
        (lambda: as_callback(Every("3")), TypeError, "every of Every must be an integer of at least 0"),
        (lambda: as_callback(Every(-3)), ValueError, "every of Every"),
        (lambda: as_callbacks([Every(True)]), TypeError, "every of Every"),
    ],
    "threads": [
        (lambda: threads.set_num_threads(0), ValueError, r"integer in \[1, 1024\] or None, but is 0"),
        (lambda: threads.set_num_threads(1025), ValueError, "threads must be .* but is 1025"),
        (lambda: threads.set_num_threads(True), TypeError, "threads must be an integer"),
        (lambda: threads.set_num_threads("2"), TypeError, "threads must be an integer"),  # type: ignore[arg-type]
    ],
    "parameters": [
        (rule("n_threads", 1025), ValueError, r"n_threads must be an integer in \[1, 1024\]"),
        (rule("n_components", HUGE), ValueError, r"n_components must be an integer in \[1, 2\^63\)"),
        (rule("epochs", HUGE), ValueError, "epochs"),
        (rule("learning_rate", HUGE), ValueError, "learning_rate"),
        (
            rule("hidden_layer_sizes", np.array(5.5)),
            TypeError,
            "hidden_layer_sizes must be 'auto' or a tuple",
        ),
        (rule("hidden_layer_sizes", np.array(0)), ValueError, "each of hidden_layer_sizes"),
        (rule("random_state", True), TypeError, "random_state must be None, an integer"),
        (rule("random_state", "0"), TypeError, "random_state must be None, an integer"),
        (rule("random_state", 1.0), TypeError, "random_state must be None, an integer"),
        (rule("random_state", 2**64), ValueError, r"random_state must be an integer in \[0, 2\^64\)"),
        (lambda: parameters.seed_of("0"), TypeError, "random_state"),
        (rule("verbose", -1), ValueError, "verbose must be an integer of at least 0"),
        (rule("verbose", "yes"), TypeError, "verbose"),
    ],
    "topology": [
        (lambda: Topology.mlp(5), TypeError, r"widths must be a sequence.*\(784, 32, 784\), but is 5"),
        (lambda: Topology.mlp(None), TypeError, "widths must be a sequence"),
        (lambda: Topology.mlp("585"), TypeError, "widths must be a sequence"),
        (lambda: Topology.mlp(np.array(5)), TypeError, "widths must be a sequence"),
        (lambda: Topology.mlp([5, HUGE, 5]), ValueError, "a width must be an integer"),
        (lambda: Topology.mlp([5, np.array([2]), 5]), TypeError, "a width must be an integer"),
        (lambda: Topology.mlp([5, 2, 5], latent_index="a"), TypeError, "latent_index must be an integer"),
        (lambda: Topology.mlp([5, 2, 5], latent_index=1.0), TypeError, "latent_index must be an integer"),
        (lambda: Topology.mlp([5, 2, 5], latent_index=True), TypeError, "latent_index must be an integer"),
        (lambda: Topology.mlp([5, 2, 5], variational="no"), TypeError, "variational must be True or False"),
        (lambda: Topology.mlp([5, 2, 5], tied_weights="no"), TypeError, "tied_weights must be True or False"),
        (lambda: Topology.mlp([5, 2, 5], activation=["relu"]), ValueError, "unknown activation"),
        (lambda: Topology("abc", 1), TypeError, "layers must be a tuple of aefast.topology.Layer"),
        (lambda: Topology(("a", "b"), 1), TypeError, "layers must be a tuple"),
        (lambda: Topology(MLP.layers, "1"), TypeError, "n_encoder must be an integer"),
        (lambda: Topology(MLP.layers, True), TypeError, "n_encoder must be an integer"),
        (lambda: Topology(MLP.layers, 1, "no"), TypeError, "variational must be True or False"),
        (
            lambda: Topology((Layer(["a"], 3, 2, "relu"), Layer("b", 2, 3, "relu")), 1),
            TypeError,
            "layer's name",
        ),
        (
            lambda: Topology((Layer("a", 3, 2, "relu"), Layer("b", 2, 3, "relu", ["a"])), 1),
            TypeError,
            "layer's tied_to",
        ),
        (lambda: Topology.from_dict({}), ValueError, "a topology lacks layers, n_encoder"),
        (lambda: Topology.from_dict([]), TypeError, "a topology must be a dictionary"),
        (
            lambda: Topology.from_dict({"layers": 5, "n_encoder": 1}),
            TypeError,
            "topology's layers must be a list",
        ),
        (
            lambda: Topology.from_dict({"layers": ["a"], "n_encoder": 1}),
            TypeError,
            "a layer must be a dictionary",
        ),
        (lambda: Topology.from_dict({**MLP.to_dict(), "depth": 2}), ValueError, "a topology has no depth"),
        (lambda: Topology.from_dict({"layers": [{}], "n_encoder": 1}), ValueError, "a layer lacks name"),
    ],
}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        pytest.param(*case, id=f"{part} {number} {case[2][:30]}")
        for part, rows in CASES.items()
        for number, case in enumerate(rows)
    ],
)
def test_what_can_not_be_is_named(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert type(caught.value) is error


@pytest.mark.parametrize("scale", [1e-310, 1e308])
def test_only_the_ratios_of_weights_count(scale: float) -> None:
    weights = np.array([0.25, 1.0, 0.5, 0.0, 1.0])
    scaled = weights * scale
    for one, other in ((weights, scaled), (weights, as_weights(scaled, 5))):
        made = [make("vanilla mse", "numpy") for _ in range(2)]
        assert made[1].step(X, other) == pytest.approx(made[0].step(X, one), rel=1e-6)
        assert made[1].evaluate(X, other) == pytest.approx(made[0].evaluate(X, one), rel=1e-6)
        fits = [m.fit(X, epochs=2, sample_weight=w).loss for m, w in zip(made, (one, other), strict=True)]
        np.testing.assert_allclose(fits[1], fits[0], rtol=1e-5)
    scalings = [Scaling.from_data("standard", X, as_weights(w, 5)) for w in (weights, scaled)]
    for name in ("shift", "scale"):
        np.testing.assert_allclose(*(getattr(scaling, name) for scaling in scalings), rtol=1e-9)


def test_ordinary_weights_keep_their_bits() -> None:
    weights = np.array([1e-90, 3.0, 1e90])
    assert as_weights(weights, 3) is weights
    np.testing.assert_array_equal(as_weights(2, 3), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(as_weights([True, False, True], 3), [1.0, 0.0, 1.0])


def test_what_is_meant_is_taken() -> None:
    for dtype in (np.float64, np.dtype("float64"), np.dtype(">f8")):
        assert trainer(dtype=dtype).dtype == "float64"
    assert type(trainer(batch_size=np.int64(7)).batch_size) is int
    assert len(fit(callbacks=None).loss) == 1  # type: ignore[attr-defined]
    heard: list[Any] = []
    fit(callbacks=lambda model, history: heard.append(history))
    fit(callbacks=iter([lambda model, history: heard.append(history)]))
    assert len(heard) == 2
    assert len(as_callbacks(callbacks.EarlyStopping("loss"))) == 1
    assert parameters.hidden_widths(np.array(5)) == (5,)
    assert Topology.mlp(n for n in (5, 2, 5)) == Topology.mlp(np.array([5, 2, 5])) == Topology.mlp([5, 2, 5])  # type: ignore[arg-type]
    assert Topology(list(MLP.layers), np.int64(1)) == MLP  # type: ignore[arg-type]


def test_threads_may_be_numpys() -> None:
    before = threads.requested()
    try:
        threads.set_num_threads(np.int64(3))  # type: ignore[arg-type]
        assert threads.num_threads() == 3 and type(threads.requested()) is int
    finally:
        threads.set_num_threads(before)


def test_a_seed_is_drawn_from_either_generator() -> None:
    for kind in (np.random.default_rng, np.random.RandomState):
        first, second = kind(3), kind(3)
        drawn = parameters.seed_of(first)
        assert drawn == parameters.seed_of(second) and drawn != parameters.seed_of(second)
    parameters.check({"random_state": np.random.default_rng(0), "verbose": np.True_})
    assert parameters.seed_of(np.int64(7)) == 7
