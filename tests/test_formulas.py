"""The published formulas, written out literally and compared with what the reference trains on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import aefast
from aefast import optimizers, random, schedules

D, L, N = 6, 2, 8
X = np.random.default_rng(0).uniform(0.05, 0.95, (N, D))


def trainer(**settings: Any) -> aefast.Trainer:
    keys = ("activation", "latent_activation", "output_activation", "variational", "tied_weights")
    shape = {key: settings.pop(key) for key in keys if key in settings}
    topology = aefast.Topology.mlp([D, 4, L, 4, D], **{"activation": "tanh", **shape})
    made = aefast.Trainer(topology, backend="numpy", dtype="float64", seed=3, **settings)
    made.flat_buffers["params"][...] += 0.2 * np.random.default_rng(1).standard_normal(topology.n_flat)
    return made


def forward(made: aefast.Trainer, x: np.ndarray, layers: str, output: Any) -> np.ndarray:
    p = made.parameters
    h = np.tanh(x @ p[f"{layers}.0.weight"].T + p[f"{layers}.0.bias"])
    return np.asarray(output(h @ p[f"{layers}.1.weight"].T + p[f"{layers}.1.bias"]))


def identity(z: np.ndarray) -> np.ndarray:
    return z


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def loss_of(made: aefast.Trainer) -> float:
    return made.gradients(X)[0]


def rebuilt(made: aefast.Trainer, output: Any = identity) -> np.ndarray:
    return forward(made, forward(made, X, "encoder", identity), "decoder", output)


def test_mse_is_the_mean_or_the_sum_of_squares() -> None:
    made = trainer()
    assert loss_of(made) == pytest.approx(np.mean((rebuilt(made) - X) ** 2), rel=1e-13)
    summed = trainer(reduction="sum")
    assert loss_of(summed) == pytest.approx(np.mean(np.sum((rebuilt(summed) - X) ** 2, axis=1)), rel=1e-13)


def test_bce_is_the_negative_log_likelihood_of_bernoulli() -> None:
    made = trainer(loss="bce", output_activation="sigmoid", reduction="sum")
    r = rebuilt(made, sigmoid)
    assert loss_of(made) == pytest.approx(-np.sum(X * np.log(r) + (1 - X) * np.log(1 - r)) / N, rel=1e-12)


def test_mae_and_huber() -> None:
    made = trainer(loss="mae")
    assert loss_of(made) == pytest.approx(np.mean(np.abs(rebuilt(made) - X)), rel=1e-13)
    made = trainer(loss="huber")
    e = np.abs(rebuilt(made) - X)
    assert (e > 1).any()
    assert loss_of(made) == pytest.approx(np.mean(np.where(e <= 1, e**2 / 2, e - 0.5)), rel=1e-13)


def test_weights_of_rows_and_features_are_a_weighted_mean() -> None:
    f, w = np.linspace(0.0, 2.0, D), np.linspace(0.5, 3.0, N)
    made = trainer(feature_weight=f)
    squares = (rebuilt(made) - X) ** 2
    assert made.gradients(X, w)[0] == pytest.approx(w @ (squares @ f) / D / w.sum(), rel=1e-13)


def test_kl_sparsity() -> None:
    rho, weight = 0.1, 0.4
    made = trainer(latent_activation="sigmoid", sparsity=aefast.Sparsity("kl", weight, rho), reduction="sum")
    code = forward(made, X, "encoder", sigmoid)
    r = forward(made, code, "decoder", identity)
    mean = code.mean(axis=0)
    penalty = np.sum(rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean)))
    assert loss_of(made) == pytest.approx(np.sum((r - X) ** 2) / N + weight * penalty, rel=1e-12)


@pytest.mark.parametrize(("kind", "norm"), [("l1", np.abs), ("l2", np.square)])
def test_norm_penalties(kind: str, norm: Any) -> None:
    made = trainer(sparsity=aefast.Sparsity(kind, 0.4))
    code = forward(made, X, "encoder", identity)
    expected = np.mean((rebuilt(made) - X) ** 2) + 0.4 * np.sum(norm(code)) / N
    assert loss_of(made) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("free_bits", [0.0, 0.5])
def test_variational_loss_is_reconstruction_plus_kl(free_bits: float) -> None:
    made = trainer(variational=True, reduction="sum", beta=1.7, free_bits=free_bits)
    p = made.parameters
    h = np.tanh(X @ p["encoder.0.weight"].T + p["encoder.0.bias"])
    mu, logvar = np.split(h @ p["encoder.1.weight"].T + p["encoder.1.bias"], 2, axis=1)
    eps = random.normals(made.seed, np.arange(N), L, 0, random.stream_word(random.STREAM_LATENT))
    z = mu + np.exp(0.5 * logvar) * eps
    r = forward(made, z, "decoder", identity)
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
    expected = np.mean(np.sum((r - X) ** 2, axis=1)) + 1.7 * np.mean(np.maximum(kl, free_bits))
    assert loss_of(made) == pytest.approx(expected, rel=1e-12)


def test_transform_of_a_variational_model_is_the_mean() -> None:
    made = trainer(variational=True, reduction="sum")
    p = made.parameters
    h = np.tanh(X @ p["encoder.0.weight"].T + p["encoder.0.bias"])
    mu = (h @ p["encoder.1.weight"].T + p["encoder.1.bias"])[:, :L]
    assert np.allclose(made.encode(X), mu, rtol=1e-13)
    assert np.allclose(made.reconstruct(X), forward(made, mu, "decoder", identity), rtol=1e-12)


def test_elbo_is_likelihood_minus_kl() -> None:
    made = trainer(variational=True, reduction="sum")
    p = made.parameters
    h = np.tanh(X @ p["encoder.0.weight"].T + p["encoder.0.bias"])
    mu, logvar = np.split(h @ p["encoder.1.weight"].T + p["encoder.1.bias"], 2, axis=1)
    likelihood = np.zeros(N)
    for s in range(3):
        eps = random.normals(made.seed, np.full(N, s), L, 0, random.stream_word(random.STREAM_EVALUATE))
        r = forward(made, mu + np.exp(0.5 * logvar) * eps, "decoder", identity)
        likelihood += np.sum(-0.5 * np.log(2 * np.pi * 0.5) - (r - X) ** 2 / (2 * 0.5), axis=1) / 3
    kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
    assert np.allclose(made.elbo(X, 3), likelihood - kl, rtol=1e-12)


def test_masking_noise_zeroes_the_input_of_the_encoder_alone() -> None:
    made = trainer(corruption=aefast.Corruption("masking", 0.5))
    u = (
        random.uniforms24(made.seed, np.arange(N), D, 0, random.stream_word(random.STREAM_CORRUPTION))
        * 2.0**-24
    )
    seen = np.where(u < 0.5, 0, X)
    r = forward(made, forward(made, seen, "encoder", identity), "decoder", identity)
    assert loss_of(made) == pytest.approx(np.mean((r - X) ** 2), rel=1e-13)


def test_adam_step_by_step() -> None:
    """Kingma & Ba 2015, algorithm 1, for three steps on one weight matrix."""
    made = trainer(optimizer=optimizers.Adam(beta1=0.8, beta2=0.95, eps=1e-6), learning_rate=0.05)
    name, m, v = "encoder.0.weight", 0.0, 0.0
    for t in range(1, 4):
        w, g = made.parameters[name], made.gradients(X)[1][name]
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        made.step(X)
        expected = w - 0.05 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)
        assert np.allclose(made.parameters[name], expected, rtol=1e-12)


def test_clipping_scales_the_gradient_to_its_norm() -> None:
    made = trainer(optimizer="sgd", learning_rate=1.0, clip_norm=0.01)
    _, g = made.gradients(X)
    norm = np.sqrt(sum(np.sum(value**2) for value in g.values()))
    before = made.parameters
    made.step(X)
    for name, value in made.parameters.items():
        assert np.allclose(before[name] - value, g[name] * 0.01 / (norm + 1e-6), rtol=1e-9, atol=1e-15)


def test_weight_decay_leaves_biases_alone() -> None:
    made = trainer(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    plain = trainer(optimizer="adamw", learning_rate=0.1)
    before = made.parameters
    made.step(X), plain.step(X)
    for name, value in made.parameters.items():
        decayed = 0.1 * 0.5 * before[name] if name.endswith("weight") else 0.0
        assert np.allclose(plain.parameters[name] - value, decayed, rtol=1e-10, atol=1e-15)


def test_ema_averages_the_parameters_after_each_step() -> None:
    made = trainer(ema=0.7, learning_rate=0.01)
    made.load_parameters(made.parameters)  # the average starts from them
    expected = made.parameters
    for _ in range(3):
        made.step(X)
        expected = {name: 0.7 * expected[name] + 0.3 * value for name, value in made.parameters.items()}
    assert all(np.allclose(made.ema_parameters[name], value, rtol=1e-12) for name, value in expected.items())


def test_schedules() -> None:
    steps = np.arange(10)
    t = steps / 10
    assert np.allclose(schedules.factors("linear", t, steps), 1 - t)
    assert np.allclose(schedules.factors("cosine", t, steps), (1 + np.cos(np.pi * t)) / 2)
    assert np.allclose(schedules.factors("exponential", t, steps), 0.01**t)
    assert np.allclose(
        schedules.factors("step", t, steps), np.where(t < 1 / 3, 1, np.where(t < 2 / 3, 0.1, 0.01))
    )
    assert np.allclose(schedules.factors("constant", t, steps, 4), np.minimum((steps + 1) / 4, 1))
