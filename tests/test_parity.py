"""Every backend against the float64 reference, through the trainer: gradients, one step, 200 steps, inference."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from models import CONV_MODELS, MODELS, make, rows

import aefast
from aefast import testing
from aefast.testing.tolerances import BAND, STEP, STEP_LEAST_GRADIENT

ALL = [*MODELS, *CONV_MODELS]
N = 100
WEIGHT = np.linspace(0.2, 2.0, N)
# Of the PCA optimum's error. bfloat16: each product's operands carry 2^-9 of noise at every step, the last one's too.
EXCESS = {"float32": 1e-4, "float64": 1e-4, "bfloat16": 1e-3}
EPOCHS = 29  # of 7 steps, the last of them short: 203


@pytest.fixture(params=testing.targets(), ids=str)
def target(request: pytest.FixtureRequest) -> Any:
    found: testing.Target = request.param
    found.open()
    with found.active():
        yield found


def pair(target: testing.Target, model: str, **settings: Any) -> tuple[aefast.Trainer, aefast.Trainer]:
    """The model on the target and on the reference, from the same float32 start."""
    made = make(model, target.backend, target.dtype, **settings)
    truth = make(model, "numpy", "float64", **settings)
    assert all((value == truth.parameters[name]).all() for name, value in made.parameters.items())
    return made, truth


@pytest.mark.parametrize("model", ALL)
def test_one_step(target: testing.Target, model: str) -> None:
    made, truth = pair(target, model)
    batch, weight, tolerance = rows(model, N)[:37], WEIGHT[:37], STEP[target.dtype]
    (loss, gradients), (true_loss, true) = made.gradients(batch, weight), truth.gradients(batch, weight)
    assert loss == pytest.approx(true_loss, rel=tolerance)
    norm = np.sqrt(sum(np.sum(g**2) for g in true.values()))
    for name, gradient in gradients.items():
        assert np.abs(gradient - true[name]).max() <= tolerance * norm, name
    before = truth.parameters
    assert made.step(batch, weight) == pytest.approx(truth.step(batch, weight), rel=tolerance)
    largest = max(np.abs(value - before[name]).max() for name, value in truth.parameters.items())
    least = STEP_LEAST_GRADIENT[target.dtype] * max(np.abs(g).max() for g in true.values())
    for name, value in made.parameters.items():
        counts = np.abs(true[name]) > least
        error = np.abs(value - truth.parameters[name])[counts]
        rounding = np.finfo(target.memory).eps * np.abs(before[name]).max(initial=0.0)
        assert (error <= tolerance * largest + rounding).all(), name


@functools.cache
def long_run_of_the_reference(model: str) -> tuple[aefast.Trainer, np.ndarray]:
    truth = make(model, "numpy", "float64")
    return truth, np.array(truth.fit(rows(model, N), epochs=EPOCHS, sample_weight=WEIGHT).loss)


@pytest.mark.parametrize("model", ALL)
def test_two_hundred_steps(target: testing.Target, model: str) -> None:
    made, (truth, true) = make(model, target.backend, target.dtype), long_run_of_the_reference(model)
    X = rows(model, N)
    curve, band = np.array(made.fit(X, epochs=EPOCHS, sample_weight=WEIGHT).loss), BAND[target.dtype]
    assert np.isfinite(curve).all() and true[-1] < true[0]
    assert np.mean(curve[-3:]) == pytest.approx(np.mean(true[-3:]), rel=band)
    assert made.evaluate(X) == pytest.approx(truth.evaluate(X), rel=2 * band)
    for got, expected in ((made.encode(X), truth.encode(X)), (made.reconstruct(X), truth.reconstruct(X))):
        assert got.dtype == target.memory and got.shape == expected.shape
        assert np.linalg.norm(got - expected) <= 25 * band * np.linalg.norm(expected)


@pytest.mark.parametrize(
    "model", ["vanilla mse", "tied", "variational", "gelu and silu", "sparse kl", *CONV_MODELS]
)
def test_inference(target: testing.Target, model: str) -> None:
    made, truth = pair(target, model)
    X, tolerance = rows(model, N), STEP[target.dtype]
    z = truth.encode(X)
    assert np.allclose(made.encode(X), z, rtol=tolerance, atol=tolerance)
    assert np.allclose(made.decode(z), truth.decode(z), rtol=tolerance, atol=tolerance)
    assert np.allclose(made.reconstruct(X), truth.reconstruct(X), rtol=tolerance, atol=tolerance)
    assert np.allclose(made.sample_losses(X), truth.sample_losses(X), rtol=tolerance)
    assert made.evaluate(X, WEIGHT) == pytest.approx(truth.evaluate(X, WEIGHT), rel=tolerance)
    if truth.topology.variational:
        assert np.allclose(made.elbo(X, 2), truth.elbo(X, 2), rtol=tolerance)


def test_a_linear_autoencoder_reaches_the_pca_optimum(target: testing.Target) -> None:
    """Baldi & Hornik 1989: its best reconstruction is the projection on the first principal components."""
    rng = np.random.default_rng(4)
    x = (
        rng.standard_normal((64, 8))
        * np.array([3.0, 2.5, 2.0, 1.0, 0.7, 0.5, 0.3, 0.1])
        @ rng.standard_normal((8, 8))
    )
    x = (x - x.mean(axis=0)).astype(np.float32)
    residual = np.sum(np.linalg.svd(x.astype(np.float64), compute_uv=False)[3:] ** 2) / x.size
    made = aefast.Trainer(
        aefast.Topology.mlp([8, 3, 8]),
        learning_rate=0.05,
        schedule="cosine",
        batch_size=64,
        backend=target.backend,
        dtype=target.dtype,
        seed=1,
    )
    made.fit(x, epochs=1500)
    excess = made.evaluate(x) / residual - 1
    assert -1e-5 < excess < EXCESS[target.dtype]


def test_the_same_seed_gives_the_same_bits(target: testing.Target) -> None:
    for model in ALL:
        first, second = make(model, target.backend, target.dtype), make(model, target.backend, target.dtype)
        for made in (first, second):
            made.fit(rows(model, N), epochs=2, sample_weight=WEIGHT)
        assert all(v.tobytes() == second.flat_buffers[k].tobytes() for k, v in first.flat_buffers.items()), (
            model
        )
