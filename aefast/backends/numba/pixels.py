"""What convolutional models need beside products, compiled: pooling, nearest upsampling, rows transposed."""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast.backends.numba.intrinsics import row, select
from aefast.backends.numba.jit import INT, MATRIX, OUT_MATRIX, OUT_ROWS, OUT_VECTOR, ROWS, kernel
from aefast.backends.numba.windows import add, clear, copy, inside, unpacked
from aefast.layers import POOL_CODES

MAX, AVERAGE = (POOL_CODES[name] for name in ("max", "average"))
TILE = 16


@kernel(MATRIX, INT, ROWS, OUT_MATRIX)
def pool(x: Any, kind: int, geometry: Any, out: Any) -> None:
    """The greatest or the mean of each window's pixels within the image; NaN wins; nothing to see is 0."""
    image_size, map_size, taps, stride, pad, dilation, (n, _, _) = unpacked(geometry)
    real = out.dtype.type
    for i in range(out.shape[0]):
        image, result = row(x, i), row(out, i)
        for map_y in range(map_size[0]):
            y0 = map_y * stride[0] - pad[0]
            low_y, high_y = inside(y0, dilation[0], image_size[0], taps[0])
            for map_x in range(map_size[1]):
                x0 = map_x * stride[1] - pad[1]
                low, high = inside(x0, dilation[1], image_size[1], taps[1])
                p = (map_y * map_size[1] + map_x) * n
                pixel, first = result[p : p + n], True
                clear(pixel)
                for tap_y in range(low_y, high_y):
                    for tap_x in range(low, high):
                        c = (y0 + tap_y * dilation[0]) * image_size[1] + x0 + tap_x * dilation[1]
                        seen = image[c * n : (c + 1) * n]
                        if first:
                            copy(seen, pixel)
                            first = False
                        elif kind == MAX:
                            for j in range(n):
                                v, best = seen[j], pixel[j]
                                pixel[j] = select((v > best) | (v != v), v, best)
                        else:
                            add(seen, pixel)
                if kind == AVERAGE and not first:
                    count = real((high_y - low_y) * (high - low))
                    for j in range(n):
                        pixel[j] /= count


@kernel(MATRIX, MATRIX, INT, ROWS, OUT_VECTOR, OUT_ROWS, OUT_MATRIX)
def unpool(delta: Any, x: Any, kind: int, geometry: Any, best: Any, at: Any, out: Any) -> None:
    """Each window's delta to its greatest pixel (the first of them, or the first NaN), or to all of them in equal shares.

    best and at, both (channels,): room.
    """
    image_size, map_size, taps, stride, pad, dilation, (n, _, _) = unpacked(geometry)
    real = out.dtype.type
    best, at = best[:n], at[:n]
    for i in range(out.shape[0]):
        image, result, shares = row(x, i), row(out, i), row(delta, i)
        clear(result)
        for map_y in range(map_size[0]):
            y0 = map_y * stride[0] - pad[0]
            low_y, high_y = inside(y0, dilation[0], image_size[0], taps[0])
            for map_x in range(map_size[1]):
                x0 = map_x * stride[1] - pad[1]
                low, high = inside(x0, dilation[1], image_size[1], taps[1])
                p = (map_y * map_size[1] + map_x) * n
                share, first = shares[p : p + n], True
                count = real((high_y - low_y) * (high - low))
                for tap_y in range(low_y, high_y):
                    for tap_x in range(low, high):
                        c = (y0 + tap_y * dilation[0]) * image_size[1] + x0 + tap_x * dilation[1]
                        c *= n
                        if kind == AVERAGE:
                            pixel = result[c : c + n]
                            for j in range(n):
                                pixel[j] += share[j] / count
                            continue
                        seen = image[c : c + n]
                        for j in range(n):
                            v = seen[j]
                            if first or v > best[j] or (v != v and best[j] == best[j]):
                                best[j] = v
                                at[j] = c + j
                        first = False
                if kind == MAX and not first:
                    for j in range(n):
                        result[at[j]] += share[j]


@kernel(MATRIX, ROWS, OUT_MATRIX)
def repeat(x: Any, geometry: Any, out: Any) -> None:
    """Each map pixel at the stride's pixels of the image, as far as the image goes."""
    image_size, map_size, _, stride, _, _, (n, _, _) = unpacked(geometry)
    for i in range(out.shape[0]):
        result, image = row(x, i), row(out, i)
        for y in range(image_size[0]):
            for x_ in range(image_size[1]):
                p = ((y // stride[0]) * map_size[1] + x_ // stride[1]) * n
                c = (y * image_size[1] + x_) * n
                copy(result[p : p + n], image[c : c + n])


@kernel(MATRIX, ROWS, OUT_MATRIX)
def sum_blocks(x: Any, geometry: Any, out: Any) -> None:
    """The transpose of `repeat`."""
    image_size, map_size, _, stride, _, _, (n, _, _) = unpacked(geometry)
    for i in range(out.shape[0]):
        image, result = row(x, i), row(out, i)
        clear(result)
        for y in range(image_size[0]):
            for x_ in range(image_size[1]):
                p = ((y // stride[0]) * map_size[1] + x_ // stride[1]) * n
                c = (y * image_size[1] + x_) * n
                add(image[c : c + n], result[p : p + n])


@kernel(MATRIX, INT, OUT_MATRIX)
def transpose_rows(x: Any, n: int, out: Any) -> None:
    """Each row, a matrix (n, cols / n), transposed, in tiles whose lines stay in the first cache."""
    m: Any = np.int64(x.shape[1]) // n
    for i in range(out.shape[0]):
        before, after = row(x, i), row(out, i)
        for top in range(0, n, TILE):
            height = min(TILE, n - top)
            for left in range(0, m, TILE):
                for j in range(left, min(left + TILE, m)):
                    line = after[j * n + top : j * n + top + height]
                    for k in range(height):
                        line[k] = before[(top + k) * m + j]
