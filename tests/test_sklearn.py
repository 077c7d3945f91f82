"""scikit-learn's letter: its whole check suite, and the tools that people put around an estimator."""

from __future__ import annotations

import numpy as np
import pytest
from estimator_cases import KINDS, X, every_kind, quick
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from aefast import Autoencoder, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder, backends
from aefast.testing.require import skip_or_fail

# In batches, and with noise addressed by row, two copies of a row are something else than a row of weight two.
# test_weights_are_copies_in_a_full_batch shows the equivalence where it holds.
EXPECTED_FAILURES = {
    f"check_sample_weight_equivalence_on_{data}_data": "copies of a row are shuffled apart"
    for data in ("dense", "sparse")
}


@pytest.fixture(params=["cpu", "numba"])
def fast_backend(request):
    support = backends.available(request.param)
    if not support:
        skip_or_fail(request.param, support.reason)
    return request.param


@every_kind
def test_scikit_learns_own_checks(kind, fast_backend):
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(
        kind(epochs=2, backend=fast_backend, n_threads=1),
        expected_failed_checks=EXPECTED_FAILURES,
        on_skip=None,
        on_fail="raise",
    )
    failed = {result["check_name"] for result in results if result["status"] == "xfail"}
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    assert failed == set(EXPECTED_FAILURES) and skipped <= {"check_array_api_input"}
    assert len(results) - len(failed) - len(skipped) > 50


@pytest.mark.parametrize("scaling", ["standard", "minmax", None])
@pytest.mark.parametrize(
    "changes",
    [{}, {"tied_weights": True, "loss": "mae"}, {"sparsity": "kl", "latent_activation": "sigmoid"}],
    ids=["plain", "tied", "sparse"],
)
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_weights_are_copies_in_a_full_batch(name, changes, scaling):
    if not backends.available(name):
        skip_or_fail(name, backends.available(name).reason)
    rng = np.random.default_rng(0)
    rows, weight = X[:90].astype(np.float64), rng.integers(0, 4, 90)
    copies = np.repeat(rows, weight, axis=0)
    same = {
        "dtype": "float64",
        "backend": name,
        "random_state": 0,
        "epochs": 30,
        "tol": 0,
        "scaling": scaling,
        "hidden_layer_sizes": (9,),
        # Steps in proportion to the gradient; Adam would blow a difference in rounding up to its learning rate.
        "optimizer": "momentum",
        "learning_rate": 0.02 if scaling else 1e-4,
        "weight_decay": 0.0,  # auto goes by the number of rows, which is what differs here
        **changes,
    }
    weighted = Autoencoder(4, batch_size=90, **same).fit(rows, sample_weight=weight)
    copied = Autoencoder(4, batch_size=len(copies), **same).fit(copies)
    np.testing.assert_allclose(weighted.loss_curve_, copied.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(weighted.transform(rows), copied.transform(rows), rtol=1e-6, atol=1e-9)
    unweighted = Autoencoder(4, batch_size=90, **same).fit(rows)
    assert abs(unweighted.loss_curve_[-1] / copied.loss_curve_[-1] - 1) > 1e-3


@every_kind
def test_in_a_pipeline_and_a_grid_search(kind):
    from sklearn.datasets import load_digits

    y = load_digits().target[: len(X)]
    pipeline = make_pipeline(MinMaxScaler(), quick(kind, epochs=2), LogisticRegression(max_iter=300))
    name = kind.__name__.lower()
    search = GridSearchCV(pipeline, {f"{name}__n_components": [2, 12]}, cv=3).fit(X, y)
    assert search.best_params_ == {f"{name}__n_components": 12}
    assert search.predict(X[:5]).shape == (5,)
    assert pipeline[:-1].fit(X).get_feature_names_out()[0] == f"{name}0"


def test_a_grid_search_by_the_models_own_score_in_processes():
    grid = {"n_components": [1, 8], "learning_rate": [1e-4, 1e-2]}
    search = GridSearchCV(quick(epochs=4), grid, cv=KFold(2), n_jobs=2).fit(X)
    assert search.best_params_ == {"n_components": 8, "learning_rate": 1e-2}
    alone = clone(search.best_estimator_).fit(X)
    np.testing.assert_array_equal(alone.transform(X), search.best_estimator_.transform(X))
    threads = cross_val_score(quick(backend="auto"), X, cv=3, n_jobs=2)
    np.testing.assert_array_equal(threads, cross_val_score(quick(backend="auto"), X, cv=3))


@every_kind
def test_joblib_keeps_a_fitted_model(kind, tmp_path):
    import joblib

    model = quick(kind, backend="auto").fit(X)
    joblib.dump(model, tmp_path / "model.joblib")
    for mode in (None, "r"):
        loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mode)
        np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
        loaded.partial_fit(X)
    in_processes = joblib.Parallel(2, mmap_mode="r", max_nbytes=1)(  # on read-only shared memory
        joblib.delayed(lambda m, rows: (m.transform(rows), clone(m).fit(rows).transform(rows)))(model, X)
        for _ in range(2)
    )
    for old, new in in_processes:
        # BLAS, below the other backends, rounds differently with other numbers of threads.
        near = 0 if model.trainer_.backend_name == "cpu" else 1e-3
        np.testing.assert_allclose(old, model.transform(X), rtol=near, atol=near)
        np.testing.assert_allclose(new, model.transform(X), rtol=near, atol=near)


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_frames_come_out_where_they_are_asked_for(frame):
    module = pytest.importorskip(frame)
    names = [f"pixel {i}" for i in range(64)]
    table = module.DataFrame(X, columns=names) if frame == "pandas" else module.DataFrame(X, schema=names)
    model = quick(n_components=3).set_output(transform=frame).fit(table)
    assert list(model.feature_names_in_) == names
    Z = model.transform(table)
    assert isinstance(Z, module.DataFrame)
    assert list(Z.columns) == list(model.get_feature_names_out()) == [f"autoencoder{i}" for i in range(3)]
    plain = quick(n_components=3).fit(X)
    np.testing.assert_array_equal(Z.to_numpy(), plain.transform(X))
    np.testing.assert_array_equal(model.inverse_transform(Z), plain.inverse_transform(plain.transform(X)))
    swapped = table[names[::-1]]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(swapped)
    if frame == "pandas":
        assert (Z.index == table.index).all()
        columns = ColumnTransformer([("code", quick(n_components=2), names[:30])], remainder="passthrough")
        assert columns.fit_transform(table).shape == (600, 36)


def test_nullable_and_categorical_free_frames_of_mixed_numbers():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X[:, 20:28]).astype(
        {0: "int8", 1: "float32", 2: "Int64", 3: "bool", 4: "Float64"}
    )
    plain = quick(n_components=2).fit(table.to_numpy(np.float64))
    table.columns = [f"c{i}" for i in range(8)]
    np.testing.assert_allclose(
        quick(n_components=2).fit(table).transform(table),
        plain.transform(table.to_numpy(np.float64)),
        rtol=1e-5,
    )
    table["c2"] = table["c2"].mask(table.index == 5)
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(table)
    table["c2"] = "word"
    with pytest.raises(ValueError, match="word"):
        quick().fit(table)


def test_metadata_routing_passes_weights_through_a_pipeline():
    import sklearn

    weight = np.r_[np.ones(300), np.zeros(300)]
    with sklearn.config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(MinMaxScaler(), model)
        pipeline.fit(X, sample_weight=weight)
    direct = quick().fit(MinMaxScaler().fit_transform(X), sample_weight=weight)
    assert pipeline[-1].loss_curve_ == direct.loss_curve_


@every_kind
def test_tags_tell_what_is_true(kind):
    from sklearn.utils import get_tags

    tags = get_tags(kind())
    assert tags.input_tags.sparse and not tags.input_tags.allow_nan
    assert tags.requires_fit and not tags.target_tags.required
    assert tags.transformer_tags.preserves_dtype == ["float32"]


def test_every_kind_shows_itself():
    for kind in KINDS:
        assert repr(kind(n_components=3)) == f"{kind.__name__}(n_components=3)"
        assert "n_components" in quick(kind)._repr_html_()


def test_presets_share_their_parameters_with_the_autoencoder():
    base = set(Autoencoder().get_params())
    assert set(DenoisingAutoencoder().get_params()) == set(SparseAutoencoder().get_params()) == base
    extra = {"beta", "kl_warmup_epochs", "free_bits"}
    missing = {"tied_weights", "latent_activation", "corruption", "corruption_level"}
    missing |= {"sparsity", "sparsity_weight", "rho"}
    assert set(VariationalAutoencoder().get_params()) == base - missing | extra
