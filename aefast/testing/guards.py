"""Caller's memory as kernels meet it: any leading dimension, guard words around and between the rows, NaN in outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
GUARD = 64  # elements before and behind a buffer: more than the widest tile reads or writes past its end
# Signalling values that no computation makes. They are NaN, so that a kernel that lets padding into a sum shows it.
WORDS = {4: (np.uint32, 0x7FC0DEAD), 8: (np.uint64, 0x7FF8DEADBEEFCAFE)}


@dataclass(frozen=True)
class Layout:
    """How a matrix lies in memory: elements between its rows, elements by which it starts off a 64-byte line."""

    name: str
    padding: int
    offset: int

    def row_stride(self, cols: int) -> int:
        """Elements from row to row; padding -1 rounds up to 16 elements, as the plan's arena does."""
        return -(-cols // 16) * 16 if self.padding < 0 else cols + self.padding


LAYOUTS = (Layout("tight", 0, 0), Layout("arena", -1, 0), Layout("odd", 3, 1))


class Buffer:
    """A guarded array: `view` is what the op gets.

    Parameters
    ----------
    content : (rows, cols) or (n,) array
        What stands in it; converted to `dtype`.
    transposed : bool
        The view's columns, not its rows, are contiguous (a tied weight).
    """

    def __init__(
        self, content: Array, dtype: DTypeLike, layout: Layout = LAYOUTS[0], transposed: bool = False
    ) -> None:
        content = np.asarray(content).astype(dtype)
        matrix = content.T if transposed else content
        rows, cols = matrix.shape if matrix.ndim == 2 else (1, len(matrix))
        stride = layout.row_stride(cols) if matrix.ndim == 2 else cols
        size = content.itemsize
        word, pattern = WORDS[size]
        self._flat = np.empty(2 * GUARD + rows * stride + 16 + 64 // size, word)
        self._flat[...] = pattern
        aligned = -(self._flat.ctypes.data // size) % (64 // size)
        start = aligned + -(-GUARD // 16) * 16 + layout.offset
        inside = self._flat[start:].view(content.dtype)
        strides = (stride * size, size)
        view = np.lib.stride_tricks.as_strided(inside, (rows, cols), strides)
        view[...] = matrix.reshape(rows, cols)
        self.view: Array = view[0] if matrix.ndim == 1 else view.T if transposed else view
        self._before = self._flat.copy()
        self._inside = np.zeros(len(self._flat), bool)
        np.lib.stride_tricks.as_strided(self._inside[start:], (rows, cols), (stride, 1))[...] = True

    def overrun(self) -> bool:
        """Whether a word outside of the view was written."""
        return bool((self._flat != self._before)[~self._inside].any())

    def changed(self) -> bool:
        """Whether any bit was."""
        return bool((self._flat != self._before).any())
