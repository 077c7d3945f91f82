"""exp and its kin for compiled loops: in float32 branch-free polynomials that run over lanes, in float64 the C library.

Each states its largest error in float32, in units in the last place of the exact result (the tests hold it to that).
NaN stays NaN. Coefficients of exp and log: S. Moshier's Cephes, `expf.c` and `logf.c`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aefast.backends.numba.intrinsics import ROUND_SINGLE, half_power, high_half, power_of_two, rest_power
from aefast.backends.numba.jit import by_precision, device

F32 = np.float32
ZERO, HALF, ONE, TWO = F32(0), F32(0.5), F32(1), F32(2)
ROUND = F32(ROUND_SINGLE)
LOG2_E = F32(math.log2(math.e))
LN2_HIGH, LN2_LOW = F32(0.693359375), F32(-2.12194440e-4)
LN2 = F32(math.log(2))
E0, E1, E2, E3, E4, E5 = map(
    F32,
    (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4),
)
EXP_LOWEST, EXP_HIGHEST = F32(-105), F32(89)
EXP_NORMAL = F32(-87.33654)
EXPM1_LOWEST, EXPM1_HIGHEST = F32(-20), F32(89)
TANH_HIGHEST = F32(20)
SQRT2_LESS_ONE = F32(math.sqrt(2) - 1)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = map(
    F32,
    (
        3.3333331174e-1,
        -2.4999993993e-1,
        2.0000714765e-1,
        -1.6668057665e-1,
        1.4249322787e-1,
        -1.2420140846e-1,
        1.1676998740e-1,
        -1.1514610310e-1,
        7.0376836292e-2,
    ),
)
# Phi(-a) exp(a^2 / 2) = t P(t), t = 1 / (1 + a / 4): fitted for a in [0, 20] to a relative error of 1.3e-8.
TAIL_STEP, TAIL_LAST = F32(0.25), F32(20)
P0, P1, P2, P3, P4, P5, P6, P7, P8, P9 = map(
    F32,
    (
        0.0997384973,
        0.0996726873,
        0.0940405638,
        0.0787872699,
        0.0672853896,
        0.0483378335,
        -0.0138760601,
        0.0830138829,
        -0.0759838493,
        0.0189837915,
    ),
)
SQRT_HALF, INV_SQRT_2PI = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)


@device
def _exp_series(r: Any) -> Any:
    """exp(r) - 1 for abs(r) <= ln(2) / 2."""
    return (((((E5 * r + E4) * r + E3) * r + E2) * r + E1) * r + E0) * (r * r) + r


@device
def _reduced(x: Any, n: Any) -> Any:
    """x - n ln(2)."""
    return (x - n * LN2_HIGH) - n * LN2_LOW


def _exp32(x: Any) -> Any:
    x = EXP_LOWEST if x < EXP_LOWEST else x
    x = EXP_HIGHEST if x > EXP_HIGHEST else x
    shifted = x * LOG2_E + ROUND
    p = _exp_series(_reduced(x, shifted - ROUND)) + ONE
    return p * half_power(shifted) * rest_power(shifted)


def _exp_negative32(x: Any) -> Any:
    bounded = EXP_NORMAL if x < EXP_NORMAL else x
    shifted = bounded * LOG2_E + ROUND
    p = (_exp_series(_reduced(bounded, shifted - ROUND)) + ONE) * power_of_two(shifted)
    return ZERO if x < EXP_NORMAL else p


def _expm1_32(x: Any) -> Any:
    x = EXPM1_LOWEST if x < EXPM1_LOWEST else x
    x = EXPM1_HIGHEST if x > EXPM1_HIGHEST else x
    shifted = x * LOG2_E + ROUND
    # Half of 2^n, so that n = 128 doesn't overflow before its time.
    half = power_of_two(shifted - ONE)
    return TWO * (half * _exp_series(_reduced(x, shifted - ROUND)) + (half - HALF))


def _sigmoid32(z: Any) -> Any:
    e = exp_negative(-math.fabs(z))
    return (ONE if z >= ZERO else e) / (ONE + e)


def _log1p_unit32(e: Any) -> Any:
    large = e > SQRT2_LESS_ONE
    f = HALF * (e - ONE) if large else e  # exact: (1 + e) / 2 - 1
    s = f * f
    p = (((((((L8 * f + L7) * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0
    value = f + (s * f * p - HALF * s)
    return value + LN2 if large else value


def _tanh32(x: Any) -> Any:
    y = math.fabs(x) * TWO
    y = TANH_HIGHEST if y > TANH_HIGHEST else y
    shifted = y * LOG2_E + ROUND
    power = power_of_two(shifted)
    e = power * _exp_series(_reduced(y, shifted - ROUND)) + (power - ONE)
    value = e / (e + TWO)
    return -value if x < ZERO else value


def _exp_half_square32(a: Any) -> Any:
    # a^2 = h^2 + (a - h)(a + h), h^2 exact: else the rounding of a large square would be that of the result.
    a = TAIL_LAST if a > TAIL_LAST else a
    h = high_half(a)
    x = -HALF * (h * h)
    x = EXP_LOWEST if x < EXP_LOWEST else x
    shifted = x * LOG2_E + ROUND
    r = _reduced(x, shifted - ROUND) - HALF * ((a - h) * (a + h))
    return (_exp_series(r) + ONE) * half_power(shifted) * rest_power(shifted)


def _normal_cdf32(z: Any) -> Any:
    a = math.fabs(z)
    bounded = TAIL_LAST if a > TAIL_LAST else a
    t = ONE / (ONE + TAIL_STEP * bounded)
    p = P9 * t + P8
    p = (((((((p * t + P7) * t + P6) * t + P5) * t + P4) * t + P3) * t + P2) * t + P1) * t + P0
    tail = p * t * exp_half_square(a)
    return ONE - tail if z > ZERO else tail


def _exp64(x: Any) -> Any:
    return math.exp(x)


def _expm1_64(x: Any) -> Any:
    return math.expm1(x)


def _sigmoid64(z: Any) -> Any:
    e = math.exp(-math.fabs(z))
    return (1.0 if z >= 0.0 else e) / (1.0 + e)


def _log1p_unit64(e: Any) -> Any:
    return math.log1p(e)


def _tanh64(x: Any) -> Any:
    return math.tanh(x)


def _exp_half_square64(a: Any) -> Any:
    return math.exp(-0.5 * a * a)


def _normal_cdf64(z: Any) -> Any:
    return 0.5 * math.erfc(-z * SQRT_HALF)


exp = by_precision(_exp32, _exp64)
"""exp(x) for any x: 1.1 ULP; subnormal results and infinity included."""
exp_negative = by_precision(_exp_negative32, _exp64)
"""exp(x) for x <= 0: 1.1 ULP; below -87.3, where results are subnormal, 0."""
expm1 = by_precision(_expm1_32, _expm1_64)
"""exp(x) - 1 for any x: 1.5 ULP."""
sigmoid = by_precision(_sigmoid32, _sigmoid64)
"""1 / (1 + exp(-z)): 2.5 ULP; 0 below -87.3."""
log1p_unit = by_precision(_log1p_unit32, _log1p_unit64)
"""log(1 + e) for e in [0, 1]: 1.5 ULP."""
tanh = by_precision(_tanh32, _tanh64)
"""tanh(x): 2.5 ULP."""
exp_half_square = by_precision(_exp_half_square32, _exp_half_square64)
"""exp(-a^2 / 2) for a >= 0: 1.5 ULP."""
normal_cdf = by_precision(_normal_cdf32, _normal_cdf64)
"""Phi(z), the normal distribution function: 6 ULP, also far in the lower tail."""
