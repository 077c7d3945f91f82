"""What each kind of estimator is for."""

from __future__ import annotations

import numpy as np
import pytest
from estimator_cases import X, quick

from aefast import DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper"])
@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_denoising_takes_noise_away(corruption, scaling):
    level = 0.5 if scaling == "standard" else 0.3
    model = DenoisingAutoencoder(
        16, corruption=corruption, corruption_level=level, scaling=scaling, epochs=40, learning_rate=5e-3,
        hidden_layer_sizes=(64,), random_state=0, backend="numpy",
    ).fit(X)  # fmt: skip
    rng, clean = np.random.default_rng(1), model.scaling_.forward(X)
    u = rng.random(X.shape)
    low, high = (-2, 2) if scaling == "standard" else (0, 1)
    noisy = {
        "gaussian": clean + level * rng.standard_normal(X.shape),
        "masking": np.where(u < level, 0, clean),
        "salt_and_pepper": np.where(u < level / 2, low, np.where(u < level, high, clean)),
    }[corruption]
    denoised = model.scaling_.forward(model.denoise(model.scaling_.inverse(noisy)))
    # Standardised, the rarely used pixels of the rim weigh as much as the others, and they can't be foreseen.
    share = 0.93 if scaling == "standard" else 0.5
    assert np.mean((denoised - clean) ** 2) < share * np.mean((noisy - clean) ** 2)


def test_kl_sparsity_brings_the_mean_activation_to_rho():
    same = {"epochs": 30, "learning_rate": 1e-2, "batch_size": 40, "random_state": 0, "backend": "numpy"}
    dense = SparseAutoencoder(32, sparsity_weight=0.0, **same).fit(X)
    sparse = SparseAutoencoder(32, sparsity_weight=20.0, rho=0.1, **same).fit(X)
    Z = sparse.transform(X)
    assert Z.min() >= 0 and Z.max() <= 1
    assert abs(Z.mean() - 0.1) < 0.05 < dense.transform(X).mean() - 0.1


def test_l1_sparsity_silences_units():
    same = {"sparsity": "l1", "epochs": 30, "learning_rate": 1e-2, "random_state": 0, "backend": "numpy"}
    free, strict = (SparseAutoencoder(32, sparsity_weight=w, **same).fit(X).transform(X) for w in (0.0, 3.0))
    assert np.mean(strict == 0) > np.mean(free == 0) + 0.2


def test_components_are_the_encoder_where_there_is_one_layer():
    model = quick(SparseAutoencoder).fit(X)
    assert model.components_.shape == (64, 64)
    z = model.scaling_.forward(X) @ model.components_.T + model.trainer_.parameters["encoder.0.bias"]
    np.testing.assert_allclose(model.transform(X), 1 / (1 + np.exp(-z)), rtol=1e-3, atol=1e-5)
    assert not hasattr(quick().fit(X), "components_")


def test_variational_scores_samples_and_means():
    model = VariationalAutoencoder(
        6, loss="bce", scaling="minmax", epochs=25, batch_size=50, random_state=0, backend="numpy"
    ).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), model.elbo(X))
    new = model.sample(50)
    assert new.shape == (50, 64) and new.min() >= 0 and new.max() <= 16
    np.testing.assert_allclose(new[:20], model.sample(20), rtol=1e-5)
    np.testing.assert_array_equal(new, model.sample(50))
    assert not np.array_equal(new, model.sample(50, random_state=9))
    assert np.abs(model.sample(2000).mean(axis=0) - X.mean(axis=0)).mean() < 1.5
    few, many = model.log_likelihood(X, 5).mean(), model.log_likelihood(X, 300).mean()
    assert model.elbo(X, 50).mean() < many and few < many


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_importance_weights_reach_the_likelihood_by_quadrature(loss):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 1)) @ rng.normal(size=(1, 3)) + 0.3 * rng.normal(size=(200, 3))
    model = VariationalAutoencoder(
        1,
        hidden_layer_sizes=(),
        loss=loss,
        epochs=60,
        batch_size=200,
        learning_rate=1e-2,
        random_state=0,
        backend="numpy",
        dtype="float64",
    ).fit(data)
    x, p = model.scaling_.forward(data), model.trainer_.parameters
    z = np.linspace(-9, 9, 20001)
    e = x[:, None] - (z[:, None] * p["decoder.0.weight"].T + p["decoder.0.bias"])
    log_p = -(e**2 + 0.5 * np.log(np.pi)) if loss == "mse" else -(np.abs(e) + np.log(2))
    joint = np.exp(log_p.sum(axis=2) - 0.5 * z**2) / np.sqrt(2 * np.pi)
    exact = np.log(joint.sum(axis=1) * (z[1] - z[0]))
    # A few outliers lie where q puts hardly a sample; the estimate is then too low.
    error = np.abs(model.log_likelihood(data, 4000) - exact)
    assert np.median(error) < 0.015 and np.quantile(error, 0.95) < 0.08
    assert (model.elbo(data, 400) <= exact + 0.15).all()
    assert np.mean(exact - model.elbo(data, 400)) > 0


def linear_gaussian(backend, dtype, encoder_error=0.0):
    """A model z ~ N(0, I), x = W z + b + N(0, I/2) with orthogonal columns of W, whose posterior the encoder knows."""
    rng = np.random.default_rng(3)
    d, n_codes = 7, 3
    s = np.array([2.0, 1.0, 0.4])
    W = np.linalg.qr(rng.normal(size=(d, n_codes)))[0] * s
    b = rng.normal(size=d)
    data = rng.normal(size=(300, n_codes)) @ W.T + b + np.sqrt(0.5) * rng.normal(size=(300, d))
    model = VariationalAutoencoder(
        n_codes, hidden_layer_sizes=(), scaling=None, epochs=1, backend=backend, dtype=dtype, random_state=0
    ).fit(data)
    # The posterior is N(2 (I + 2 W'W)^-1 W'(x - b), (I + 2 W'W)^-1), diagonal here (Bishop 2006, eq. 2.116).
    precision = 1 + 2 * s**2
    to_mean = 2 * W.T / precision[:, None]
    weights = {
        "encoder.0.weight": np.vstack((to_mean, np.zeros((n_codes, d)))),
        "encoder.0.bias": np.r_[-to_mean @ b + encoder_error, -np.log(precision)],
        "decoder.0.weight": W,
        "decoder.0.bias": b,
    }
    model.trainer_.load_parameters(weights)
    return model, data, W @ W.T + 0.5 * np.eye(d), b, precision


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_likelihood_of_a_linear_gaussian_model_is_the_closed_form(backend, dtype):
    from scipy.stats import multivariate_normal

    if (backend, dtype) == ("cpu", "float64"):
        pytest.skip("the cpu backend has no float64")
    model, data, covariance, b, precision = linear_gaussian(backend, dtype)
    exact = multivariate_normal(b, covariance).logpdf(data)
    near = 1e-10 if dtype == "float64" else 2e-5
    # With the exact posterior as the encoder every importance weight is p(x), and the bound is tight on average.
    for n in (1, 7):
        np.testing.assert_allclose(model.log_likelihood(data, n), exact, rtol=near, atol=near)
    bound = model.elbo(data, 3000)
    np.testing.assert_allclose(bound, exact, atol=0.3)
    assert bound.mean() == pytest.approx(exact.mean(), abs=0.03)
    # A mean that is off by e costs KL(N(m + e, S) || N(m, S)) = sum e^2 / (2 S); more samples win it back.
    off, _, _, _, _ = linear_gaussian(backend, dtype, encoder_error=0.15)
    gap = 0.5 * 0.15**2 * precision.sum()
    assert exact.mean() - off.elbo(data, 3000).mean() == pytest.approx(gap, abs=0.05)
    # Importance weights of variance exp(0.3) - 1: a standard error of 0.013, shared by the rows.
    assert off.log_likelihood(data, 2000).mean() == pytest.approx(exact.mean(), abs=0.04)


def test_huber_has_no_likelihood_and_says_so():
    model = quick(VariationalAutoencoder, loss="huber").fit(X)
    for method in (model.elbo, model.log_likelihood, model.score_samples):
        with pytest.raises(ValueError, match="likelihood"):
            method(X)


@pytest.mark.parametrize("n", [10**12, 2**62])
def test_more_samples_than_fit_into_memory_are_a_memory_error_that_says_so(n):
    model = quick(VariationalAutoencoder, epochs=1).fit(X)
    with pytest.raises(
        MemoryError, match=f"n_samples={n} samples of {X.shape[1]} features don't fit into memory; draw fewer"
    ):
        model.sample(n)
    with pytest.raises(ValueError, match="n_samples must be an integer"):
        model.sample(10**30)
