"""Rows from a file, a folder of images or a named data set: `read(source)`, as the command line takes them.

| source | rows |
|---|---|
| `rows.npy` | an array (n, features), or of images, of three or four axes; memory-mapped |
| `rows.npz`, `rows.npz:name` | the first 2-D array, or the one of that name; SciPy's sparse .npz: a CSR matrix |
| `rows.csv`, `rows.csv.gz`, `rows.tsv` | numbers, with or without a header (`csv_text`) |
| `rows.parquet` | numeric and boolean columns; needs pyarrow |
| a folder | its images, all of one size (`images`); needs pillow |
| `mnist`, `mnist:test` | a data set of `aefast.data`: its training rows, its test rows |
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.data.selection import MISSING, Selection, drop_hint, listed
from aefast.errors import nearest

EXTRA = "pip install 'aefast[io]'"
PARTS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Rows:
    """What `read` gives.

    Attributes
    ----------
    X : (n, d) array, memmap or CSR matrix
        Numbers, as stored.
    names : tuple of str or None
        One a column, where the source names them.
    pixels : bool
        Whether X holds images' bytes, 0..255.
    notes : tuple of str
        What a reader should hear about how the source was understood.
    axes : tuple of int or None
        The shape of the image that a row holds, as the source has it.
    """

    X: Any
    names: tuple[str, ...] | None = None
    pixels: bool = False
    notes: tuple[str, ...] = ()
    axes: tuple[int, ...] | None = None

    @property
    def images(self) -> Any:
        """X in the shape of its images, (n, *axes), where the source has one; a view."""
        return self.X if self.axes is None else self.X.reshape(len(self.X), *self.axes)


def read(source: str, selection: Selection | None = None) -> Rows:
    """The rows of `source` (see the table above).

    Raises FileNotFoundError, or ValueError that says which line, column or file can't be read as numbers;
    ModuleNotFoundError where a package is missing.
    """
    selection = selection or Selection()
    rows = _flat(_reader(source)(selection), source, selection)
    if not hasattr(rows.X, "tocsr"):
        _check(rows.X, source)
    return rows


def _reader(source: str) -> Callable[[Selection], Rows]:
    name, _, part = source.partition(":")
    if name in _names():
        return lambda selection: _named(name, part, selection)
    path, inside = _split(source)
    if path.is_dir():
        from aefast.data.images import read_images

        return lambda selection: read_images(path)
    suffix = path.suffix.lower()
    if path.name.lower().endswith(".csv.gz"):
        suffix = ".csv"
    if suffix not in READERS:
        names = ", ".join(_names())
        known = f"expected a .npy, .npz, .csv or .parquet file, a folder of images, or one of {names}"
        if path.exists():
            raise ValueError(f"{source}: files of type {suffix or '(none)'!s} aren't read; {known}")
        raise FileNotFoundError(f"there is no file {source}{nearest(source, _names())}; {known}")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    return lambda selection: READERS[suffix](path, inside, selection)


def _names() -> tuple[str, ...]:
    from aefast import data

    return (*data.NAMES, *(name for name in data.TABLE_NAMES if name not in data.NAMES))


def _split(source: str) -> tuple[Path, str]:
    """The file and, of `file.npz:name`, the name."""
    path = Path(source)
    head, colon, name = source.rpartition(":")
    if colon and head.lower().endswith(".npz") and not path.exists():
        return Path(head), name
    return path, ""


def _named(name: str, part: str, selection: Selection) -> Rows:
    import warnings

    from aefast import data

    if part not in ("", *PARTS):
        raise ValueError(f"{name}:{part}: a data set's parts are {name}:train and {name}:test")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        if name in data.NAMES:
            images = data.load(name)
            X, names, pixels = images.X_test if part == "test" else images.X_train, None, True
            axes = images.image_shape
        else:
            if part:
                raise ValueError(f"{name} isn't split; name it without :{part}")
            table = data.load_table(name)
            X, names, pixels, axes = table.X, tuple(table.feature_names), False, None
    wanted = selection.of(names, X.shape[1], name)
    whole = wanted == list(range(X.shape[1]))
    return Rows(
        X if whole else X[:, wanted],
        None if names is None else tuple(names[i] for i in wanted),
        pixels,
        (*(str(note.message) for note in notes), *selection.note(names, name)),
        axes if whole else None,
    )


def _read_npy(path: Path, inside: str, selection: Selection) -> Rows:
    with _as(path, "a .npy file of numbers"):
        # A mapping of no bytes isn't possible, and an array of none is told apart below.
        X = np.load(path, mmap_mode="r", allow_pickle=False)
    if hasattr(X, "files"):
        raise ValueError(f"{path} isn't a .npy file, but an archive of arrays: name it .npz")
    return Rows(_columns(X, selection, path))


def _read_npz(path: Path, inside: str, selection: Selection) -> Rows:
    with _as(path, "a .npz file of numbers"):
        archive = np.load(path, allow_pickle=False)
        if not hasattr(archive, "files"):
            raise ValueError("it is a single array: name it .npy")
        with archive:
            names = list(archive.files)
            if {"format", "shape", "data"} <= set(names):
                from scipy import sparse

                return Rows(sparse.load_npz(path).tocsr())
            if inside:
                if inside not in names:
                    raise ValueError(f"it has no array {inside!r}{nearest(inside, names)}; it has {names}")
                return Rows(_columns(archive[inside], selection, f"{path}:{inside}"))
            # Only the header of each is read to find the first matrix.
            found = [name for name in names if len(_npz_shape(archive, name)) == 2]
            if not found:
                shapes = ", ".join(f"{name} {_npz_shape(archive, name)}" for name in names) or "no array"
                raise ValueError(f"none of its arrays has two dimensions (rows, features); it has {shapes}")
            others = ", ".join(f"{path.name}:{name}" for name in found[1:])
            notes = (f"{path.name}: taking {found[0]!r}, the first matrix; also there: {others}",)
            return Rows(_columns(archive[found[0]], selection, path), notes=notes if others else ())


def _npz_shape(archive: Any, name: str) -> tuple[int, ...]:
    from numpy.lib import format as npy

    member = name if name in archive.zip.namelist() else f"{name}.npy"
    with archive.zip.open(member) as file:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape: tuple[int, ...] = header(file)[0]
    return shape


def _read_csv(path: Path, inside: str, selection: Selection) -> Rows:
    from aefast.data.csv_text import read_csv

    X, names, notes = read_csv(path, selection)
    return Rows(X, names, notes=notes)


def _read_parquet(path: Path, inside: str, selection: Selection) -> Rows:
    try:
        from pyarrow import parquet, types
    except ImportError:
        raise ModuleNotFoundError(f"{path}: reading .parquet needs the package pyarrow: {EXTRA}") from None
    with _as(path, "a .parquet file"):
        table = parquet.read_table(path)
    every = tuple(table.column_names)
    wanted = selection.of(every, len(every), path)
    names = tuple(every[i] for i in wanted)
    columns = [table.column(i) for i in wanted]
    wrong = {
        name: str(column.type)
        for name, column in zip(names, columns, strict=True)
        if not (
            types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)
        )
    }
    if wrong:
        raise ValueError(
            f"{path}: {listed(list(wrong), 'column')} {'is' if len(wrong) == 1 else 'are'} not numeric "
            f"({next(iter(wrong.values()))}); {drop_hint(wrong)}"
        )
    for name, column in zip(names, columns, strict=True):
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise ValueError(f"{path}: column {name!r} has no value in row {row + 1}; {MISSING}")
    arrays = [np.asarray(column.to_numpy()) for column in columns]
    X = np.empty((table.num_rows, len(arrays)), np.result_type(*(a.dtype for a in arrays)))
    for i, array in enumerate(arrays):
        X[:, i] = array
    return Rows(X, names, notes=selection.note(every, path.name))


READERS: dict[str, Callable[[Path, str, Selection], Rows]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}


def _columns(X: NDArray[Any], selection: Selection, source: object) -> NDArray[Any]:
    """X without its dropped columns; X itself where there are none."""
    if X.ndim != 2 or not selection.drop:
        return X
    left: NDArray[Any] = X[:, selection.of(None, X.shape[1], source)]
    return left


def _flat(rows: Rows, source: str, selection: Selection) -> Rows:
    """Images of three or four axes as rows."""
    X = rows.X
    if hasattr(X, "tocsr") or X.ndim not in (3, 4) or 0 in X.shape:
        return rows
    if selection.drop:
        raise ValueError(f"{source} holds images of shape {X.shape[1:]}, which have no columns to drop")
    return replace(rows, X=X.reshape(len(X), -1), axes=X.shape[1:])


def _check(X: NDArray[Any], source: str) -> None:
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{source} holds {X.dtype} values, but numbers were expected; convert it first")
    if X.ndim != 2:
        raise ValueError(
            f"{source} has shape {X.shape}, but two dimensions (rows, features) were expected, or three or four of images"
        )
    if 0 in X.shape:
        raise ValueError(
            f"{source} has {X.shape[0]} rows and {X.shape[1]} columns: there is nothing to learn from"
        )


@contextmanager
def _as(path: Path, what: str) -> Iterator[None]:
    """A library's complaint about a file's content, with the file's name."""
    try:
        yield
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        text = str(error).partition("\n")[0]
        if (
            "pickle" in text or "Python objects" in text
        ):  # what NumPy takes everything for that it doesn't know
            text = "it holds objects, or is something else"
        if path.stat().st_size == 0:
            text = "it is empty"
        raise ValueError(f"{path} can't be read as {what}: {text}") from None
