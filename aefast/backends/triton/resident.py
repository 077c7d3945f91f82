"""Data sets, and what belongs to their rows, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.triton.memory import Array, Memory
from aefast.data.sparse import SparseRows

LOADED = frozenset("efdbBhHiIlLqQ")  # the kinds of numbers that kernels load as they lie in memory


def is_loadable(data: Array) -> bool:
    """Whether kernels can load the rows as they are: of a kind that they know, each number where its size allows it."""
    kind = data.dtype
    whole = all(step % kind.itemsize == 0 for step in data.strides)
    aligned = data.flags.aligned if isinstance(data, np.ndarray) else True
    return bool(kind.char in LOADED and kind.isnative and whole and aligned)


def loadable(data: NDArray[Any]) -> NDArray[Any]:
    """The rows as kernels load them; a copy of those that aren't."""
    kind = data.dtype
    if is_loadable(data):
        return data
    if kind.char == "?":
        return np.ascontiguousarray(data).view(np.uint8)
    if kind.char in LOADED and kind.isnative:
        return np.ascontiguousarray(data)
    return data.astype(np.float64 if kind.itemsize > 2 else np.float32)


def uploaded(data: Any, memory: Memory) -> Any:
    """A data set on the device."""
    if isinstance(data, SparseRows):
        here = memory.here
        return SparseRows(here(data.values), here(data.indices), here(data.indptr), data.shape)
    return memory.here(loadable(data))


def taken(data: Any, index: NDArray[np.int64]) -> Any:
    """Those rows by themselves, on the host."""
    return data.take(index) if isinstance(data, SparseRows) else loadable(data[index])


def n_bytes(data: Any) -> int:
    """Of a data set."""
    parts = (data.values, data.indices, data.indptr) if isinstance(data, SparseRows) else (data,)
    return sum(int(part.nbytes) for part in parts)


def place_of(array: Array | None) -> Any:
    """What a recorded step knows of an array; its length isn't part of it."""
    if array is None:
        return None
    address = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return address, array.dtype.str, array.strides


class Kept:
    """Device memory that stays where it is while what is written there changes."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._held: dict[str, Array] = {}

    def array(self, name: str, array: NDArray[Any]) -> Array:
        """The device's copy of a host array, in the memory of the last one of that name if that is large enough."""
        held = self._held.get(name)
        fits = held is not None and held.dtype == array.dtype and held.shape[1:] == array.shape[1:]
        if held is None or not fits or len(held) < len(array):
            held = self._held[name] = self._memory.xp.empty(array.shape, array.dtype)
        part = held[: len(array)]
        part[...] = self._memory.here(array)
        return part

    def rows(self, data: Any) -> Any:
        """The same of rows, dense or sparse."""
        if not isinstance(data, SparseRows):
            return self.array("rows", data)
        values, indices, indptr = (
            self.array(name, getattr(data, name)) for name in ("values", "indices", "indptr")
        )
        return SparseRows(values, indices, indptr, data.shape)
