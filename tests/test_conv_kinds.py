"""What convolutional models are for, what their parameters do, and that they are scikit-learn's like the others."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from image_cases import COLOUR, DIGITS, FLAT, GREY, QUICK, quick
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import aefast
from aefast import ConvAutoencoder, backends
from aefast.estimators import likelihood
from aefast.testing.require import skip_or_fail


def test_a_map_for_a_code():
    model = quick(None, image_shape=(3, 8, 5)).fit(COLOUR)
    assert model.code_shape_ == (2, 2, 6) and model.n_components_ == 24
    Z = model.transform(COLOUR)
    assert Z.shape == (300, 24)
    np.testing.assert_allclose(model.inverse_transform(Z), model.reconstruct(COLOUR), rtol=1e-5, atol=1e-3)
    with pytest.raises(AttributeError, match="the code is a vector"):
        _ = quick().fit(COLOUR).code_shape_
    # (height, width, channels): a map's pixel sees the image's pixels around it, so a change below is seen below alone.
    below = COLOUR.copy()
    below[:, :, 7] = 0
    changed = (model.transform(below) != Z).any(axis=0).reshape(model.code_shape_)
    assert changed[1].any() and not changed[0].any()


def test_auto_parameters():
    assert ConvAutoencoder(**QUICK).fit(GREY).n_components_ == 16
    plain, variational = quick().fit(GREY), quick(variational=True).fit(GREY)
    assert plain.trainer_.settings.reduction == "mean" and plain.trainer_.settings.weight_decay > 0
    assert (
        variational.trainer_.settings.reduction == "sum" and variational.trainer_.settings.weight_decay == 0
    )
    activation = {None: "identity", "kl": "sigmoid", "l1": "relu"}
    for sparsity, name in activation.items():
        assert quick(sparsity=sparsity).fit(GREY).trainer_.topology.code_activation == name
    # A kernel has one pixel along an axis of one.
    signal = quick(image_shape="signal").fit(FLAT)
    assert signal.image_shape_ == (1, 1, 64)
    assert signal.trainer_.parameters["encoder.0.weight"].shape == (4, 1, 3, 1)


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper"])
def test_denoising_takes_noise_away(corruption):
    level = 0.4
    model = quick(
        16, channels=(8, 16), corruption=corruption, corruption_level=level, epochs=25, learning_rate=5e-3
    ).fit(GREY)
    rng, clean = np.random.default_rng(1), GREY / 255.0
    u = rng.random(clean.shape)
    noisy = {
        "gaussian": clean + level * rng.standard_normal(clean.shape),
        "masking": np.where(u < level, 0, clean),
        "salt_and_pepper": np.where(u < level / 2, 0, np.where(u < level, 1, clean)),
    }[corruption]
    denoised = model.denoise(255.0 * noisy) / 255.0
    assert denoised.shape == clean.shape
    assert np.mean((denoised - clean) ** 2) < 0.6 * np.mean((noisy - clean) ** 2)


def test_sparse_codes():
    same = {"epochs": 15, "learning_rate": 1e-2, "rho": 0.1}
    free, strict = (quick(24, sparsity="kl", sparsity_weight=w, **same).fit(GREY) for w in (0.0, 0.2))
    Z = strict.transform(GREY)
    assert Z.min() >= 0 and Z.max() <= 1
    assert abs(Z.mean() - 0.1) < 0.05 < free.transform(GREY).mean() - 0.1
    free, strict = (quick(24, sparsity="l1", sparsity_weight=w, **same).fit(GREY) for w in (0.0, 0.01))
    assert np.mean(strict.transform(GREY) == 0) > np.mean(free.transform(GREY) == 0) + 0.2


@pytest.mark.parametrize(
    "changes", [{}, {"decoder": "resize", "pooling": "max"}, {"layout": "channels_last", "loss": "bce"}]
)
def test_a_variational_model_makes_images_and_bounds_their_likelihood(changes):
    X = COLOUR.transpose(0, 2, 3, 1) if "layout" in changes else COLOUR
    model = quick(3, variational=True, epochs=8, dtype="float64", **changes).fit(X)
    made = model.sample(7)
    assert made.shape == (7, *X.shape[1:])
    np.testing.assert_array_equal(made, model.sample(7))
    assert (made != model.sample(7, random_state=1)).any()
    assert model.log_likelihood(X, 200).mean() > model.elbo(X, 200).mean()
    np.testing.assert_array_equal(model.score_samples(X), model.elbo(X))
    assert model.error_map(X).shape == X.shape
    # The likelihood's own forward pass is the engine's.
    topology, weights = model.trainer_.topology, model.trainer_.parameters
    x = topology.channels_last(model.scaling_.forward(X.reshape(300, -1)))
    moments = likelihood._forward(topology.layers[: topology.n_encoder], weights, x)
    Z = model.transform(X)
    np.testing.assert_allclose(moments[:, :3], Z, rtol=1e-9, atol=1e-12)
    r = likelihood._forward(topology.layers[topology.n_encoder :], weights, Z)
    R = topology.channels_last(model.scaling_.forward(model.inverse_transform(Z).reshape(300, -1)))
    np.testing.assert_allclose(r, R, rtol=1e-9, atol=1e-12)


def test_an_error_map_shows_where():
    model = quick(16, channels=(8, 16), epochs=10).fit(GREY)
    errors = model.error_map(GREY)
    np.testing.assert_allclose(errors.mean(axis=(1, 2, 3)), -model.score_samples(GREY), rtol=1e-4)
    spoilt = GREY.copy()
    spoilt[:, 0, 0, 7] = 255 - spoilt[:, 0, 0, 7]
    assert (model.error_map(spoilt).mean(axis=0)[0].argmax() == 7) and errors.mean(axis=0)[0].argmax() != 7
    summed = quick(loss="bce", reduction="sum").fit(GREY)
    np.testing.assert_allclose(
        summed.error_map(GREY).sum(axis=(1, 2, 3)), -summed.score_samples(GREY), rtol=1e-4
    )


# scikit-learn, files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"variational": True},
        {"n_components": None, "ema": 0.9},
        {"pooling": "average", "decoder": "resize"},
    ],
)
def test_files_and_copies_are_the_model_to_the_bit(changes, tmp_path):
    model = quick(**changes).fit(COLOUR)
    model.save(tmp_path / "m.safetensors")
    loaded = aefast.load(tmp_path / "m.safetensors")
    for copy in (loaded, pickle.loads(pickle.dumps(model))):
        assert copy.get_params() == model.get_params()
        assert (copy.image_shape_, copy.row_shape_) == (model.image_shape_, model.row_shape_)
        np.testing.assert_array_equal(copy.transform(COLOUR), model.transform(COLOUR))
        np.testing.assert_array_equal(copy.reconstruct(COLOUR), model.reconstruct(COLOUR))
        np.testing.assert_array_equal(
            copy.partial_fit(COLOUR).transform(COLOUR).shape, (300, model.n_components_)
        )
    again = clone(model).fit(COLOUR)
    np.testing.assert_array_equal(again.transform(COLOUR), model.transform(COLOUR))


def test_learning_on():
    model = quick(warm_start=True).fit(COLOUR).fit(COLOUR)
    assert model.n_iter_ == 4
    parts = quick()
    for _ in range(3):
        parts.partial_fit(COLOUR)
    assert parts.n_iter_ == 3 and parts.loss_curve_[-1] < parts.loss_curve_[0]
    with pytest.raises(ValueError, match="channels"):
        model.set_params(channels=(4, 7)).fit(COLOUR)


def test_in_a_pipeline_and_a_grid_search():
    y = DIGITS.target[:300]
    search = GridSearchCV(
        make_pipeline(quick(), LogisticRegression(max_iter=200)),
        {"convautoencoder__n_components": [1, 12]},
        cv=2,
    ).fit(GREY, y)
    assert search.best_params_ == {"convautoencoder__n_components": 12}
    own = GridSearchCV(quick(epochs=8), {"n_components": [1, 12]}, cv=2).fit(GREY)
    assert own.best_params_ == {"n_components": 12}
    names = quick(3).fit(COLOUR).get_feature_names_out()
    assert list(names) == [f"convautoencoder{i}" for i in range(3)]
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(FLAT, columns=[f"p{i}" for i in range(64)])
    model = quick(3).set_output(transform="pandas").fit(table)
    assert list(model.transform(table).columns) == list(names) and model.row_shape_ == (64,)
    with pytest.raises(ValueError, match="feature names"):
        model.transform(table[table.columns[::-1]])


def test_many_at_once_with_dense_ones():
    models = [
        quick(2),
        aefast.Autoencoder(2, epochs=2, random_state=0, backend="numpy"),
        quick(3, layout="channels_last"),
    ]
    aefast.fit_many(models, FLAT, n_threads=1)
    for model in models:
        np.testing.assert_allclose(
            model.transform(FLAT), clone(model).fit(FLAT).transform(FLAT), rtol=1e-4, atol=1e-5
        )
    pair = aefast.fit_many([quick(2), quick(variational=True)], COLOUR, X_val=COLOUR[:20], n_threads=1)
    assert pair[0].reconstruct(COLOUR).shape == COLOUR.shape and len(pair[1].validation_loss_curve_) == 2
    with pytest.raises(ExceptionGroup) as failed:
        aefast.fit_many([quick(), quick(image_shape=(1, 4, 15))], FLAT)
    assert "60 values" in str(failed.value.exceptions[0])


@pytest.mark.parametrize("backend", ["cpu", "numba"])
def test_scikit_learns_own_checks(backend):
    from sklearn.utils.estimator_checks import check_estimator

    if not (support := backends.available(backend)):
        skip_or_fail(backend, support.reason)
    expected = {"check_sample_weight_equivalence_on_dense_data": "copies of a row are shuffled apart"}
    model = ConvAutoencoder(image_shape="signal", channels=(4,), epochs=2, backend=backend, n_threads=1)
    results = check_estimator(model, expected_failed_checks=expected, on_skip=None, on_fail="raise")
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(expected)
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(results) > 50
