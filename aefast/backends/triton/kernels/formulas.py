"""Activations and losses with their derivatives; the same as `csrc/common/formulas.h`. The codes are constants of a kernel,
so that each is compiled with the one formula that it uses.
"""

from __future__ import annotations

import triton
import triton.language as tl

from aefast import activations, losses
from aefast.backends.triton.kernels.functions import (
    INV_SQRT_2PI,
    at_least,
    at_most,
    exp,
    exp_minus_half_square,
    expm1,
    log1p_unit,
    normal_cdf,
    sigmoid,
    sigmoid_of,
    tanh,
)
from aefast.backends.triton.tables import ACT, LOSS

IDENTITY, RELU, LEAKY_RELU, ELU, GELU, SILU, TANH, SIGMOID, SOFTPLUS = map(tl.constexpr, ACT.values())
MSE, BCE, MAE, HUBER = map(tl.constexpr, LOSS.values())
SLOPE, THRESHOLD = tl.constexpr(activations.LEAKY_SLOPE), tl.constexpr(losses.HUBER_THRESHOLD)
FAR = tl.constexpr(1e18)  # beyond it z * 0 stands for its limit, also where z is infinite


@triton.jit
def sign(x):
    """-1, 0 or 1; NaN stays."""
    return tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, x))


@triton.jit
def activate(z, ACT: tl.constexpr):
    """act(z), any shape, float32."""
    if ACT == RELU:
        return at_least(0.0, z)
    elif ACT == LEAKY_RELU:
        return tl.where(z > 0.0, z, z * SLOPE)
    elif ACT == ELU:
        return tl.where(z > 0.0, z, expm1(z))
    elif ACT == GELU:
        return tl.where(z < -FAR, 0.0, z * normal_cdf(z))
    elif ACT == SILU:
        return at_least(-FAR, z) * sigmoid(z)
    elif ACT == TANH:
        return tanh(z)
    elif ACT == SIGMOID:
        return sigmoid(z)
    elif ACT == SOFTPLUS:
        return at_least(0.0, z) + log1p_unit(exp(-tl.abs(z)))
    else:
        return z


@triton.jit
def slope(saved, ACT: tl.constexpr):
    """act'(z) of what was saved: the output, or z itself for gelu and silu."""
    if ACT == RELU:
        return tl.where(saved > 0.0, 1.0, 0.0)
    elif ACT == LEAKY_RELU:
        return tl.where(saved > 0.0, 1.0, SLOPE)
    elif ACT == ELU:
        return tl.where(saved > 0.0, 1.0, saved + 1.0)
    elif ACT == GELU:
        z = at_most(FAR, at_least(-FAR, saved))
        return normal_cdf(z) + z * INV_SQRT_2PI * exp_minus_half_square(z)
    elif ACT == SILU:
        s = sigmoid(saved)
        return s * (1.0 + at_most(FAR, at_least(-FAR, saved)) * (1.0 - s))
    elif ACT == TANH:
        return 1.0 - saved * saved
    elif ACT == SIGMOID:
        return saved * (1.0 - saved)
    elif ACT == SOFTPLUS:
        return -expm1(-saved)
    else:
        return tl.full(saved.shape, 1.0, tl.float32)


@triton.jit
def lose(z, t, ACT: tl.constexpr, LOSS: tl.constexpr):
    """(loss, its derivative by z) of each element under its target t; bce on the logits of a sigmoid."""
    if LOSS == BCE:
        e = exp(-tl.abs(z))
        return at_least(0.0, z) - z * t + log1p_unit(e), sigmoid_of(z, e) - t
    else:
        r = activate(z, ACT)
        error = r - t
        if LOSS == MAE:
            value, by_r = tl.abs(error), sign(error)
        elif LOSS == HUBER:
            a = tl.abs(error)
            value = tl.where(a <= THRESHOLD, 0.5 * error * error, THRESHOLD * (a - 0.5 * THRESHOLD))
            by_r = at_most(THRESHOLD, at_least(-THRESHOLD, error))
        else:
            value, by_r = error * error, error + error
        if ACT == GELU or ACT == SILU:
            saved = z
        else:
            saved = r
        return value, by_r * slope(saved, ACT)
