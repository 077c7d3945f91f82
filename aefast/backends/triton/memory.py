"""Arrays as kernels take them: CuPy's on a GPU, NumPy's in Triton's interpreter; and the room that ops work in."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

MASK = 0xFFFFFFFF
Array = Any  # cupy.ndarray, or in the interpreter numpy.ndarray


class Pointer:
    """All that Triton asks of an array: where it begins, and its dtype.

    The interpreter also copies an array's storage to the host and back; here that is the array itself, where it is.
    """

    __slots__ = ("address", "dtype")

    def __init__(self, address: int, dtype: np.dtype[Any]) -> None:
        self.address, self.dtype = address, dtype

    def data_ptr(self) -> int:
        """The address in bytes."""
        return self.address

    def untyped_storage(self) -> Pointer:
        """Itself."""
        return self

    def cpu(self) -> Pointer:
        """Itself."""
        return self

    def copy_(self, other: Pointer) -> None:
        """Nothing: both are one."""

    def new_empty(self, size: int, device: str) -> Pointer:
        """One to be `set_`."""
        return Pointer(0, self.dtype)

    def set_(self, storage: Pointer, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        """From now on at the beginning of that storage."""
        self.address = storage.address

    def storage_offset(self) -> int:
        """A pointer's storage begins where it does."""
        return 0

    def size(self) -> tuple[int, ...]:
        """Kernels get sizes as numbers."""
        return ()

    def stride(self) -> tuple[int, ...]:
        """Kernels get strides as numbers."""
        return ()


def address_words(seed: int, epoch: int, stream: int) -> NDArray[np.int64]:
    """(seed's low word, its high word, epoch, stream)."""
    return np.array((seed & MASK, seed >> 32 & MASK, epoch & MASK, stream & MASK), np.int64)


def pointer(array: Array | None) -> Pointer | None:
    """Of an array; None stays: a kernel is compiled without what isn't given."""
    if array is None:
        return None
    address = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return Pointer(address, array.dtype)


def steps(matrix: Array | None) -> tuple[int, int]:
    """Elements from row to row and from column to column."""
    if matrix is None:
        return 0, 0
    row, col = matrix.strides
    return row // matrix.itemsize, col // matrix.itemsize


class Memory:
    """Where arrays lie: `xp` is cupy, or numpy in the interpreter."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self._rooms = threading.local()

    def here(self, array: Any) -> Array:
        """The array, copied to the device unless it is there."""
        return array if isinstance(array, self.xp.ndarray) else self.xp.asarray(array)

    def copied(self, array: NDArray[Any]) -> Array:
        """A copy of a host array on the device."""
        return self.xp.array(array)

    def host(self, array: Array) -> NDArray[Any]:
        """A host array's like; a copy where the device isn't the host."""
        return array if isinstance(array, np.ndarray) else np.asarray(array.get())

    control: Array | None = None
    """Of a recorded step: see `kernels/control.py`. None: every update takes place."""

    def numbers(self, *values: float) -> Array:
        """(n,) float64."""
        return self.here(np.array(values, np.float64))

    def address(self, seed: int, epoch: int, stream: int) -> Array:
        """(4,) int64: the words of `aefast.random` that all of a run's noise shares."""
        return self.here(address_words(seed, epoch, stream))

    def fits(self, n_bytes: int) -> bool:
        """Whether half of the device's free memory is as much."""
        if self.xp is np:
            return True
        free, _ = self.xp.cuda.Device().mem_info
        return bool(2 * n_bytes <= free)

    def room(self, purpose: str, n: int, dtype: Any) -> Array:
        """(>= n,) of that dtype with whatever was left there: kept for each purpose and thread, and grown."""
        held: dict[str, Array] = self._rooms.__dict__
        if purpose not in held or len(held[purpose]) < n:
            held[purpose] = self.xp.empty(n, dtype)
        return held[purpose]

    def strided(
        self, base: Array, offset: int, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> Array:
        """A view of `base` (bytes) from that byte on; strides in bytes, of any sign."""
        first = base[offset : offset + np.dtype(dtype).itemsize].view(dtype)
        return self.xp.lib.stride_tricks.as_strided(first, shape, strides)
