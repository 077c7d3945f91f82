"""Tables of results to files by suffix, whole or not at all; CSV to a stream."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aefast.data.scaling import blocks
from aefast.io.files import replace_file

# Digits that bring a number back bit by bit.
DIGITS = {"float32": 9, "float64": 17}


def check_target(path: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> None:
    """Raises ValueError or OSError for a file that can't come to be there: before the work that is to fill it.

    `suffixes`: those that are known; empty for all.
    """
    target = Path(path)
    if suffixes and target.suffix.lower() not in suffixes:
        raise ValueError(f"{target}: the name must end in {', '.join(suffixes)}")
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder, but a file was expected")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent} to write {target.name} into")
    try:
        # Permission bits don't tell of a file system that is read-only or no place for files.
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise PermissionError(f"no file can be written into {target.parent} ({error.strerror})") from None
    if target.suffix.lower() == ".parquet":
        _pyarrow(target)


def write(path: str | os.PathLike[str], values: NDArray[Any], names: Sequence[str], what: str) -> None:
    """Writes `values` (n, k) to a .npy, .npz, .csv or .parquet file, replacing one that is there.

    `names`: k of them, the columns of .csv and .parquet; `what`: the array's name in a .npz. Raises as `check_target` does.
    """
    target = Path(path)
    check_target(target, SUFFIXES)
    memory = io.BytesIO()
    WRITERS[target.suffix.lower()](memory, values, names, what)
    replace_file(target, memory.getvalue())


def write_csv(stream: IO[str], values: NDArray[Any], names: Sequence[str]) -> None:
    """A header and a line a row, numbers with as many digits as bring them back bit by bit."""
    import csv

    csv.writer(stream, lineterminator="\n").writerow(names)
    form = f"%.{DIGITS[values.dtype.name]}g" if values.dtype.kind == "f" else "%d"
    for rows in blocks(*values.shape):
        np.savetxt(stream, values[rows], fmt=form, delimiter=",")


def _csv(memory: IO[bytes], values: NDArray[Any], names: Sequence[str], what: str) -> None:
    text = io.TextIOWrapper(memory, encoding="utf-8", newline="")
    write_csv(text, values, names)
    text.detach()


def _npy(memory: IO[bytes], values: NDArray[Any], names: Sequence[str], what: str) -> None:
    np.save(memory, values, allow_pickle=False)


def _npz(memory: IO[bytes], values: NDArray[Any], names: Sequence[str], what: str) -> None:
    arrays: dict[str, Any] = {what: values}
    np.savez(memory, **arrays)


def _parquet(memory: IO[bytes], values: NDArray[Any], names: Sequence[str], what: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = [pa.array(np.ascontiguousarray(column)) for column in values.T]
    parquet.write_table(pa.Table.from_arrays(columns, names=list(names)), memory)


def _pyarrow(target: Path) -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise ModuleNotFoundError(
            f"{target}: writing .parquet needs the package pyarrow: pip install 'aefast[io]'"
        )


WRITERS: dict[str, Callable[[IO[bytes], NDArray[Any], Sequence[str], str], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
}
SUFFIXES: tuple[str, ...] = tuple(WRITERS)
