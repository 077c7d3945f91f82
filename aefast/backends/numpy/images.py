"""The ops of images and maps that have no weights: pools, their inverse, and the order of channels."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numpy import finish
from aefast.backends.numpy.conv import images, maps, taps
from aefast.geometry import Geometry
from aefast.layers import POOLS

Array = NDArray[Any]


def _largest(image: Array, g: Geometry) -> Array:
    """(B, out_height, out_width, channels); NaN where a window holds one."""
    top = np.full((len(image), *g.map_shape), -np.inf, image.dtype)
    for tap in taps(g):
        top[tap.map] = np.maximum(top[tap.map], image[tap.image])
    return top


def _counts(g: Geometry) -> Array:
    """(map_size,) pixels of each window that lie inside the image."""
    counts: Array = window_sums(np.ones((1, g.image_size)), g)[0]
    return counts


@singledispatch
def window_sums(x: Any, g: Geometry) -> Any:
    """Rows of maps (B, map_size): the sum of each window's pixels inside the image."""
    total = np.zeros((len(x), *g.map_shape), x.dtype)
    for tap in taps(g):
        total[tap.map] += images(x, g)[tap.image]
    return total.reshape(len(x), -1)


@singledispatch
def pixel_sums(x: Any, g: Geometry) -> Any:
    """Rows of images (B, image_size): the sum of what each pixel's windows have in the map."""
    total = np.zeros((len(x), *g.image_shape), x.dtype)
    for tap in taps(g):
        total[tap.image] += maps(x, g)[tap.map]
    return total.reshape(len(x), -1)


@singledispatch
def to_largest(x: Any, image: Any, g: Geometry) -> Any:
    """Rows of images (B, image_size): what the map x has, at the first maximum of each window of `image`; summed."""
    pixels, total = images(image, g), np.zeros((len(x), *g.image_shape), x.dtype)
    top = _largest(pixels, g)
    open_ = np.ones(top.shape, bool)  # windows whose maximum hasn't been met yet
    for tap in taps(g):
        pixel, largest = pixels[tap.image], top[tap.map]
        hit = open_[tap.map] & ((pixel == largest) | (np.isnan(pixel) & np.isnan(largest)))
        open_[tap.map] &= ~hit
        total[tap.image] += np.where(hit, maps(x, g)[tap.map], 0)
    return total.reshape(len(x), -1)


def pool2d(x: Array, kind: int, out: Array, geometry: Geometry) -> None:
    """out = each window's largest pixel, or the average of those inside the image; a NaN in it makes it NaN."""
    if POOLS[kind] == "max":
        out[...] = _largest(images(x, geometry), geometry).reshape(out.shape)
    else:
        out[...] = window_sums(x, geometry) / _counts(geometry).astype(out.dtype)


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
    """out = (unpooled + extra) * act'(saved); a window's delta goes to its first maximum (of x), or in equal parts."""
    if POOLS[kind] == "max":
        unpooled = to_largest(delta, x, geometry)
    else:
        unpooled = pixel_sums(delta / _counts(geometry).astype(out.dtype), geometry)
    finish.dgrad(unpooled, act, saved, extra, out)


def upsample2d(x: Array, out: Array, geometry: Geometry) -> None:
    """out[y, x] = x[y // stride_y, x // stride_x]."""
    larger = maps(x, geometry).repeat(geometry.stride_y, axis=1).repeat(geometry.stride_x, axis=2)
    out[...] = larger.reshape(out.shape)


def upsample2d_dgrad(
    delta: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """out = (sums of delta over each pixel's block + extra) * act'(saved)."""
    finish.dgrad(window_sums(delta, geometry), act, saved, extra, out)


def transpose_rows(x: Array, n: int, out: Array) -> None:
    """out = each row, as a matrix (n, cols / n), transposed."""
    out[...] = x.reshape(len(x), n, -1).transpose(0, 2, 1).reshape(out.shape)
