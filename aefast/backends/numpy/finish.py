"""What comes after a product, whichever it was: activations, losses, slopes, and the sums that a step looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import activations, losses

Array = NDArray[Any]


def activated(z: Array, act: int, out: Array, pre: Array | None) -> None:
    """out = act(z); pre = z."""
    if pre is not None:
        pre[...] = z
    out[...] = activations.TABLE[act].function(z)


def _by_element(z: Array, act: int, loss: int, target: Array) -> tuple[Array, Array]:
    """Element losses, and their derivatives by the pre-activation."""
    activation, row = activations.TABLE[act], losses.TABLE[loss]
    if row.on_logits:
        return row.value(z, target), row.derivative(z, target)
    r = activation.function(z)
    saved = z if activation.saved == "preactivation" else r
    return row.value(r, target), row.derivative(r, target) * activation.derivative(saved)


def loss_grad(
    z: Array,
    act: int,
    loss: int,
    target: Array,
    batch_scale: Array,
    scale: float,
    feature_weight: Array | None,
    row_loss: Array,
    delta: Array,
) -> None:
    """row_loss = sum(f * l(act(z), t)); delta = batch_scale * scale * f * dl/dr * act'(z)."""
    value, derivative = _by_element(z, act, loss, target)
    if feature_weight is not None:
        value, derivative = value * feature_weight, derivative * feature_weight
    row_loss[...] = value.sum(axis=1)
    delta[...] = derivative * (batch_scale * batch_scale.dtype.type(scale))[:, None]


def row_losses(
    z: Array, act: int, loss: int, target: Array, feature_weight: Array | None, row_loss: Array
) -> None:
    """row_loss = sum(f * l(act(z), t))."""
    value, _ = _by_element(z, act, loss, target)
    row_loss[...] = (value if feature_weight is None else value * feature_weight).sum(axis=1)


def dgrad(dh: Array, act: int, saved: Array | None, extra: Array | None, out: Array) -> None:
    """out = (dh + extra) * act'(saved)."""
    if extra is not None:
        dh = dh + extra
    out[...] = dh if saved is None else dh * activations.TABLE[act].derivative(saved)


def wgrad(gradient: Array, dw: Array, accumulate: bool, partials: Array | None) -> None:
    """dw = gradient; added to with `accumulate`."""
    dw[...] = dw + gradient if accumulate else gradient
    if partials is not None:
        square_norm((dw,), partials)


def square_norm(gradients: tuple[Array, ...], partials: Array) -> None:
    """partials = [sum of all squares, 1 where one isn't finite]."""
    partials[0] = sum(np.sum(np.square(g.astype(np.float64))) for g in gradients)
    partials[1] = 0.0 if all(np.isfinite(g).all() for g in gradients) else 1.0
