"""The reference's products in bfloat16 compute: float32 arrays, whose numbers are rounded where a product reads them.

Only matrix products differ from `ops`, and only in their operands. Sums, biases, targets, what an activation saved, the
column sums of delta: all of that is float32 as it stands. So a derivative is taken of the unrounded output, where 1 - h
of a rounded one would have lost its digits.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numpy import conv, finish, ops

Array = NDArray[Any]


@functools.singledispatch
def rounded(x: Any) -> Any:
    """x (float32, any shape) with every number the nearest bfloat16 (ties to even), still as float32.

    Beyond the largest bfloat16 lies infinity, subnormal numbers become zeros of their sign, NaN stays NaN: as the x86
    instruction VCVTNEPS2BF16 has it (Intel SDM, volume 2C). An array-like with rules of its own registers here.
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    tiny, nan = bits & 0x7F800000 == 0, bits & 0x7FFFFFFF > 0x7F800000
    nearest = np.where(tiny, bits & 0x80000000, np.where(nan, bits & 0xFFFF0000 | 0x00400000, nearest))
    return nearest.astype(np.uint32).view(np.float32).reshape(x.shape)


def linear_act(x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None) -> None:
    """x and w rounded."""
    ops.linear_act(rounded(x), rounded(w), b, act, out, pre)


def linear_loss_grad(
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
) -> None:
    """h and w rounded; the target isn't."""
    shared = act, loss, target, batch_scale, scale, feature_weight, row_loss, delta
    ops.linear_loss_grad(rounded(h), rounded(w), b, *shared)


def linear_loss(
    h: Array,
    w: Array,
    b: Array,
    act: int,
    loss: int,
    target: Array,
    feature_weight: Array | None,
    row_loss: Array,
) -> None:
    """h and w rounded; the target isn't."""
    ops.linear_loss(rounded(h), rounded(w), b, act, loss, target, feature_weight, row_loss)


def linear_dgrad(
    delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array
) -> None:
    """delta and w rounded; what was saved isn't."""
    ops.linear_dgrad(rounded(delta), rounded(w), act, saved, extra, out)


def linear_wgrad(
    delta: Array, a: Array, dw: Array, db: Array | None, accumulate: bool, partials: Array | None
) -> None:
    """dw of delta and a rounded; db of delta as it is."""
    ops.linear_wgrad(rounded(delta), rounded(a), dw, None, accumulate, None)
    if db is not None:
        db[...] = db + delta.sum(axis=0) if accumulate else delta.sum(axis=0)
    if partials is not None:
        finish.square_norm((dw,) if db is None else (dw, db), partials)


def _rounding(op: Callable[..., None]) -> Callable[..., None]:
    """The op with its first two arguments rounded: of a convolution's these are what it multiplies."""
    asked = inspect.signature(op)
    first, second, *_ = asked.parameters

    @functools.wraps(op)
    def product(*args: Any, **named: Any) -> None:
        given = asked.bind(*args, **named).arguments
        op(**{**given, first: rounded(given[first]), second: rounded(given[second])})

    return product


LINEAR = (linear_act, linear_loss_grad, linear_loss, linear_dgrad, linear_wgrad)
CONVOLUTIONS = tuple(
    _rounding(op)
    for op in (
        conv.conv2d_act,
        conv.conv2d_loss_grad,
        conv.conv2d_loss,
        conv.conv2d_dgrad,
        conv.conv2d_wgrad,
        conv.conv_transpose2d_act,
        conv.conv_transpose2d_loss_grad,
        conv.conv_transpose2d_loss,
        conv.conv_transpose2d_dgrad,
        conv.conv_transpose2d_wgrad,
    )
)
PRODUCTS: tuple[Any, ...] = (*LINEAR, *CONVOLUTIONS)
