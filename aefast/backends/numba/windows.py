"""Windows of images, compiled: copied out for a product, added back after one, and the loops of depthwise kernels.

What a geometry's numbers mean stands in `aefast/geometry.py`. Pixels outside of the image count as zeros where windows are
copied out, and are left out elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numba.intrinsics import row
from aefast.backends.numba.jit import (
    DOUBLES,
    INT,
    MATRIX,
    OUT_DOUBLES,
    OUT_MATRIX,
    OUT_VECTOR,
    ROWS,
    VECTOR,
    device,
    kernel,
)
from aefast.geometry import Geometry


@lru_cache(256)
def numbers(geometry: Geometry) -> NDArray[np.int64]:
    """The geometry for compiled code: (15,) in the order of its fields."""
    fields = np.array([getattr(geometry, name) for name in Geometry.__dataclass_fields__], np.int64)
    fields.flags.writeable = False
    return fields


@device
def unpacked(geometry: Any) -> Any:
    """(image, map, kernel, stride, pad, dilation), each (y, x), and (channels, out_channels, groups)."""
    g = geometry
    sizes = (g[0], g[1]), (g[3], g[4]), (g[6], g[7])
    steps = (g[8], g[9]), (g[10], g[11]), (g[12], g[13])
    return sizes[0], sizes[1], sizes[2], steps[0], steps[1], steps[2], (g[2], g[5], g[14])


@device
def inside(start: int, dilation: int, size: int, taps: int) -> Any:
    """The taps [low, high) with 0 <= start + tap * dilation < size."""
    low = (dilation - 1 - start) // dilation if start < 0 else 0
    high = (size - start + dilation - 1) // dilation if start < size else 0
    low, high = min(low, taps), min(high, taps)
    return low, max(low, high)


@device
def clear(x: Any) -> None:
    """x = 0."""
    for j in range(x.size):
        x[j] = 0


@device
def copy(x: Any, out: Any) -> None:
    """out = x."""
    for j in range(out.size):
        out[j] = x[j]


@device
def add(x: Any, out: Any) -> None:
    """out += x."""
    for j in range(out.size):
        out[j] += x[j]


@kernel(MATRIX, ROWS, INT, INT, OUT_VECTOR)
def patches(x: Any, geometry: Any, first: int, last: int, out: Any) -> None:
    """out[group, image, y, x, (ky, kx, c)] = the window of that map pixel, of the map's rows first <= y < last."""
    image_size, map_size, taps, stride, pad, dilation, (channels, _, groups) = unpacked(geometry)
    depth = channels // groups
    run, whole, end = taps[1] * depth, groups == 1 and dilation[1] == 1, 0
    for g in range(groups):
        for i in range(x.shape[0]):
            image = row(x, i)
            for map_y in range(first, last):
                for map_x in range(map_size[1]):
                    x0 = map_x * stride[1] - pad[1]
                    low, high = inside(x0, dilation[1], image_size[1], taps[1])
                    for tap_y in range(taps[0]):
                        y = map_y * stride[0] - pad[0] + tap_y * dilation[0]
                        window = out[end : end + run]
                        end += run
                        if y < 0 or y >= image_size[0]:
                            clear(window)
                            continue
                        clear(window[: low * depth])
                        clear(window[high * depth :])
                        pixels = y * image_size[1] + x0
                        if whole:
                            seen = window[low * depth : high * depth]
                            copy(image[(pixels + low) * channels : (pixels + high) * channels], seen)
                        else:
                            for tap_x in range(low, high):
                                c = (pixels + tap_x * dilation[1]) * channels + g * depth
                                copy(image[c : c + depth], window[tap_x * depth : (tap_x + 1) * depth])


@kernel(VECTOR, ROWS, INT, INT, OUT_MATRIX)
def add_patches(x: Any, geometry: Any, first: int, last: int, out: Any) -> None:
    """The transpose of `patches`: every window of x is added to its pixels of out, which begins with zeros at first = 0."""
    image_size, map_size, taps, stride, pad, dilation, (channels, _, groups) = unpacked(geometry)
    depth = channels // groups
    run, whole, end = taps[1] * depth, groups == 1 and dilation[1] == 1, 0
    for g in range(groups):
        for i in range(out.shape[0]):
            image = row(out, i)
            if first == 0 and g == 0:
                clear(image)
            for map_y in range(first, last):
                for map_x in range(map_size[1]):
                    x0 = map_x * stride[1] - pad[1]
                    low, high = inside(x0, dilation[1], image_size[1], taps[1])
                    for tap_y in range(taps[0]):
                        y = map_y * stride[0] - pad[0] + tap_y * dilation[0]
                        window = x[end : end + run]
                        end += run
                        if y < 0 or y >= image_size[0]:
                            continue
                        pixels = y * image_size[1] + x0
                        if whole:
                            seen = window[low * depth : high * depth]
                            add(seen, image[(pixels + low) * channels : (pixels + high) * channels])
                        else:
                            for tap_x in range(low, high):
                                c = (pixels + tap_x * dilation[1]) * channels + g * depth
                                add(window[tap_x * depth : (tap_x + 1) * depth], image[c : c + depth])


FORWARD, TRANSPOSED, WEIGHT = 0, 1, 2
"""What `depthwise` writes: the map, the image or the weight."""


@kernel(INT, ROWS, OUT_MATRIX, OUT_VECTOR, OUT_MATRIX)
def depthwise(what: int, geometry: Any, images: Any, weight: Any, maps: Any) -> None:
    """A kernel for each image channel, weight (ky, kx, map channel): one of the three from the other two.

    The weight's gradient is added to what is there; maps and images are written anew.
    """
    image_size, map_size, taps, stride, pad, dilation, (channels, n, _) = unpacked(geometry)
    for i in range(images.shape[0]):
        image, result = row(images, i), row(maps, i)
        if what == TRANSPOSED:
            clear(image)
        for map_y in range(map_size[0]):
            for map_x in range(map_size[1]):
                p = (map_y * map_size[1] + map_x) * n
                pixel = result[p : p + n]
                if what == FORWARD:
                    clear(pixel)
                y0, x0 = map_y * stride[0] - pad[0], map_x * stride[1] - pad[1]
                low_y, high_y = inside(y0, dilation[0], image_size[0], taps[0])
                low, high = inside(x0, dilation[1], image_size[1], taps[1])
                for tap_y in range(low_y, high_y):
                    for tap_x in range(low, high):
                        k = (tap_y * taps[1] + tap_x) * n
                        c = (y0 + tap_y * dilation[0]) * image_size[1] + x0 + tap_x * dilation[1]
                        tap, seen = weight[k : k + n], image[c * channels : (c + 1) * channels]
                        if what == FORWARD:
                            _multiply_add(seen, tap, pixel)
                        elif what == TRANSPOSED:
                            _multiply_sum(pixel, tap, seen)
                        else:
                            _multiply_add(seen, pixel, tap)


@device
def _multiply_add(x: Any, y: Any, out: Any) -> None:
    """out += x * y; several neighbours of y and out share an element of x."""
    if x.size == out.size:
        for j in range(out.size):
            out[j] += x[j] * y[j]
    else:
        share = out.size // x.size
        for j in range(x.size):
            a, b = out[j * share : (j + 1) * share], y[j * share : (j + 1) * share]
            for k in range(a.size):
                a[k] += x[j] * b[k]


@device
def _multiply_sum(x: Any, y: Any, out: Any) -> None:
    """out += the sums of neighbours of x * y."""
    if x.size == out.size:
        for j in range(out.size):
            out[j] += x[j] * y[j]
    else:
        share = x.size // out.size
        for j in range(out.size):
            for k in range(j * share, (j + 1) * share):
                out[j] += x[k] * y[k]


@kernel(VECTOR, OUT_DOUBLES)
def add_wide(x: Any, out: Any) -> None:
    """out += x in float64."""
    for j in range(out.size):
        out[j] += x[j]


@kernel(DOUBLES, INT, OUT_MATRIX)
def store_transposed(x: Any, accumulate: int, out: Any) -> None:
    """out (n, k) = or += x (k, n) flat."""
    n = out.shape[0]
    for i in range(n):
        w = row(out, i)
        for k in range(w.size):
            w[k] = w.dtype.type(x[k * n + i] + w[k]) if accumulate else w.dtype.type(x[k * n + i])
