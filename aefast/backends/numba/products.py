"""The convolutions: windows of a few images at a time copied out, BLAS for the product, one compiled pass over its result.

Rows are images flat, channels last; `aefast/geometry.py` says which two sides a geometry joins. The copied windows (or the
product that is added back to windows) fit a cache: a block is some images, or a band of a large image's map rows. Sums go
block by block in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numba import kernels, windows
from aefast.backends.numba.formulas import IDENTITY
from aefast.backends.numba.scratch import ones, room
from aefast.backends.numba.windows import FORWARD, TRANSPOSED, WEIGHT, numbers
from aefast.geometry import Geometry

Array = NDArray[Any]
Product = Callable[[Array, Array, Geometry, Array], None]
FLOAT64 = np.dtype(np.float64)
NO_DOUBLES = np.zeros(0)
WINDOWS = 1 << 17
"""Elements of windows that are held at a time (512 KB in float32) ..."""
LEAST_PIXELS = 64
"""... but the windows of so many map pixels, below which BLAS is slow; short of a whole row of the map, one row."""


def is_depthwise(geometry: Geometry) -> bool:
    """One image channel a group, and several of them: nothing for BLAS to do."""
    return geometry.channels == geometry.groups > 1


def images(geometry: Geometry, batch: int) -> Iterator[slice]:
    """The batch's rows, as many at a time as make a block."""
    pixels = geometry.out_height * geometry.out_width
    step = max(1, _pixels(geometry) // pixels)
    for start in range(0, batch, step):
        yield slice(start, min(start + step, batch))


def _pixels(geometry: Geometry) -> int:
    """Map pixels of a block."""
    window = geometry.kernel_height * geometry.kernel_width * geometry.channels
    return max(LEAST_PIXELS, WINDOWS // window)


def _bands(geometry: Geometry) -> Iterator[tuple[int, int, slice]]:
    """The map's rows [first, last) of a block, and where they lie in a flat map."""
    step = max(1, _pixels(geometry) // geometry.out_width)
    row = geometry.out_width * geometry.out_channels
    for first in range(0, geometry.out_height, step):
        last = min(first + step, geometry.out_height)
        yield first, last, slice(first * row, last * row)


def _by_group(maps: Array, geometry: Geometry) -> Array:
    """(groups, matrices, pixels, channels): whole maps of several images are one matrix where their rows follow each other."""
    batch, width = maps.shape
    pixels = width // geometry.out_channels
    shape = (1, batch * pixels) if maps.flags.c_contiguous else (batch, pixels)
    return maps.reshape(*shape, geometry.groups, -1).transpose(2, 0, 1, 3)


def _weights(w: Array, geometry: Geometry) -> Array:
    """(groups, 1, out_channels / groups, K)."""
    return w.reshape(geometry.groups, 1, -1, w.shape[1])


def _room_for_windows(maps: Array, k: int) -> Array:
    """(groups, matrices, pixels, K) for maps as `_by_group` gives them."""
    shape = (*maps.shape[:3], k)
    size = shape[0] * shape[1] * shape[2] * k
    return room("windows", size, maps.dtype)[:size].reshape(shape)


def _taps(w: Array) -> Array:
    """(K, N) flat: the weight of a depthwise kernel with neighbouring channels side by side."""
    taps = room("taps", w.size, w.dtype)[: w.size]
    taps.reshape(w.T.shape)[...] = w.T
    return taps


def correlate(x: Array, w: Array, geometry: Geometry, out: Array) -> None:
    """Maps out = images x by the kernel w; a block of `images`."""
    dtype = out.dtype
    if is_depthwise(geometry):
        windows.depthwise[dtype](FORWARD, numbers(geometry), x, _taps(w), out)
        return
    weights = _weights(w, geometry).swapaxes(2, 3)
    for first, last, columns in _bands(geometry):
        maps = _by_group(out[:, columns], geometry)
        seen = _room_for_windows(maps, w.shape[1])
        windows.patches[dtype](x, numbers(geometry), first, last, seen.reshape(-1))
        np.matmul(seen, weights, out=maps)


def spread(x: Array, w: Array, geometry: Geometry, out: Array) -> None:
    """Images out = maps x by the transposed kernel w; a block of `images`."""
    dtype = out.dtype
    if is_depthwise(geometry):
        windows.depthwise[dtype](TRANSPOSED, numbers(geometry), out, _taps(w), x)
        return
    for first, last, columns in _bands(geometry):
        maps = _by_group(x[:, columns], geometry)
        product = _room_for_windows(maps, w.shape[1])
        np.matmul(maps, _weights(w, geometry), out=product)
        windows.add_patches[dtype](product.reshape(-1), numbers(geometry), first, last, out)


def weight_gradient(
    maps: Array, images_: Array, dw: Array, accumulate: bool, partials: Array | None, geometry: Geometry
) -> None:
    """dw (out_channels, K) = (or +=) sum over pixels of maps times the windows that they see; `partials` of dw."""
    if is_depthwise(geometry):
        _depthwise_gradient(maps, images_, dw, accumulate, geometry)
    else:
        for rows in images(geometry, len(maps)):
            for first, last, columns in _bands(geometry):
                _add_products(maps[rows, columns], images_[rows], dw, accumulate, geometry, (first, last))
                accumulate = True
    if partials is not None:
        no_db, sums = maps[0, :0], NO_DOUBLES
        kernels.reduce_gradient[dw.dtype](maps, dw, 0, no_db, sums, partials)


def _add_products(
    maps: Array, images_: Array, dw: Array, accumulate: bool, geometry: Geometry, band: tuple[int, int]
) -> None:
    dtype = dw.dtype
    if not maps.flags.c_contiguous:
        packed = room("maps", maps.size, dtype)[: maps.size].reshape(maps.shape)
        packed[...] = maps
        maps = packed
    delta = _by_group(maps, geometry)
    seen = _room_for_windows(delta, dw.shape[1])
    windows.patches[dtype](images_, numbers(geometry), *band, seen.reshape(-1))
    share = dw
    if accumulate:
        share = room("gradient", dw.size, dtype)[: dw.size].reshape(dw.shape)
    np.matmul(delta.swapaxes(2, 3), seen, out=_weights(share, geometry))
    if accumulate:
        kernels.add[dtype](share, dw)


def _depthwise_gradient(maps: Array, images_: Array, dw: Array, accumulate: bool, geometry: Geometry) -> None:
    taps, total = room("taps", dw.size, dw.dtype)[: dw.size], room("sums", dw.size, FLOAT64)[: dw.size]
    total.fill(0.0)
    for i in range(len(maps)):
        taps.fill(0.0)
        windows.depthwise[dw.dtype](WEIGHT, numbers(geometry), images_[i : i + 1], taps, maps[i : i + 1])
        windows.add_wide[dw.dtype](taps, total)
    windows.store_transposed[dw.dtype](total, accumulate, dw)


def _bias_row(b: Array, width: int) -> Array:
    """(width,): the bias of each channel, at every pixel of a row."""
    bias = room("bias", width, b.dtype)[:width]
    bias.reshape(-1, len(b))[...] = b
    return bias


def product_act(
    product: Product,
    x: Array,
    w: Array,
    b: Array,
    act: int,
    out: Array,
    pre: Array | None,
    geometry: Geometry,
) -> None:
    """out = act(product(x, w) + b)."""
    bias = _bias_row(b, out.shape[1])
    for rows in images(geometry, len(x)):
        z = out[rows]
        product(x[rows], w, geometry, z)
        kernels.bias_activation[out.dtype](bias, act, z, z[:0] if pre is None else pre[rows])


def product_loss_grad(
    product: Product,
    h: Array,
    w: Array,
    b: Array,
    act: int,
    loss: int,
    target: Array,
    batch_scale: Array,
    scale: float,
    feature_weight: Array | None,
    row_loss: Array,
    delta: Array,
    geometry: Geometry,
) -> None:
    """The loss of each row of act(product(h, w) + b), and its derivative by the pre-activation."""
    width, dtype = delta.shape[1], delta.dtype
    bias, work = _bias_row(b, width), room("row", width, dtype)
    weights = ones(width, dtype) if feature_weight is None else feature_weight
    for rows in images(geometry, len(h)):
        z = delta[rows]
        product(h[rows], w, geometry, z)
        shared = target[rows], batch_scale[rows], scale, weights, work, row_loss[rows], z
        kernels.loss_gradient[dtype](bias, act, loss, *shared)


def product_loss(
    product: Product,
    h: Array,
    w: Array,
    b: Array,
    act: int,
    loss: int,
    target: Array,
    feature_weight: Array | None,
    row_loss: Array,
    geometry: Geometry,
) -> None:
    """The loss of each row of act(product(h, w) + b), a block of rows held at a time."""
    width, dtype = target.shape[1], row_loss.dtype
    bias, weights = _bias_row(b, width), ones(width, dtype) if feature_weight is None else feature_weight
    for rows in images(geometry, len(h)):
        n = rows.stop - rows.start
        z = room("reconstruction", n * width, dtype)[: n * width].reshape(n, width)
        product(h[rows], w, geometry, z)
        kernels.loss_value[dtype](bias, act, loss, target[rows], weights, z, row_loss[rows])


def product_slope(
    product: Product,
    delta: Array,
    w: Array,
    act: int,
    saved: Array | None,
    extra: Array | None,
    out: Array,
    geometry: Geometry,
) -> None:
    """out = (product(delta, w) + extra) * act'(saved)."""
    for rows in images(geometry, len(delta)):
        product(delta[rows], w, geometry, out[rows])
        times_slope(act, saved, extra, out, rows)


def times_slope(act: int, saved: Array | None, extra: Array | None, out: Array, rows: slice) -> None:
    """Those rows of out: out = (out + extra) * act'(saved)."""
    if extra is None and (saved is None or act == IDENTITY):
        return
    result = out[rows]
    none = result[:0]
    kernels.slope[out.dtype](
        IDENTITY if saved is None else act,
        none if saved is None else saved[rows],
        none if extra is None else extra[rows],
        result,
    )
