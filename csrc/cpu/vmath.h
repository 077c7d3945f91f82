// Vector math in float32. Each function states its largest error against the exact value in units of the last place
// (ULP) and the inputs it was measured on. Polynomials are our own relative-minimax fits unless a source is named. NaN
// passes through.
#pragma once

#include "cpu/simd.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// ln 2 in two parts, the first with so few bits that n * ln2_high is exact for |n| < 2^9 (Cody and Waite).
constexpr double log2_e = 1.44269504088896341, ln2_high = 0.693359375, ln2_low = -2.12194440054690583e-4;

// Polynomial coefficients, lane by lane in memory: as operands of the multiply-adds they need no registers.
template <int n>
struct Coefficients {
  alignas(64) float lanes[n][W];
  constexpr Coefficients(const double (&c)[n]) : lanes{} {
    for (int i = 0; i < n; ++i) {
      for (int l = 0; l < W; ++l) lanes[i][l] = float(c[i]);
    }
  }
  // Opaque, or GCC turns the loads into constants, keeps them in registers and spills those.
  AEFAST_INLINE const float* data() const {
    const float* p = lanes[0];
    asm("" : "+r"(p));
    return p;
  }
};

template <int n>
AEFAST_INLINE F horner(F x, const Coefficients<n>& coefficients) {
  const float* c = coefficients.data();
  F sum = load(c + (n - 1) * W);
  AEFAST_UNROLL for (int i = n - 2; i >= 0; --i) sum = fma(sum, x, load(c + i * W));
  return sum;
}

// Two chains, of the even and the odd powers: half the latency of Horner's one.
template <int n>
AEFAST_INLINE F polynomial(F x, F square, const Coefficients<n>& coefficients) {
  constexpr int last_even = (n - 1) / 2 * 2, last_odd = (n - 2) / 2 * 2 + 1;
  const float* c = coefficients.data();
  F even = load(c + last_even * W), odd = load(c + last_odd * W);
  AEFAST_UNROLL for (int i = last_even - 2; i >= 0; i -= 2) even = fma(even, square, load(c + i * W));
  AEFAST_UNROLL for (int i = last_odd - 2; i >= 1; i -= 2) odd = fma(odd, square, load(c + i * W));
  return fma(odd, x, even);
}

AEFAST_INLINE F power_of_two(I n) { return as_float(shift_left<23>(n + I(127u))); }  // -127 < n < 128; 0 for n = -127

// x = n ln 2 + r, |r| <= ln 2 / 2; returns exp(r) - 1 with relative error 2e-10 before rounding.
AEFAST_INLINE F reduced_expm1(F x, I& n) {
  n = round_to_int(x * F(log2_e));
  F k = to_float(n);
  F r = fnma(k, F(ln2_low), fnma(k, F(ln2_high), x));
  static constexpr Coefficients<6> c(
      {0.5, 1.666666716e-01, 4.166635498e-02, 8.333273232e-03, 1.394110266e-03, 1.991430181e-04});
  F square = r * r;
  return fma(square, polynomial(r, square, c), r);
}

// exp: 1.01 ULP on all floats; saturates to 0 and infinity.
AEFAST_INLINE F exp(F x) {
  F bounded = min(F(89.0), max(F(-104.0), x));
  I n;
  F p = reduced_expm1(bounded, n) + F(1.0);
  I half = shift_right_signed<1>(n);  // two factors reach both the subnormals and the last binade
  return p * power_of_two(half) * power_of_two(n - half);
}

// exp for x <= 0, flushed to 0 below -87.68 (where 2^n is below the normal numbers): exp's polynomial; not measured
// apart from sigmoid and softplus.
AEFAST_INLINE F exp_nonpositive(F x) {
  I n;
  F p = reduced_expm1(max(F(-88.0), x), n) + F(1.0);
  return p * power_of_two(n);
}

// expm1: 1.58 ULP on all floats.
AEFAST_INLINE F expm1(F x) {
  F bounded = min(F(89.0), max(F(-18.0), x));
  I n;
  F p = reduced_expm1(bounded, n);
  F scale = power_of_two(n - I(1u));  // half of 2^n, which may overflow where the result doesn't
  F sum = fma(scale, p, scale - F(0.5));
  return sum + sum;
}

// log(1 + f) - f, f in [sqrt(1/2) - 1, sqrt(2) - 1], plus `small`.
AEFAST_INLINE F log_tail(F f, F small) {
  static constexpr Coefficients<9> c({3.333331048e-01, -2.499998659e-01, 2.000222653e-01, -1.666924953e-01,
                                      1.421865523e-01, -1.238436997e-01, 1.187301651e-01, -1.178969592e-01,
                                      6.915146858e-02});
  F square = f * f;
  return fma(F(-0.5), square, fma(f * square, polynomial(f, square, c), small));
}

// log: 0.83 ULP on all floats (0.82 with FMA); 0 gives -infinity, negatives NaN.
AEFAST_INLINE F log(F x) {
  M tiny = x < F(1.17549435e-38);
  I bits = as_int(select(tiny, x * F(8388608.0), x)) - I(0x3F3504F3u);  // m 2^e = x with m in [sqrt(1/2), sqrt(2))
  F e = to_float(shift_right_signed<23>(bits)) - select(tiny, F(23.0), F(0.0));
  F f = as_float((bits & I(0x007FFFFFu)) + I(0x3F3504F3u)) - F(1.0);
  F result = fma(e, F(ln2_high), f + log_tail(f, e * F(ln2_low)));
  F special = select(x < F(3.4e38), F(-__builtin_inf()), x);  // zero, then infinity and NaN
  M positive = x > F(0.0);
  result = select(positive, select(x < F(__builtin_inf()), result, x), special);
  return select(x < F(0.0), F(__builtin_nan("")), result);
}

// log1p on [0, 1], where activations need it: 1.38 ULP.
// 1 + x is halved above sqrt(2); either way f = m - 1 comes from x without the rounding of 1 + x.
AEFAST_INLINE F log1p(F x) {
  M upper = x > F(0.41421356);
  F f = select(upper, fma(F(0.5), x, F(-0.5)), x);
  F high = select(upper, F(ln2_high), F(0.0)), low = select(upper, F(ln2_low), F(0.0));
  return high + (f + log_tail(f, low));
}

// tanh: 2.49 ULP on all floats.
AEFAST_INLINE F tanh(F x) {
  F e = expm1(F(-2.0) * abs(x));
  F magnitude = -e / (e + F(2.0));
  return as_float(as_int(magnitude) | (as_int(x) & I(0x80000000u)));
}

// The rounding error of p = a * b.
AEFAST_INLINE F product_error(F a, F b, F p) {
  if (has_fma) return fma(a, b, -p);
  F a_high = as_float(as_int(a) & I(0xFFFFF000u)),
    b_high = as_float(as_int(b) & I(0xFFFFF000u));  // 12 bits: exact products
  F a_low = a - a_high, b_low = b - b_high;
  return ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;
}

AEFAST_INLINE F exp_minus_half_square(F x) {
  F bounded = min(F(15.0), abs(x));  // exp(-112) is zero in float32
  F square = bounded * bounded;
  F e = exp(F(-0.5) * square);
  return fma(e, F(-0.5) * product_error(bounded, bounded, square), e);
}

// The standard normal's distribution function: 6.2 ULP wherever the result is a normal number (x > -12.9).
// Lower tail = exp(-y^2 / 2) r P(1 - 7 r), r = 1 / (y + 3.5), y = |x|: P is smooth on the whole half line. Near 0 the
// odd series.
AEFAST_INLINE F normal_cdf(F x) {
  static constexpr Coefficients<10> c({7.444160581e-01, -5.655617714e-01, 3.154250383e-01, -1.160530373e-01,
                                       1.740637794e-02, 6.493115798e-03, -3.175309626e-03, -4.949428840e-04,
                                       4.218964314e-04, 1.106882846e-04});
  F y = min(F(15.0), abs(x));
  F r = F(1.0) / (y + F(3.5));
  F q = fnma(F(7.0), r, F(1.0));
  F lower = exp_minus_half_square(x) * (r * polynomial(q, q * q, c));
  F tail = select(x > F(0.0), F(1.0) - lower, lower);
  static constexpr Coefficients<6> odd(
      {3.989422917e-01, -6.649038196e-02, 9.973531589e-03, -1.187138143e-03, 1.147786243e-04, -8.388587958e-06});
  return select(y < F(0.75), fma(x, horner(x * x, odd), F(0.5)), tail);
}

// sin and cos of 2 pi u, u in [0, 1): 0.99 ULP with FMA, 1.21 without, on all u = i / 2^24. The quarter turn is split
// off exactly.
AEFAST_INLINE void sincos_turns(F u, F& sine, F& cosine) {
  F quarters = u * F(4.0);
  I turn = round_to_int(quarters);
  F r = quarters - to_float(turn), square = r * r;
  static constexpr Coefficients<4> s({-6.459640861e-01, 7.969258726e-02, -4.681297578e-03, 1.582625409e-04});
  static constexpr Coefficients<4> c({-1.233700514e+00, 2.536692321e-01, -2.086028829e-02, 9.040216682e-04});
  constexpr double half_pi_high = 1.57079637050628662, half_pi_low = -4.37113900018624283e-8;
  F sin_r;
  if (has_fma) {
    sin_r = fma(r, F(half_pi_high), r * fma(square, horner(square, s), F(half_pi_low)));
  } else {  // 11 bits times 13 bits is exact; the rest is small
    constexpr double coarse = 1.570556640625;
    F r_high = as_float(as_int(r) & I(0xFFFFE000u));
    F rest = square * horner(square, s) + F(half_pi_high - coarse + half_pi_low);
    sin_r = r_high * F(coarse) + ((r - r_high) * F(coarse) + r * rest);
  }
  F cos_r = fma(square, horner(square, c), F(1.0));
  M even = equal(turn & I(1u), I(0u));
  I sin_sign = shift_left<30>(turn & I(2u)), cos_sign = shift_left<30>((turn + I(1u)) & I(2u));
  sine = as_float(as_int(select(even, sin_r, cos_r)) ^ sin_sign);
  cosine = as_float(as_int(select(even, cos_r, sin_r)) ^ cos_sign);
}

}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS
