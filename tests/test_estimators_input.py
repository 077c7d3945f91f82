"""Wrong parameters and data are named before anything is touched; right data of any dtype and layout is taken."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from estimator_cases import X, every_kind, quick
from sklearn.exceptions import NotFittedError

from aefast import Autoencoder, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder
from aefast.data import scaling
from aefast.estimators import parameters


@every_kind
def test_every_constructor_parameter_is_stored_and_has_a_rule(kind):
    names = set(inspect.signature(kind).parameters)
    assert names <= set(parameters.RULES)
    model = kind(epochs=7, tol=0.5)
    assert model.get_params()["epochs"] == 7 and set(model.get_params()) == names


def test_the_presets_share_the_vanilla_defaults():
    vanilla = {name: p.default for name, p in inspect.signature(Autoencoder).parameters.items()}
    own = {
        DenoisingAutoencoder: {"corruption"},
        SparseAutoencoder: {
            "sparsity",
            "sparsity_weight",
            "latent_activation",
            "hidden_layer_sizes",
            "reduction",
            "weight_decay",
        },
        VariationalAutoencoder: {"reduction", "weight_decay"},
    }
    for kind, different in own.items():
        preset = {
            name: p.default for name, p in inspect.signature(kind).parameters.items() if name in vanilla
        }
        assert {name for name, value in preset.items() if value != vanilla[name]} == different


@pytest.mark.parametrize(
    ("d", "components", "hidden"),
    [(1, 2, 64), (4, 2, 64), (30, 8, 120), (64, 16, 256), (256, 32, 512), (257, 32, 256), (784, 32, 256)],
)
def test_auto_sizes(d, components, hidden):
    assert parameters.auto_components(d) == components and parameters.auto_hidden(d) == (hidden,)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"n_components": 0},
            ValueError,
            "n_components must be an integer of at least 1 or 'auto', but is 0",
        ),
        ({"n_components": 2.5}, TypeError, "n_components must be an integer"),
        ({"n_components": True}, TypeError, "n_components must be an integer"),
        ({"hidden_layer_sizes": (8, -1)}, ValueError, "each of hidden_layer_sizes"),
        ({"hidden_layer_sizes": "atuo"}, TypeError, "hidden_layer_sizes must be 'auto' or a tuple"),
        ({"activation": "rellu"}, ValueError, "unknown activation 'rellu'.*Did you mean 'relu'"),
        ({"loss": "msee"}, ValueError, "unknown loss 'msee'.*Did you mean 'mse'"),
        ({"reduction": "means"}, ValueError, "Did you mean 'mean'"),
        ({"scaling": "standart"}, ValueError, "Did you mean 'standard'"),
        ({"optimizer": "adma"}, ValueError, "unknown optimizer 'adma'"),
        ({"optimizer": 3}, TypeError, "optimizer"),
        ({"schedule": "cosin"}, ValueError, "Did you mean 'cosine'"),
        ({"backend": "nunba"}, ValueError, "Did you mean 'numba'"),
        ({"dtype": "float23"}, ValueError, "Did you mean 'float32'"),
        ({"learning_rate": -1.0}, ValueError, r"must be a number in \[0, inf\) or 'auto', but is -1.0"),
        ({"learning_rate": np.nan}, ValueError, "learning_rate"),
        ({"ema": 1.0}, ValueError, r"ema must be a number in \[0, 1\) or None"),
        ({"clip_norm": 0}, ValueError, "clip_norm"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": "many"}, TypeError, "epochs"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"shuffle": "yes"}, TypeError, "shuffle must be True or False"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction"),
        ({"tol": -1}, ValueError, "tol"),
        ({"rho": 0.0}, ValueError, "rho"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"corruption": "gausian"}, ValueError, "Did you mean 'gaussian'"),
        ({"corruption": "masking", "corruption_level": 1.5}, ValueError, "corruption level"),
        (
            {"sparsity": "kl"},
            ValueError,
            r"sparsity='kl' needs a code in \(0, 1\).*latent_activation='sigmoid'",
        ),
        ({"sparsity": "l3"}, ValueError, "unknown sparsity"),
        ({"loss": "bce", "output_activation": "relu"}, ValueError, "output_activation='sigmoid'"),
        (
            {"loss": "bce", "scaling": "standard"},
            ValueError,
            r"loss='bce' needs targets in \[0, 1\].*scaling='minmax'",
        ),
        ({"loss": "bce"}, ValueError, r"reaches from 0 to 16.*scaling='pixel'"),
        ({"tied_weights": True, "hidden_layer_sizes": 8, "n_threads": 0}, ValueError, "n_threads"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_parameters_are_named_before_anything_is_touched(changes, error, message):
    model = quick().fit(X[:, :10])
    before = pickle.dumps(vars(model))
    model.set_params(**changes)
    with pytest.raises(error, match=message):
        model.fit(X)
    model.set_params(**{name: getattr(quick(), name) for name in changes})
    assert pickle.dumps(vars(model)) == before


def test_presets_refuse_to_be_what_they_are_not():
    with pytest.raises(ValueError, match="corruption of a DenoisingAutoencoder"):
        quick(DenoisingAutoencoder, corruption=None).fit(X)
    with pytest.raises(ValueError, match="sparsity of a SparseAutoencoder"):
        quick(SparseAutoencoder, sparsity=None).fit(X)
    with pytest.raises(ValueError, match="reduction must be 'sum'"):
        quick(VariationalAutoencoder, reduction="mean").fit(X)
    with pytest.raises(ValueError, match=r"KL|kl"):
        quick(SparseAutoencoder, latent_activation="relu").fit(X)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (X[0], "Reshape your data|2D"),
        (X[None], "dim 3|2"),
        (np.empty((0, 64)), "0 sample"),
        (np.empty((5, 0)), "0 feature"),
        (X[:, :10], "10 features.*expecting 64"),
        (np.array([["a"] * 64] * 3), "could not convert|string"),
        (X.astype(complex), "[Cc]omplex"),
        (np.zeros((3, 64), "M8[s]"), "numbers|dtype"),
    ],
    ids=["1-D", "3-D", "no rows", "no features", "width", "strings", "complex", "dates"],
)
def test_wrong_data_is_refused(bad, message):
    model = quick(epochs=1).fit(X)
    before = model.transform(X)
    for method in (model.transform, model.reconstruct, model.score_samples):
        with pytest.raises((ValueError, TypeError), match=message):
            method(bad)
    if bad.shape != (600, 10):
        with pytest.raises((ValueError, TypeError)):
            model.fit(bad)
    np.testing.assert_array_equal(model.transform(X), before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_found(value, monkeypatch):
    monkeypatch.setattr(scaling, "BLOCK_VALUES", 6400)  # blocks of 100 rows
    bad = X.copy()
    bad[417, 33] = value
    with pytest.raises(ValueError, match=r"X contains (NaN|inf).* row 417, column 33"):
        quick().fit(bad)
    model = quick(epochs=1).fit(X)
    for method in (model.transform, model.score_samples, model.partial_fit):
        with pytest.raises(ValueError, match="row 417, column 33"):
            method(bad)
    with pytest.raises(ValueError, match=r"X_val contains"):
        quick().fit(X, X_val=bad)


def test_large_finite_half_floats_are_fine():
    model = quick(epochs=1).fit(np.full((40, 5), 60000, np.float16))
    assert np.isfinite(model.score(np.full((40, 5), 60000, np.float16)))


@pytest.mark.parametrize(
    "weight", [np.ones(3), -np.ones(600), np.full(600, np.nan), np.zeros(600), np.ones((600, 2))]
)
def test_wrong_weights_are_refused(weight):
    with pytest.raises(ValueError, match="sample_weight"):
        quick().fit(X, sample_weight=weight)


def test_codes_of_another_width_are_refused():
    model = quick(epochs=1).fit(X)
    with pytest.raises(ValueError, match="Z has 3 columns, but this Autoencoder's code has 16"):
        model.inverse_transform(np.zeros((4, 3)))


@every_kind
def test_an_unfitted_model_says_so(kind):
    for method in ("transform", "inverse_transform", "reconstruct", "score_samples"):
        with pytest.raises(NotFittedError):
            getattr(kind(), method)(X)
    with pytest.raises(NotFittedError):
        kind().save("never.safetensors")
    with pytest.raises(NotFittedError):
        VariationalAutoencoder().sample(2)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8", "int32", ">f4", "bool"])
def test_dtypes_and_layouts_give_the_same_model(dtype):
    base = (X > 8) if dtype == "bool" else X.astype(dtype)
    wanted = quick().fit(base.astype(np.float32)).transform(base.astype(np.float32))
    strided = np.repeat(base, 2, axis=1)[:, ::2]
    readonly = base.copy()
    readonly.flags.writeable = False
    for same in (base, np.asfortranarray(base), strided, readonly):
        kept = same.copy()
        np.testing.assert_allclose(quick().fit(same).transform(same), wanted, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(same, kept)


def test_memmaps_and_frames(tmp_path):
    pandas = pytest.importorskip("pandas")
    wanted = quick().fit(X).transform(X)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    mapped[:] = X
    np.testing.assert_array_equal(quick().fit(mapped).transform(mapped), wanted)
    frame = pandas.DataFrame(X, columns=[f"p{i}" for i in range(64)])
    model = quick().fit(frame)
    np.testing.assert_array_equal(model.transform(frame), wanted)
    assert model.feature_names_in_[3] == "p3"
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[frame.columns[::-1]])
    out = model.set_output(transform="pandas").transform(frame)
    assert list(out.columns[:2]) == ["autoencoder0", "autoencoder1"]
