"""The ops of images and maps in plain NumPy: convolutions as sums over the kernel's taps, each a shifted slice.

`Geometry` says what fits to what; rows are flat, channels last. A tap (i, j) joins the pixels (y stride_y + i dilation_y -
pad_top, ...) of the image with the pixels (y, ...) of the map, where both exist. All sums run over the taps in the weight's
order, in the arrays' dtype. An array-like with rules of its own for sums registers them with the three products.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numpy import finish
from aefast.geometry import Geometry

Array = NDArray[Any]


class Tap(NamedTuple):
    """One element (i, j) of the kernel, and the slices (rows of a batch, y, x) of map and image that it joins."""

    i: int
    j: int
    map: tuple[slice, slice, slice]
    image: tuple[slice, slice, slice]


def taps(g: Geometry) -> Iterator[Tap]:
    """Every tap that joins any pixels, in the weight's order."""
    everything = slice(None)
    for i in range(g.kernel_height):
        y = _joined(g.out_height, g.height, g.stride_y, i * g.dilation_y - g.pad_top)
        for j in range(g.kernel_width):
            x = _joined(g.out_width, g.width, g.stride_x, j * g.dilation_x - g.pad_left)
            if y and x:
                yield Tap(i, j, (everything, y[0], x[0]), (everything, y[1], x[1]))


def _joined(n_map: int, n_image: int, stride: int, shift: int) -> tuple[slice, slice] | None:
    """The map's pixels p, and the image's p * stride + shift, that exist on both sides."""
    places = [p for p in range(n_map) if 0 <= p * stride + shift < n_image]
    if not places:
        return None
    first, last = places[0], places[-1]
    return slice(first, last + 1), slice(first * stride + shift, last * stride + shift + 1, stride)


def _groups(g: Geometry) -> Iterator[tuple[slice, slice]]:
    """Each group's channels of the map, and of the image."""
    n, c = g.out_channels // g.groups, g.channels // g.groups
    for k in range(g.groups):
        yield slice(k * n, (k + 1) * n), slice(k * c, (k + 1) * c)


def images(x: Array, g: Geometry) -> Array:
    """Rows as (B, height, width, channels)."""
    return x.reshape(-1, *g.image_shape)


def maps(x: Array, g: Geometry) -> Array:
    """Rows as (B, out_height, out_width, out_channels)."""
    return x.reshape(-1, *g.map_shape)


@singledispatch
def convolved(x: Any, w: Any, g: Geometry) -> Any:
    """Images to maps (B, map_size), without the bias."""
    image, weight = images(x, g), w.reshape(g.weight_shape)
    out = np.zeros((len(x), *g.map_shape), x.dtype)
    for tap in taps(g):
        for n, c in _groups(g):
            out[tap.map][..., n] += image[tap.image][..., c] @ weight[n, tap.i, tap.j].T
    return out.reshape(len(x), -1)


@singledispatch
def transposed(x: Any, w: Any, g: Geometry) -> Any:
    """Maps to images (B, image_size), without the bias: what each pixel of a map gives to the image."""
    map_, weight = maps(x, g), w.reshape(g.weight_shape)
    out = np.zeros((len(x), *g.image_shape), x.dtype)
    for tap in taps(g):
        for n, c in _groups(g):
            out[tap.image][..., c] += map_[tap.map][..., n] @ weight[n, tap.i, tap.j]
    return out.reshape(len(x), -1)


@singledispatch
def weight_gradient(map_: Any, image: Any, g: Geometry) -> Any:
    """(out_channels, K) of a convolution whose map's gradient is `map_`, or a transposed one whose image's is `image`."""
    out = np.zeros(g.weight_shape, map_.dtype)
    for tap in taps(g):
        for n, c in _groups(g):
            left = maps(map_, g)[tap.map][..., n].reshape(-1, n.stop - n.start)
            right = images(image, g)[tap.image][..., c].reshape(-1, c.stop - c.start)
            out[n, tap.i, tap.j] = left.T @ right
    return out.reshape(g.out_channels, -1)


def _biased(z: Array, b: Array) -> Array:
    biased: Array = (z.reshape(len(z), -1, len(b)) + b).reshape(z.shape)
    return biased


def conv2d_act(
    x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
) -> None:
    """out = act(conv(x, w) + b); pre = conv(x, w) + b."""
    finish.activated(_biased(convolved(x, w, geometry), b), act, out, pre)


def conv2d_loss_grad(
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
    """As `linear_loss_grad`, with z = conv(h, w) + b."""
    z = _biased(convolved(h, w, geometry), b)
    finish.loss_grad(z, act, loss, target, batch_scale, scale, feature_weight, row_loss, delta)


def conv2d_loss(
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
    """As `linear_loss`, with z = conv(h, w) + b."""
    finish.row_losses(_biased(convolved(h, w, geometry), b), act, loss, target, feature_weight, row_loss)


def conv2d_dgrad(
    delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """out = (transposed conv(delta, w) + extra) * act'(saved)."""
    finish.dgrad(transposed(delta, w, geometry), act, saved, extra, out)


def conv2d_wgrad(
    delta: Array, a: Array, dw: Array, accumulate: bool, partials: Array | None, geometry: Geometry
) -> None:
    """dw[n, i, j, c] = sum of delta[y, x, n] a[y stride_y + i dilation_y - pad_top, ..., c]; added to with `accumulate`."""
    finish.wgrad(weight_gradient(delta, a, geometry), dw, accumulate, partials)


def conv_transpose2d_act(
    x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
) -> None:
    """out = act(transposed conv(x, w) + b); pre = transposed conv(x, w) + b."""
    finish.activated(_biased(transposed(x, w, geometry), b), act, out, pre)


def conv_transpose2d_loss_grad(
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
    """As `linear_loss_grad`, with z = transposed conv(h, w) + b."""
    z = _biased(transposed(h, w, geometry), b)
    finish.loss_grad(z, act, loss, target, batch_scale, scale, feature_weight, row_loss, delta)


def conv_transpose2d_loss(
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
    """As `linear_loss`, with z = transposed conv(h, w) + b."""
    finish.row_losses(_biased(transposed(h, w, geometry), b), act, loss, target, feature_weight, row_loss)


def conv_transpose2d_dgrad(
    delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """out = (conv(delta, w) + extra) * act'(saved)."""
    finish.dgrad(convolved(delta, w, geometry), act, saved, extra, out)


def conv_transpose2d_wgrad(
    delta: Array, a: Array, dw: Array, accumulate: bool, partials: Array | None, geometry: Geometry
) -> None:
    """dw[n, i, j, c] = sum of a[y, x, n] delta[y stride_y + i dilation_y - pad_top, ..., c]; added to with `accumulate`."""
    finish.wgrad(weight_gradient(a, delta, geometry), dw, accumulate, partials)
