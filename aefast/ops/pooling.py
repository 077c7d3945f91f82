"""Pooling, and its companion in decoders, nearest upsampling, on NumPy arrays; letters and layouts as in `conv`."""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import activations
from aefast.geometry import Geometry, Padding, Pair
from aefast.layers import POOL_CODES, Pool2d, Upsample2d
from aefast.ops.checks import Array, implementation
from aefast.ops.exchange import exchanged, is_foreign
from aefast.ops.images import Images, image_side, map_side, need_saved, read_shape


def pool2d(
    x: Array,
    kernel_size: Pair,
    kind: str = "max",
    *,
    stride: Pair | None = None,
    padding: Padding = "valid",
    dilation: Pair = 1,
    layout: str = "channels_last",
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """(B, Ho, Wo, C) from x (B, H, W, C): each window's "max" or "average" by channel; stride None is the kernel size.

    Only pixels inside the image count. A NaN in a window makes it NaN. Windows in the padding alone are a ValueError.
    """
    if type(x) is not np.ndarray and is_foreign(x):
        return exchanged(pool2d, locals())
    batch, (height, width, channels) = read_shape("x", x, layout)
    options = kernel_size, stride, padding, dilation
    geometry = _pool(kind, (channels, height, width), options)
    ops = implementation(backend, "pool2d", x)
    arrays = Images(ops, layout, batch, x.dtype)
    rows = arrays.rows("x", x, image_side(geometry))
    result, maps = arrays.written("out", out, map_side(geometry))
    arrays.apart()
    ops.pool2d(rows, POOL_CODES[kind], maps, geometry=geometry)
    arrays.deliver()
    return result


def pool2d_dgrad(
    delta: Array,
    x: Array,
    kernel_size: Pair,
    kind: str = "max",
    saved: Array | None = None,
    activation: str = "identity",
    *,
    stride: Pair | None = None,
    padding: Padding = "valid",
    dilation: Pair = 1,
    layout: str = "channels_last",
    extra: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """delta (B, H, W, C) of the layer below from that of the map (B, Ho, Wo, C) and the pool's input x (B, H, W, C).

    A window's delta goes to the first of its greatest pixels, or in equal shares to all inside the image.

    (unpooled + extra) * act'(saved)
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(pool2d_dgrad, locals())
    need_saved("pool2d_dgrad", activation, saved)
    batch, (height, width, channels) = read_shape("x", x, layout)
    options = kernel_size, stride, padding, dilation
    geometry = _pool(kind, (channels, height, width), options)
    ops = implementation(backend, "pool2d_dgrad", x, act=activation)
    arrays = Images(ops, layout, batch, x.dtype)
    side = image_side(geometry)
    rows, seen = arrays.rows("delta", delta, map_side(geometry)), arrays.rows("x", x, side)
    kept, more = arrays.rows_or_none("saved", saved, side), arrays.rows_or_none("extra", extra, side)
    result, dx = arrays.written("out", out, side)
    arrays.apart()
    codes = POOL_CODES[kind], activations.CODES[activation]
    ops.pool2d_dgrad(rows, seen, *codes, kept, more, dx, geometry=geometry)
    arrays.deliver()
    return result


def upsample2d(
    x: Array,
    stride: Pair,
    *,
    layout: str = "channels_last",
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """(B, Ho stride_y, Wo stride_x, C) from x (B, Ho, Wo, C): each pixel stride_y x stride_x times.

    x.repeat(stride_y, 1).repeat(stride_x, 2)
    """
    if type(x) is not np.ndarray and is_foreign(x):
        return exchanged(upsample2d, locals())
    batch, (height, width, channels) = read_shape("x", x, layout)
    geometry = _repeated((channels, height, width), stride)
    ops = implementation(backend, "upsample2d", x)
    arrays = Images(ops, layout, batch, x.dtype)
    rows = arrays.rows("x", x, map_side(geometry))
    result, images = arrays.written("out", out, image_side(geometry))
    arrays.apart()
    ops.upsample2d(rows, images, geometry=geometry)
    arrays.deliver()
    return result


def upsample2d_dgrad(
    delta: Array,
    stride: Pair,
    saved: Array | None = None,
    activation: str = "identity",
    *,
    layout: str = "channels_last",
    extra: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """delta (B, Ho, Wo, C) of the layer below from that of the image (B, Ho stride_y, Wo stride_x, C).

    (sums of each pixel's block + extra) * act'(saved)
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(upsample2d_dgrad, locals())
    need_saved("upsample2d_dgrad", activation, saved)
    batch, (height, width, channels) = read_shape("delta", delta, layout)
    window = Geometry.of(
        (channels, height, width), channels, stride, stride=stride, groups=channels
    )  # whose checks are those of a stride
    geometry = _repeated((channels, window.out_height, window.out_width), stride)
    if (geometry.height, geometry.width) != (height, width):
        raise ValueError(
            f"delta has {height} x {width} pixels, which isn't a multiple of the stride "
            f"({geometry.stride_y}, {geometry.stride_x})"
        )
    ops = implementation(backend, "upsample2d_dgrad", delta, act=activation)
    arrays = Images(ops, layout, batch, delta.dtype)
    side = map_side(geometry)
    rows = arrays.rows("delta", delta, image_side(geometry))
    kept, more = arrays.rows_or_none("saved", saved, side), arrays.rows_or_none("extra", extra, side)
    result, dx = arrays.written("out", out, side)
    arrays.apart()
    ops.upsample2d_dgrad(rows, activations.CODES[activation], kept, more, dx, geometry=geometry)
    arrays.deliver()
    return result


def _pool(kind: str, shape: tuple[int, int, int], options: tuple[Any, ...]) -> Geometry:
    kernel, stride, padding, dilation = options
    stride = kernel if stride is None else stride
    channels = shape[0]
    geometry = Geometry.of(
        shape, channels, kernel, stride=stride, padding=padding, dilation=dilation, groups=channels
    )
    Pool2d("pool2d", geometry, kind).check()
    return geometry


def _repeated(map_shape: tuple[int, int, int], stride: Pair) -> Geometry:
    channels = map_shape[0]
    geometry = Geometry.of_transposed(map_shape, channels, stride, stride=stride, groups=channels)
    Upsample2d("upsample2d", geometry).check()
    return geometry
