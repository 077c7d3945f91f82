"""The reference in float64 against central differences of its own loss, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import aefast
from aefast import activations, losses, optimizers, regularizers
from aefast.testing.tolerances import GRADIENT

D, L, N = 7, 3, 9
H = 1e-5
PAIRS = [
    (a, row.name) for row in losses.TABLE for a in (("sigmoid",) if row.on_logits else activations.NAMES)
]


def data(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.05, 0.95, (N, D))


def trainer(
    topology: aefast.Topology | None = None, *, scatter: float = 0.3, **settings: Any
) -> aefast.Trainer:
    """On numpy in float64; biases and weights moved off their symmetric start."""
    topology = topology or aefast.Topology.mlp([D, 5, L, 5, D], activation="tanh")
    made = aefast.Trainer(topology, backend="numpy", dtype="float64", seed=5, **settings)
    made.flat_buffers["params"][...] += scatter * np.random.default_rng(1).standard_normal(topology.n_flat)
    return made


def check(made: aefast.Trainer, x: np.ndarray, sample_weight: np.ndarray | None = None) -> None:
    """Every parameter's gradient, to GRADIENT of the largest."""
    flat = made.flat_buffers["params"]
    _, named = made.gradients(x, sample_weight)
    slope = np.zeros(len(flat))
    for i in range(len(flat)):
        before = flat[i]
        flat[i] = before + H
        above, _ = made.gradients(x, sample_weight)
        flat[i] = before - H
        below, _ = made.gradients(x, sample_weight)
        flat[i] = before
        slope[i] = (above - below) / (2 * H)
    numeric = made.views(slope)
    norm = np.sqrt(sum(np.sum(g**2) for g in named.values()))
    assert norm > 1e-6
    for name, gradient in named.items():
        assert np.abs(gradient - numeric[name]).max() <= GRADIENT * norm, name


@pytest.mark.parametrize("activation", activations.NAMES)
def test_hidden_and_latent_activation(activation: str) -> None:
    topology = aefast.Topology.mlp([D, 5, L, 5, D], activation=activation, latent_activation=activation)
    check(trainer(topology), data())


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_output_activation_and_loss(activation: str, loss: str) -> None:
    topology = aefast.Topology.mlp([D, L, D], activation="tanh", output_activation=activation)
    for reduction in losses.REDUCTIONS:
        check(trainer(topology, loss=loss, reduction=reduction), data())


@pytest.mark.parametrize("kind", regularizers.PENALTIES)
@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_penalties(kind: str, reduction: str) -> None:
    topology = aefast.Topology.mlp([D, 5, L, 5, D], activation="tanh", latent_activation="sigmoid")
    sparsity = aefast.Sparsity(kind, weight=0.7, target=0.2)
    check(trainer(topology, sparsity=sparsity, reduction=reduction), data(), np.linspace(0.0, 2.0, N))


@pytest.mark.parametrize("loss", losses.NAMES)
@pytest.mark.parametrize("free_bits", [0.0, 0.29])
def test_variational(loss: str, free_bits: float) -> None:
    topology = aefast.Topology.mlp(
        [D, 5, L, 5, D], activation="gelu", output_activation="sigmoid", variational=True
    )
    made = trainer(topology, loss=loss, reduction="sum", free_bits=free_bits, beta=0.6)
    if free_bits:  # some rows above, some below, none at the edge
        made.gradients(data())
        kl = made._program("train", N)[1].buffer("kl")
        assert (kl > free_bits).any() and (kl < free_bits).any() and np.abs(kl - free_bits).min() > 1e-3
    check(made, data(), np.linspace(0.5, 2.0, N))


@pytest.mark.parametrize("loss", losses.NAMES)
def test_tied_weights(loss: str) -> None:
    topology = aefast.Topology.mlp(
        [D, 5, L, 5, D], activation="elu", output_activation="sigmoid", tied_weights=True
    )
    check(trainer(topology, loss=loss), data(), np.linspace(0.5, 2.0, N))


@pytest.mark.parametrize("kind", regularizers.CORRUPTIONS)
def test_corruption_changes_the_input_and_not_the_target(kind: str) -> None:
    made = trainer(corruption=aefast.Corruption(kind, 0.4))
    check(made, data())
    assert made.gradients(data())[0] != trainer().gradients(data())[0]


def test_weights_of_rows_and_features() -> None:
    made = trainer(feature_weight=np.linspace(0.0, 3.0, D))
    check(made, data(), np.array([0.0, 1, 2, 3, 0.5, 0, 0, 4, 1]))


def test_everything_at_once() -> None:
    topology = aefast.Topology.mlp(
        [D, 6, L, 6, D],
        activation="silu",
        latent_activation="sigmoid",
        output_activation="sigmoid",
        tied_weights=True,
    )
    made = trainer(
        topology,
        loss="bce",
        reduction="sum",
        sparsity=aefast.Sparsity("kl", 0.3, 0.1),
        corruption=aefast.Corruption("salt_and_pepper", 0.3),
        feature_weight=np.linspace(0.2, 3.0, D),
    )
    check(made, data(), np.linspace(0.5, 2.0, N))


@pytest.mark.parametrize("rule", optimizers.NAMES)
def test_a_small_step_lowers_the_loss_by_what_the_gradient_says(rule: str) -> None:
    """First order: the loss changes by g . dw, whatever the rule."""
    made = trainer(optimizer=rule, learning_rate=1e-7)
    loss, named = made.gradients(data())
    before = made.parameters
    made.step(data())
    move = {name: value - before[name] for name, value in made.parameters.items()}
    predicted = sum(np.sum(move[name] * named[name]) for name in named)
    assert predicted < 0
    assert made.gradients(data())[0] - loss == pytest.approx(predicted, rel=1e-3)


def test_gradients_change_nothing() -> None:
    made = trainer(optimizer="adam", ema=0.9)
    before = {name: flat.copy() for name, flat in made.flat_buffers.items()}
    first, second = made.gradients(data()), made.gradients(data())
    assert first[0] == second[0] and all((first[1][k] == second[1][k]).all() for k in first[1])
    assert all((flat == before[name]).all() for name, flat in made.flat_buffers.items())
    assert made.n_steps == 0
