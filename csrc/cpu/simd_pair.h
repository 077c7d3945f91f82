// Two vectors as one of twice the width: for latency-bound math, and to run the 512-bit kernels without AVX-512.
// Included inside a namespace by simd.h after the half-width vocabulary in namespace `half`.

constexpr int W = 2 * half::W;
constexpr bool has_fma = half::has_fma;

struct M {
  half::M a, b;
};

struct F {
  half::F a, b;
  F() = default;
  AEFAST_INLINE F(half::F x, half::F y) : a(x), b(y) {}
  AEFAST_INLINE explicit F(double s) : a(s), b(s) {}
};

struct I {
  half::I a, b;
  I() = default;
  AEFAST_INLINE I(half::I x, half::I y) : a(x), b(y) {}
  AEFAST_INLINE explicit I(uint32_t s) : a(s), b(s) {}
};

struct D {
  half::D a, b;
  D() = default;
  AEFAST_INLINE D(half::D x, half::D y) : a(x), b(y) {}
  AEFAST_INLINE explicit D(double s) : a(s), b(s) {}
};

AEFAST_INLINE int low_part(int n) { return n < half::W ? n : half::W; }
AEFAST_INLINE int high_part(int n) { return n - low_part(n); }

AEFAST_INLINE F load(const float* p) { return {half::load(p), half::load(p + half::W)}; }
AEFAST_INLINE F load(const float* p, int n) {
  return {half::load(p, low_part(n)), half::load(p + half::W, high_part(n))};
}
AEFAST_INLINE void store(float* p, F x) { half::store(p, x.a), half::store(p + half::W, x.b); }
AEFAST_INLINE void store(float* p, F x, int n) {
  half::store(p, x.a, low_part(n)), half::store(p + half::W, x.b, high_part(n));
}
AEFAST_INLINE F splat(const float* p) { return {half::splat(p), half::splat(p)}; }
AEFAST_INLINE F first_lanes(F x, int n) {
  return {half::first_lanes(x.a, low_part(n)), half::first_lanes(x.b, high_part(n))};
}

AEFAST_INLINE F operator+(F x, F y) { return {x.a + y.a, x.b + y.b}; }
AEFAST_INLINE F operator-(F x, F y) { return {x.a - y.a, x.b - y.b}; }
AEFAST_INLINE F operator*(F x, F y) { return {x.a * y.a, x.b * y.b}; }
AEFAST_INLINE F operator/(F x, F y) { return {x.a / y.a, x.b / y.b}; }
AEFAST_INLINE F operator-(F x) { return {-x.a, -x.b}; }
AEFAST_INLINE F fma(F x, F y, F z) { return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)}; }
AEFAST_INLINE F fnma(F x, F y, F z) { return {fnma(x.a, y.a, z.a), fnma(x.b, y.b, z.b)}; }
AEFAST_INLINE F max(F bound, F x) { return {max(bound.a, x.a), max(bound.b, x.b)}; }
AEFAST_INLINE F min(F bound, F x) { return {min(bound.a, x.a), min(bound.b, x.b)}; }
AEFAST_INLINE F abs(F x) { return {abs(x.a), abs(x.b)}; }
AEFAST_INLINE F sqrt(F x) { return {sqrt(x.a), sqrt(x.b)}; }

AEFAST_INLINE M operator<(F x, F y) { return {x.a < y.a, x.b < y.b}; }
AEFAST_INLINE M operator>(F x, F y) { return {x.a > y.a, x.b > y.b}; }
AEFAST_INLINE M operator<=(F x, F y) { return {x.a <= y.a, x.b <= y.b}; }
AEFAST_INLINE M operator>=(F x, F y) { return {x.a >= y.a, x.b >= y.b}; }
AEFAST_INLINE M equal(I x, I y) { return {equal(x.a, y.a), equal(x.b, y.b)}; }
AEFAST_INLINE F select(M m, F yes, F no) { return {select(m.a, yes.a, no.a), select(m.b, yes.b, no.b)}; }

AEFAST_INLINE I as_int(F x) { return {as_int(x.a), as_int(x.b)}; }
AEFAST_INLINE F as_float(I x) { return {as_float(x.a), as_float(x.b)}; }
AEFAST_INLINE I round_to_int(F x) { return {round_to_int(x.a), round_to_int(x.b)}; }
AEFAST_INLINE F to_float(I x) { return {to_float(x.a), to_float(x.b)}; }
AEFAST_INLINE I operator+(I x, I y) { return {x.a + y.a, x.b + y.b}; }
AEFAST_INLINE I operator-(I x, I y) { return {x.a - y.a, x.b - y.b}; }
AEFAST_INLINE I operator&(I x, I y) { return {x.a & y.a, x.b & y.b}; }
AEFAST_INLINE I operator|(I x, I y) { return {x.a | y.a, x.b | y.b}; }
AEFAST_INLINE I operator^(I x, I y) { return {x.a ^ y.a, x.b ^ y.b}; }
template <int n>
AEFAST_INLINE I shift_left(I x) {
  return {half::shift_left<n>(x.a), half::shift_left<n>(x.b)};
}
template <int n>
AEFAST_INLINE I shift_right(I x) {
  return {half::shift_right<n>(x.a), half::shift_right<n>(x.b)};
}
template <int n>
AEFAST_INLINE I shift_right_signed(I x) {
  return {half::shift_right_signed<n>(x.a), half::shift_right_signed<n>(x.b)};
}
AEFAST_INLINE I lane_index() { return {half::lane_index(), half::lane_index() + half::I(uint32_t(half::W))}; }

AEFAST_INLINE void multiply_wide(uint32_t m, I x, I& high, I& low) {
  half::multiply_wide(m, x.a, high.a, low.a);
  half::multiply_wide(m, x.b, high.b, low.b);
}

AEFAST_INLINE void store_interleaved(float* p, F x, F y, F z, F t) {
  half::store_interleaved(p, x.a, y.a, z.a, t.a);
  half::store_interleaved(p + 4 * half::W, x.b, y.b, z.b, t.b);
}

AEFAST_INLINE F load_u8(const uint8_t* p) { return {half::load_u8(p), half::load_u8(p + half::W)}; }

AEFAST_INLINE D load(const double* p) { return {half::load(p), half::load(p + half::W / 2)}; }
AEFAST_INLINE D widen_low(F x) { return {half::widen_low(x.a), half::widen_high(x.a)}; }
AEFAST_INLINE D widen_high(F x) { return {half::widen_low(x.b), half::widen_high(x.b)}; }
AEFAST_INLINE F narrow(D low, D high) { return {half::narrow(low.a, low.b), half::narrow(high.a, high.b)}; }
AEFAST_INLINE D operator+(D x, D y) { return {x.a + y.a, x.b + y.b}; }
AEFAST_INLINE D operator-(D x, D y) { return {x.a - y.a, x.b - y.b}; }
AEFAST_INLINE D operator*(D x, D y) { return {x.a * y.a, x.b * y.b}; }
AEFAST_INLINE D fma(D x, D y, D z) { return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)}; }
AEFAST_INLINE void store(double* p, D x) { half::store(p, x.a), half::store(p + half::W / 2, x.b); }

AEFAST_INLINE void load_transposed(const float* p, int64_t stride, F (&rows)[W]) {
  for (int k = 0; k < W; k += half::W) {
    half::F low[half::W], high[half::W];
    half::load_transposed(p + k, stride, low);
    half::load_transposed(p + k + half::W * stride, stride, high);
    for (int i = 0; i < half::W; ++i) rows[k + i] = F(low[i], high[i]);
  }
}
