"""The ops of convolutions by the contract: which product each of them runs, and between which sides; see `products.py`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from aefast.backends.numba import products
from aefast.backends.numba.products import correlate, spread
from aefast.geometry import Geometry

Array = NDArray[Any]


def conv2d_act(
    x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
) -> None:
    """out = act(conv(x, w) + b); pre = conv(x, w) + b."""
    products.product_act(correlate, x, w, b, act, out, pre, geometry)


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
    """row_loss = sum(f * l(act(z), t)); delta = batch_scale * scale * f * dl/dr * act'(z); z = conv(h, w) + b."""
    shared = target, batch_scale, scale, feature_weight, row_loss, delta, geometry
    products.product_loss_grad(correlate, h, w, b, act, loss, *shared)


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
    """row_loss = sum(f * l(act(conv(h, w) + b), t))."""
    products.product_loss(correlate, h, w, b, act, loss, target, feature_weight, row_loss, geometry)


def conv2d_dgrad(
    delta: Array,
    w: Array,
    act: int,
    saved: Array | None,
    extra: Array | None,
    out: Array,
    geometry: Geometry,
) -> None:
    """out = (conv_transpose(delta, w) + extra) * act'(saved)."""
    products.product_slope(spread, delta, w, act, saved, extra, out, geometry)


def conv2d_wgrad(
    delta: Array, a: Array, dw: Array, accumulate: bool, partials: Array | None, geometry: Geometry
) -> None:
    """dw (+)= sum over map pixels of delta times the window of a that it belongs to."""
    products.weight_gradient(delta, a, dw, accumulate, partials, geometry)


def conv_transpose2d_act(
    x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
) -> None:
    """out = act(conv_transpose(x, w) + b); pre = conv_transpose(x, w) + b."""
    products.product_act(spread, x, w, b, act, out, pre, geometry)


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
    """row_loss = sum(f * l(act(z), t)); delta = batch_scale * scale * f * dl/dr * act'(z); z = conv_transpose(h, w) + b."""
    shared = target, batch_scale, scale, feature_weight, row_loss, delta, geometry
    products.product_loss_grad(spread, h, w, b, act, loss, *shared)


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
    """row_loss = sum(f * l(act(conv_transpose(h, w) + b), t))."""
    products.product_loss(spread, h, w, b, act, loss, target, feature_weight, row_loss, geometry)


def conv_transpose2d_dgrad(
    delta: Array,
    w: Array,
    act: int,
    saved: Array | None,
    extra: Array | None,
    out: Array,
    geometry: Geometry,
) -> None:
    """out = (conv(delta, w) + extra) * act'(saved)."""
    products.product_slope(correlate, delta, w, act, saved, extra, out, geometry)


def conv_transpose2d_wgrad(
    delta: Array, a: Array, dw: Array, accumulate: bool, partials: Array | None, geometry: Geometry
) -> None:
    """dw (+)= sum over map pixels of a times the window of delta that it belongs to."""
    products.weight_gradient(a, delta, dw, accumulate, partials, geometry)
