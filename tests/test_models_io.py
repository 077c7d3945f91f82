"""Copies, pickles and files of fitted estimators."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from estimator_cases import X, every_kind, quick
from sklearn.base import clone

import aefast
from aefast import DenoisingAutoencoder
from aefast.testing import forgery


@every_kind
def test_copies_answer_alike_and_learn_on_alike(kind):
    model = quick(kind, ema=0.9).fit(X)
    assert not hasattr(clone(model), "trainer_")
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for other in copies:
        np.testing.assert_array_equal(other.transform(X), model.transform(X))
        other.partial_fit(X)
    assert not np.array_equal(copies[0].transform(X), model.transform(X))
    model.partial_fit(X)
    for other in copies:
        np.testing.assert_array_equal(other.transform(X), model.transform(X))


def test_a_pickle_holds_no_data():
    small, large = (len(pickle.dumps(quick(epochs=1, batch_size=64).fit(np.tile(X, (k, 1))))) for k in (1, 5))
    assert large < small + 1000


@every_kind
@pytest.mark.parametrize(
    "changes",
    [
        {"scaling": "pixel"},
        {"ema": 0.8},
        {"hidden_layer_sizes": (np.int64(9),), "optimizer": aefast.optim.AdamW(weight_decay=0.1)},
    ],
    ids=["plain", "ema", "dataclass"],
)
def test_a_saved_model_comes_back(kind, changes, tmp_path):
    model = quick(kind, **changes).fit(X)
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = aefast.load(path)
    assert type(loaded) is kind and loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    np.testing.assert_array_equal(loaded.reconstruct(X), model.reconstruct(X))
    assert loaded.loss_curve_ == model.loss_curve_ and loaded.n_features_in_ == 64
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "model.safetensors"]
    loaded.partial_fit(X)


@every_kind
@pytest.mark.parametrize(
    "changes", [{}, {"learning_rate": 1e-2, "optimizer": "adamw"}], ids=["auto", "chosen"]
)
def test_a_loaded_model_learns_on_with_the_same_settings(kind, changes, tmp_path):
    model = quick(kind, **changes, warm_start=True).fit(X)
    model.save(tmp_path / "m.safetensors")
    loaded = aefast.load(tmp_path / "m.safetensors")
    for other in (loaded, model):  # at its end a whole run's schedule has come to 0
        other.trainer_.learning_rate, other.trainer_.schedule = other._rate(whole_run=False)
    assert loaded.trainer_.settings == model.trainer_.settings
    names = (
        "batch_size",
        "learning_rate",
        "schedule",
        "seed",
        "epoch",
        "beta",
        "kl_warmup_epochs",
    )
    assert [getattr(loaded.trainer_, n) for n in names] == [getattr(model.trainer_, n) for n in names]


def test_a_loaded_models_optimizer_begins_anew(tmp_path):
    model = quick(epochs=9).fit(X)
    model.save(tmp_path / "m.safetensors")
    loaded = aefast.load(tmp_path / "m.safetensors")
    assert loaded.trainer_.n_steps == 0 and loaded.trainer_.epoch == 9
    before = loaded.trainer_.parameters["encoder.0.weight"]
    loaded.partial_fit(X[:5])  # one step: Adam's first moves each weight by the learning rate at most
    moved = np.abs(loaded.trainer_.parameters["encoder.0.weight"] - before).max()
    assert 0 < moved <= 1.01 * loaded.trainer_.learning_rate


def test_what_was_fitted_is_saved_not_what_was_set_since(tmp_path):
    model = quick().fit(X)
    answers = model.transform(X), model.score(X)
    model.set_params(loss="mae", reduction="sum", epochs=0, optimizer="junk", dtype="float64")
    model.save(tmp_path / "m.safetensors")
    loaded = aefast.load(tmp_path / "m.safetensors")
    assert loaded.get_params() == quick().get_params()
    np.testing.assert_array_equal(loaded.transform(X), answers[0])
    assert loaded.score(X) == answers[1] == model.score(X)


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    from fractions import Fraction

    class Mine(aefast.Autoencoder):
        pass

    with pytest.raises(TypeError, match=r"Mine; keep others with joblib"):
        quick(Mine).fit(X).save(tmp_path / "m.safetensors")
    quick(learning_rate=Fraction(1, 100), tol=np.longdouble(0.1)).fit(X).save(tmp_path / "m.safetensors")
    loaded = aefast.load(tmp_path / "m.safetensors")
    assert loaded.learning_rate == 0.01 and loaded.tol == pytest.approx(0.1)
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_feature_names_and_salt_and_pepper_extremes_are_saved(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"p{i}" for i in range(64)])
    model = quick(DenoisingAutoencoder, corruption="salt_and_pepper", scaling=None).fit(frame)
    model.save(tmp_path / "m.safetensors")
    loaded = aefast.load(tmp_path / "m.safetensors")
    assert loaded.trainer_.settings.corruption == model.trainer_.settings.corruption
    assert (loaded.trainer_.settings.corruption.low, loaded.trainer_.settings.corruption.high) == (0, 16)
    assert list(loaded.feature_names_in_) == list(frame.columns)


def test_files_that_are_no_models_are_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    with pytest.raises(FileNotFoundError):
        aefast.load(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    with pytest.raises(aefast.CorruptFileError, match="not a whole"):
        aefast.load(path)
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(aefast.CorruptFileError, match="not a model that aefast saved"):
        aefast.load(path)
    quick().fit(X).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(aefast.CorruptFileError, match="not a whole"):
        aefast.load(path)
    for old, new, message in (
        (rb"\"Autoencoder\"", rb"\"Ottoencoder\"", "unknown model class 'Ottoencoder'"),
        (rb"\"version\":2", rb"\"version\":9", "format version 9, written by a newer aefast"),
    ):
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(aefast.CorruptFileError, match="the header's checksum is wrong"):
            aefast.load(path)
        outer, content, body = forgery.parts(whole)
        text = (
            json.dumps(content, separators=(",", ":"))
            .encode()
            .replace(*(x.replace(b"\\", b"") for x in (old, new)))
        )
        path.write_bytes(forgery.joined(outer, content, body, text=text.decode()))
        with pytest.raises(aefast.CorruptFileError, match=message):
            aefast.load(path)


def test_a_model_answers_alike_after_its_parameters_were_set_as_numpy_scalars(tmp_path):
    model = quick(n_components=np.int64(3), learning_rate=np.float32(0.001), verbose=False).fit(X)
    model.save(tmp_path / "m.safetensors")
    loaded = aefast.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    assert loaded.get_params() == model.get_params()


@pytest.mark.parametrize("wrong", [None, 3, [], b"model.safetensors"])
def test_what_is_no_path_is_named(wrong):
    for load in (aefast.load, aefast.Trainer.load_checkpoint):
        with pytest.raises(TypeError, match=r"^path must be a path \(str or os.PathLike\), but is "):
            load(wrong)


def test_a_shallow_copy_that_is_fitted_anew_leaves_the_original():
    """It shares what was learned, as any shallow copy does, until a fit replaces it."""
    model = quick(aefast.Autoencoder, epochs=2).fit(X)
    before, trainer, parameters = list(model.loss_curve_), model.trainer_, model.trainer_.parameters
    other = copy.copy(model).set_params(epochs=3).fit(X)
    assert (len(other.loss_curve_), model.loss_curve_, model.n_iter_) == (3, before, 2)
    assert model.trainer_ is trainer is not other.trainer_
    assert all(np.array_equal(parameters[name], value) for name, value in trainer.parameters.items())


def test_an_unknown_backend_is_the_argument_s_fault(tmp_path):
    quick().fit(X).save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="unknown backend 'nunpy'") as caught:
        aefast.load(tmp_path / "m.safetensors", backend="nunpy")
    assert not isinstance(caught.value, aefast.CorruptFileError)
