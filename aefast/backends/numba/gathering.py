"""Rows of a user's matrix into the compute dtype, compiled for each dtype of data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numba.intrinsics import row
from aefast.backends.numba.jit import (
    DATA,
    DOUBLES,
    FLOAT,
    INT32S,
    OUT_MATRIX,
    ROWS,
    VALUES,
    Kernel,
    device,
    kernel,
)

Array = NDArray[Any]
COMPILED = "?bBhHiIlLqQfd"
"""Type codes that compiled code reads; others (float16, long double, foreign byte order) are converted first."""


@device
def _convert(x: Any, shift: Any, scale: Any, factor: float, out: Any) -> None:
    real = out.dtype.type
    if shift.size > 0:
        for j in range(out.size):
            out[j] = real((np.float64(x[j]) - shift[j]) * scale[j])
    elif factor != 1.0:
        f = real(factor)
        for j in range(out.size):
            out[j] = real(x[j]) * f
    else:
        for j in range(out.size):
            out[j] = real(x[j])


@kernel(DATA, ROWS, DOUBLES, DOUBLES, FLOAT, OUT_MATRIX)
def gather_rows(data: Any, index: Any, shift: Any, scale: Any, factor: float, out: Any) -> None:
    """out = (data[index] - shift) * scale in float64, or data[index] * factor in out's dtype; empty: none."""
    contiguous = data.strides[1] == data.itemsize
    for i in range(out.shape[0]):
        if contiguous:
            _convert(row(data, index[i]), shift, scale, factor, row(out, i))
        else:
            _convert(data[index[i]], shift, scale, factor, row(out, i))


def _spread(
    values: Any, indices: Any, indptr: Any, index: Any, shift: Any, scale: Any, factor: float, out: Any
) -> None:
    real = out.dtype.type
    f = real(factor)
    for i in range(out.shape[0]):
        x = row(out, i)
        for j in range(x.size):
            x[j] = real((0.0 - shift[j]) * scale[j]) if shift.size > 0 else real(0.0)
        # The arrays are the caller's: whatever they hold now, no foreign memory is touched.
        for k in range(max(indptr[index[i]], 0), min(indptr[index[i] + 1], values.size)):
            j = indices[k]
            if not 0 <= j < x.size:
                continue
            if shift.size > 0:
                x[j] = real((np.float64(values[k]) - shift[j]) * scale[j])
            elif factor != 1.0:
                x[j] = real(values[k]) * f
            else:
                x[j] = real(values[k])


def _spreading(integers: Any) -> Kernel:
    return kernel(VALUES, integers, integers, ROWS, DOUBLES, DOUBLES, FLOAT, OUT_MATRIX)(_spread)


spread_rows = {np.dtype(np.int32): _spreading(INT32S), np.dtype(np.int64): _spreading(ROWS)}
"""gather_rows from CSR, by the dtype of its indices; the elements that aren't stored are 0."""


def readable(data: Array, index: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The same rows as data and index that compiled code can read."""
    if type(data) is not np.ndarray:
        data = np.asarray(data)
    kind = data.dtype
    if kind.char in COMPILED and kind.isnative:
        return (data.view(np.uint8) if kind.char == "?" else data), index
    wide = np.float64 if kind.itemsize > 2 else np.float32
    return data[index].astype(wide), np.arange(len(index))
