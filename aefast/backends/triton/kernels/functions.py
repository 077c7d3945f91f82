"""exp and its kin in float32: polynomials, since the GPU's own approximations lose digits where arguments are large.

Each states its largest error in units in the last place. NaN stays NaN. Coefficients of exp and log: S. Moshier's Cephes,
`expf.c` and `logf.c`; the tail of the normal distribution as in `backends/numba/vector_math.py`.
"""

from __future__ import annotations

import triton
import triton.language as tl

ROUND = tl.constexpr(12582912.0)  # 1.5 * 2^23: x + ROUND - ROUND is the nearest integer
ROUND_BITS = tl.constexpr(0x4B400000)
LOG2_E = tl.constexpr(1.4426950408889634)
LN2_HIGH, LN2_LOW = tl.constexpr(0.693359375), tl.constexpr(-2.12194440e-4)
LN2 = tl.constexpr(0.6931471805599453)
EXP_LOWEST, EXP_HIGHEST = tl.constexpr(-105.0), tl.constexpr(89.0)
EXPM1_LOWEST = tl.constexpr(-20.0)
TANH_HIGHEST = tl.constexpr(20.0)
SQRT2_LESS_ONE = tl.constexpr(0.41421356237309503)
TAIL_STEP, TAIL_LAST = tl.constexpr(0.25), tl.constexpr(20.0)
INV_SQRT_2PI = tl.constexpr(0.3989422804014327)
HIGH_HALF = tl.constexpr(-4096)  # keeps the upper 12 bits of a significand, whose square is then exact


@triton.jit
def at_least(bound, x):
    """max(bound, x); NaN in x stays."""
    return tl.where(x < bound, bound, x)


@triton.jit
def at_most(bound, x):
    """min(bound, x); NaN in x stays."""
    return tl.where(x > bound, bound, x)


@triton.jit
def power_of_two(n):
    """2^n for int32 n in [-126, 127]."""
    return ((n + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def split_exponent(x):
    """(n, r): x = n ln(2) + r with abs(r) <= ln(2) / 2, n as int32."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    return shifted.to(tl.int32, bitcast=True) - ROUND_BITS, r


@triton.jit
def exp_series(r):
    """exp(r) - 1 for abs(r) <= ln(2) / 2."""
    p = 1.9875691500e-4 * r + 1.3981999507e-3
    p = p * r + 8.3334519073e-3
    p = p * r + 4.1665795894e-2
    p = p * r + 1.6666665459e-1
    p = p * r + 5.0000001201e-1
    return p * (r * r) + r


@triton.jit
def scaled(p, n):
    """p 2^n in two steps, since 2^n alone may overflow or be subnormal."""
    half = n >> 1
    return p * power_of_two(half) * power_of_two(n - half)


@triton.jit
def exp(x):
    """For any x: 1.1 ULP; subnormal results and infinity included."""
    n, r = split_exponent(at_most(EXP_HIGHEST, at_least(EXP_LOWEST, x)))
    return scaled(exp_series(r) + 1.0, n)


@triton.jit
def expm1(x):
    """exp(x) - 1 for any x: 1.5 ULP."""
    n, r = split_exponent(at_most(EXP_HIGHEST, at_least(EXPM1_LOWEST, x)))
    half = power_of_two(n - 1)  # of 2^n, so that n = 128 doesn't overflow before its time
    return 2.0 * (half * exp_series(r) + (half - 0.5))


@triton.jit
def log1p_unit(e):
    """log(1 + e) for e in [0, 1]: 1.5 ULP."""
    large = e > SQRT2_LESS_ONE
    f = tl.where(large, 0.5 * (e - 1.0), e)  # exact: (1 + e) / 2 - 1
    s = f * f
    p = 7.0376836292e-2 * f - 1.1514610310e-1
    p = p * f + 1.1676998740e-1
    p = p * f - 1.2420140846e-1
    p = p * f + 1.4249322787e-1
    p = p * f - 1.6668057665e-1
    p = p * f + 2.0000714765e-1
    p = p * f - 2.4999993993e-1
    p = p * f + 3.3333331174e-1
    value = f + (s * f * p - 0.5 * s)
    return tl.where(large, value + LN2, value)


@triton.jit
def tanh(x):
    """For any x: 2.5 ULP."""
    n, r = split_exponent(at_most(TANH_HIGHEST, 2.0 * tl.abs(x)))
    power = power_of_two(n)
    e = power * exp_series(r) + (power - 1.0)
    value = tl.math.div_rn(e, e + 2.0)
    return tl.where(x < 0.0, -value, value)


@triton.jit
def sigmoid_of(z, e):
    """1 / (1 + exp(-z)), given e = exp(-abs(z)): 2.5 ULP."""
    return tl.math.div_rn(tl.where(z >= 0.0, 1.0, e), 1.0 + e)


@triton.jit
def sigmoid(z):
    """1 / (1 + exp(-z)): 2.5 ULP, also in the lower tail."""
    return sigmoid_of(z, exp(-tl.abs(z)))


@triton.jit
def exp_minus_half_square(x):
    """exp(-x^2 / 2): 1.5 ULP."""
    # x^2 = h^2 + (x - h)(x + h), h^2 exact: else the rounding of a large square would be that of the result.
    a = at_most(TAIL_LAST, tl.abs(x))
    h = (a.to(tl.int32, bitcast=True) & HIGH_HALF).to(tl.float32, bitcast=True)
    n, r = split_exponent(at_least(EXP_LOWEST, -0.5 * (h * h)))
    return scaled(exp_series(r - 0.5 * ((a - h) * (a + h))) + 1.0, n)


@triton.jit
def normal_cdf(z):
    """Phi(z), the normal distribution function: 6 ULP, also far in the lower tail."""
    a = tl.abs(z)
    t = tl.math.div_rn(1.0, 1.0 + TAIL_STEP * at_most(TAIL_LAST, a))
    p = 0.0189837915 * t - 0.0759838493
    p = p * t + 0.0830138829
    p = p * t - 0.0138760601
    p = p * t + 0.0483378335
    p = p * t + 0.0672853896
    p = p * t + 0.0787872699
    p = p * t + 0.0940405638
    p = p * t + 0.0996726873
    p = p * t + 0.0997384973
    tail = p * t * exp_minus_half_square(a)
    return tl.where(z > 0.0, 1.0 - tail, tail)
