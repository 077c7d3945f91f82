"""The ops of images and maps that have no weights: pools, their inverse, and the order of channels."""

from __future__ import annotations

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
    """(1, out_height, out_width, 1) pixels of each window that lie inside the image."""
    counts = np.zeros((1, g.out_height, g.out_width, 1))
    for tap in taps(g):
        counts[tap.map] += 1
    return counts


def pool2d(x: Array, kind: int, out: Array, geometry: Geometry) -> None:
    """out = each window's largest pixel, or the average of those inside the image; a NaN in it makes it NaN."""
    image = images(x, geometry)
    if POOLS[kind] == "max":
        out[...] = _largest(image, geometry).reshape(out.shape)
        return
    total = np.zeros((len(x), *geometry.map_shape), out.dtype)
    for tap in taps(geometry):
        total[tap.map] += image[tap.image]
    out[...] = (total / _counts(geometry).astype(out.dtype)).reshape(out.shape)


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
    image, share = images(x, geometry), maps(delta, geometry)
    unpooled = np.zeros(image.shape, out.dtype)
    if POOLS[kind] == "max":
        top = _largest(image, geometry)
        open_ = np.ones(top.shape, bool)  # windows whose maximum hasn't been met yet
        for tap in taps(geometry):
            pixel, largest = image[tap.image], top[tap.map]
            hit = open_[tap.map] & ((pixel == largest) | (np.isnan(pixel) & np.isnan(largest)))
            open_[tap.map] &= ~hit
            unpooled[tap.image] += np.where(hit, share[tap.map], 0)
    else:
        share = share / _counts(geometry).astype(out.dtype)
        for tap in taps(geometry):
            unpooled[tap.image] += share[tap.map]
    finish.dgrad(unpooled.reshape(out.shape), act, saved, extra, out)


def upsample2d(x: Array, out: Array, geometry: Geometry) -> None:
    """out[y, x] = x[y // stride_y, x // stride_x]."""
    larger = maps(x, geometry).repeat(geometry.stride_y, axis=1).repeat(geometry.stride_x, axis=2)
    out[...] = larger.reshape(out.shape)


def upsample2d_dgrad(
    delta: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """out = (sums of delta over each pixel's block + extra) * act'(saved)."""
    sums = np.zeros((len(delta), *geometry.map_shape), out.dtype)
    for tap in taps(geometry):
        sums[tap.map] += images(delta, geometry)[tap.image]
    finish.dgrad(sums.reshape(out.shape), act, saved, extra, out)


def transpose_rows(x: Array, n: int, out: Array) -> None:
    """out = each row, as a matrix (n, cols / n), transposed."""
    out[...] = x.reshape(len(x), n, -1).transpose(0, 2, 1).reshape(out.shape)
