"""The ops around convolutions by the contract: pooling, nearest upsampling, rows transposed; see `pixels.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numba import pixels
from aefast.backends.numba.products import times_slope
from aefast.backends.numba.scratch import room
from aefast.backends.numba.windows import numbers
from aefast.geometry import Geometry

Array = NDArray[Any]
INT64 = np.dtype(np.int64)
BLOCK = 1 << 15
"""Elements between two passes: 128 KB in float32, still in a cache in the second."""


def _blocks(out: Array) -> Iterator[slice]:
    step = max(1, BLOCK // out.shape[1])
    return (slice(start, min(start + step, len(out))) for start in range(0, len(out), step))


def pool2d(x: Array, kind: int, out: Array, geometry: Geometry) -> None:
    """out = the greatest ("max") or the mean ("average") of each window's pixels within the image, by channel."""
    pixels.pool[out.dtype](x, kind, numbers(geometry), out)


def pool2d_dgrad(
    delta: Array,
    x: Array,
    kind: int,
    act: int,
    saved: Array | None,
    extra: Array | None,
    out: Array,
    geometry: Geometry,
) -> None:
    """out = (unpooled delta + extra) * act'(saved); the first of a window's greatest pixels gets its delta."""
    n, dtype = geometry.channels, out.dtype
    best, at = room("row", n, dtype), room("places", n, INT64)
    for rows in _blocks(out):
        pixels.unpool[dtype](delta[rows], x[rows], kind, numbers(geometry), best, at, out[rows])
        times_slope(act, saved, extra, out, rows)


def upsample2d(x: Array, out: Array, geometry: Geometry) -> None:
    """out = each map pixel at stride_y x stride_x pixels of the image."""
    pixels.repeat[out.dtype](x, numbers(geometry), out)


def upsample2d_dgrad(
    delta: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """out = (sums of delta over each map pixel's block + extra) * act'(saved)."""
    for rows in _blocks(out):
        pixels.sum_blocks[out.dtype](delta[rows], numbers(geometry), out[rows])
        times_slope(act, saved, extra, out, rows)


def transpose_rows(x: Array, n: int, out: Array) -> None:
    """out = each row, a matrix (n, cols / n), transposed."""
    pixels.transpose_rows[out.dtype](x, n, out)
