// The vocabulary that formulas.h, rules.h and philox.h are written in, for float, double and uint32_t.
// A vector type supplies the same names in its own namespace (found by argument-dependent lookup).
#pragma once

#include <math.h>
#include <stdint.h>

#include "common/host_device.h"

namespace aefast {

// NaN in `x` passes through: the bound stands first, as in the x86 instructions.
AEFAST_HD inline float max(float bound, float x) { return bound > x ? bound : x; }
AEFAST_HD inline float min(float bound, float x) { return bound < x ? bound : x; }
AEFAST_HD inline double max(double bound, double x) { return bound > x ? bound : x; }
AEFAST_HD inline double min(double bound, double x) { return bound < x ? bound : x; }
AEFAST_HD inline float select(bool mask, float yes, float no) { return mask ? yes : no; }
AEFAST_HD inline double select(bool mask, double yes, double no) { return mask ? yes : no; }
AEFAST_HD inline float abs(float x) { return ::fabsf(x); }
AEFAST_HD inline double abs(double x) { return ::fabs(x); }
AEFAST_HD inline float sqrt(float x) { return ::sqrtf(x); }
AEFAST_HD inline double sqrt(double x) { return ::sqrt(x); }
AEFAST_HD inline float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
AEFAST_HD inline double fma(double a, double b, double c) { return ::fma(a, b, c); }
// The rounding error of p = a * b.
AEFAST_HD inline float product_error(float a, float b, float p) { return ::fmaf(a, b, -p); }
AEFAST_HD inline double product_error(double a, double b, double p) { return ::fma(a, b, -p); }
AEFAST_HD inline float exp(float x) { return ::expf(x); }
AEFAST_HD inline double exp(double x) { return ::exp(x); }
AEFAST_HD inline float exp_nonpositive(float x) { return ::expf(x); }  // a vector type may have a shorter way
AEFAST_HD inline double exp_nonpositive(double x) { return ::exp(x); }
AEFAST_HD inline float expm1(float x) { return ::expm1f(x); }
AEFAST_HD inline double expm1(double x) { return ::expm1(x); }
AEFAST_HD inline float log(float x) { return ::logf(x); }
AEFAST_HD inline double log(double x) { return ::log(x); }
AEFAST_HD inline float log1p(float x) { return ::log1pf(x); }
AEFAST_HD inline double log1p(double x) { return ::log1p(x); }
AEFAST_HD inline float tanh(float x) { return ::tanhf(x); }
AEFAST_HD inline double tanh(double x) { return ::tanh(x); }
// The standard normal's distribution function and exp(-x^2 / 2); erfc keeps the lower tail's relative accuracy.
AEFAST_HD inline float normal_cdf(float x) { return 0.5f * ::erfcf(-0.70710678f * x); }
AEFAST_HD inline double normal_cdf(double x) { return 0.5 * ::erfc(-0.70710678118654752 * x); }
AEFAST_HD inline float exp_minus_half_square(float x) { return ::expf(-0.5f * x * x); }
AEFAST_HD inline double exp_minus_half_square(double x) { return ::exp(-0.5 * x * x); }
// sin and cos of 2 pi u, u in [0, 1): the quarter turn is split off exactly.
template <class T>
AEFAST_HD inline void sincos_turns(T u, T& sine, T& cosine) {
  T quarter = T(4) * u;
  int turn = int(quarter + T(0.5));
  T angle = (quarter - T(turn)) * T(1.57079632679489662);
  T s = T(::sin(double(angle))), c = T(::cos(double(angle)));
  sine = turn & 1 ? c : s;
  cosine = turn & 1 ? s : c;
  if (turn & 2) sine = -sine;
  if ((turn + 1) & 2) cosine = -cosine;
}
// (high, low) words of m * x.
template <int n>
AEFAST_HD inline uint32_t shift_right(uint32_t x) {
  return x >> n;
}

AEFAST_HD inline void multiply_wide(uint32_t m, uint32_t x, uint32_t& high, uint32_t& low) {
  uint64_t product = uint64_t(m) * x;
  high = uint32_t(product >> 32);
  low = uint32_t(product);
}

}  // namespace aefast
