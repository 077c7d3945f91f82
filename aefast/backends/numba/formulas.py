"""Activations and losses over one row, in place: a loop each, chosen by the table's code outside the loop.

A row fits the first cache, so several passes over it cost little, and nine activations times four losses stay thirteen
loops to compile. The formulas are those of `aefast/activations.py` and `aefast/losses.py`.
"""

from __future__ import annotations

import math
from typing import Any

from aefast import activations, losses
from aefast.backends.numba.intrinsics import add_any_order, select
from aefast.backends.numba.jit import device
from aefast.backends.numba.vector_math import (
    INV_SQRT_2PI,
    exp_half_square,
    exp_negative,
    expm1,
    log1p_unit,
    normal_cdf,
    sigmoid,
    tanh,
)

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus")
LOSSES = ("mse", "bce", "mae", "huber")
IDENTITY, RELU, LEAKY_RELU, ELU, GELU, SILU, TANH, SIGMOID, SOFTPLUS = (
    activations.CODES[n] for n in ACTIVATIONS
)
MSE, BCE, MAE, HUBER = (losses.CODES[n] for n in LOSSES)
SAVES_INPUT = tuple(row.saved == "preactivation" for row in activations.TABLE)
ON_LOGITS = tuple(row.on_logits for row in losses.TABLE)
SLOPE, THRESHOLD = activations.LEAKY_SLOPE, losses.HUBER_THRESHOLD


@device
def activate(z: Any, bias: Any, act: int) -> None:
    """z = act(z + bias)."""
    # The sum also keeps `select` from becoming a masked store of what was loaded, which is slow on some processors.
    real = z.dtype.type
    zero, slope = real(0), real(SLOPE)
    if act == IDENTITY:
        for j in range(z.size):
            z[j] += bias[j]
    elif act == RELU:
        for j in range(z.size):
            v = z[j] + bias[j]
            z[j] = select(v < zero, zero, v)
    elif act == LEAKY_RELU:
        for j in range(z.size):
            v = z[j] + bias[j]
            z[j] = select(v > zero, v, slope * v)
    elif act == ELU:
        for j in range(z.size):
            v = z[j] + bias[j]
            z[j] = select(v > zero, v, expm1(v))
    elif act == GELU:
        for j in range(z.size):
            v = z[j] + bias[j]
            z[j] = v * normal_cdf(v)
    elif act == SILU:
        for j in range(z.size):
            v = z[j] + bias[j]
            z[j] = v * sigmoid(v)
    elif act == TANH:
        for j in range(z.size):
            z[j] = tanh(z[j] + bias[j])
    elif act == SIGMOID:
        for j in range(z.size):
            z[j] = sigmoid(z[j] + bias[j])
    elif act == SOFTPLUS:
        for j in range(z.size):
            v = z[j] + bias[j]
            z[j] = select(v < zero, zero, v) + log1p_unit(exp_negative(-math.fabs(v)))


@device
def times_slope(d: Any, saved: Any, act: int) -> None:
    """d = d * act'(saved); saved is the output, for gelu and silu the pre-activation."""
    real = d.dtype.type
    zero, one = real(0), real(1)
    slope, inv_sqrt_2pi = real(SLOPE), real(INV_SQRT_2PI)
    if act == RELU:
        for j in range(d.size):
            d[j] = d[j] * (one if saved[j] > zero else zero)
    elif act == LEAKY_RELU:
        for j in range(d.size):
            d[j] = d[j] * (one if saved[j] > zero else slope)
    elif act == ELU:
        for j in range(d.size):
            d[j] = d[j] * (one if saved[j] > zero else saved[j] + one)
    elif act == GELU:
        for j in range(d.size):
            z = saved[j]
            d[j] = d[j] * (normal_cdf(z) + z * inv_sqrt_2pi * exp_half_square(math.fabs(z)))
    elif act == SILU:
        for j in range(d.size):
            s = sigmoid(saved[j])
            d[j] = d[j] * (s * (one + saved[j] * (one - s)))
    elif act == TANH:
        for j in range(d.size):
            d[j] = d[j] * (one - saved[j] * saved[j])
    elif act == SIGMOID:
        for j in range(d.size):
            d[j] = d[j] * (saved[j] * (one - saved[j]))
    elif act == SOFTPLUS:
        for j in range(d.size):
            d[j] = d[j] * -expm1(-saved[j])


@device
def lose(r: Any, t: Any, f: Any, loss: int) -> Any:
    """sum_j f_j l(r_j, t_j), and r = f * dl/dr; for bce r is the logit."""
    real = r.dtype.type
    zero, half, one, two, threshold = real(0), real(0.5), real(1), real(2), real(THRESHOLD)
    total = zero
    if loss == MSE:
        for j in range(r.size):
            e = r[j] - t[j]
            total = add_any_order(total, f[j] * (e * e))
            r[j] = f[j] * (two * e)
    elif loss == BCE:
        for j in range(r.size):
            z = r[j]
            e = exp_negative(-math.fabs(z))
            value = (zero if z < zero else z) - z * t[j] + log1p_unit(e)
            total = add_any_order(total, f[j] * value)
            r[j] = f[j] * ((one if z >= zero else e) / (one + e) - t[j])
    elif loss == MAE:
        for j in range(r.size):
            e = r[j] - t[j]
            total = add_any_order(total, f[j] * math.fabs(e))
            r[j] = f[j] * (one if e > zero else (-one if e < zero else e))
    elif loss == HUBER:
        for j in range(r.size):
            e = r[j] - t[j]
            a = math.fabs(e)
            total = add_any_order(
                total, f[j] * (half * e * e if a <= threshold else threshold * (a - half * threshold))
            )
            e = threshold if e > threshold else e
            r[j] = f[j] * (-threshold if e < -threshold else e)
    return total
