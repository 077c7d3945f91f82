// Vectors of four floats on the compilers' vector extensions: SSE2 and NEON. Included inside a namespace by simd.h,
// which documents the vocabulary.

constexpr int W = 4;

typedef float FloatLanes __attribute__((vector_size(4 * W)));
typedef uint32_t IntLanes __attribute__((vector_size(4 * W)));
typedef int32_t SignedLanes __attribute__((vector_size(4 * W)));
typedef double DoubleLanes __attribute__((vector_size(4 * W)));

// Lane by lane: a sum with a vector of zeros would turn -0 into 0, and stay in the code as an addition.
AEFAST_INLINE FloatLanes broadcast(float s) { return FloatLanes{s, s, s, s}; }
AEFAST_INLINE DoubleLanes broadcast(double s) { return DoubleLanes{s, s}; }

struct M {
  SignedLanes v;
};

struct F {
  FloatLanes v;
  F() = default;
  AEFAST_INLINE F(FloatLanes x) : v(x) {}
  AEFAST_INLINE explicit F(double s) : v(broadcast(float(s))) {}
};

struct I {
  IntLanes v;
  I() = default;
  AEFAST_INLINE I(IntLanes x) : v(x) {}
  AEFAST_INLINE explicit I(uint32_t s) : v(IntLanes{} + s) {}
};

struct D {
  DoubleLanes v;
  D() = default;
  AEFAST_INLINE D(DoubleLanes x) : v(x) {}
  AEFAST_INLINE explicit D(double s) : v(broadcast(s)) {}
};

AEFAST_INLINE F load(const float* p) {
  FloatLanes x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
AEFAST_INLINE F load(const float* p, int n) {
  FloatLanes x{};
  for (int l = 0; l < n; ++l) x[l] = p[l];
  return x;
}
AEFAST_INLINE void store(float* p, F x) { __builtin_memcpy(p, &x.v, sizeof x.v); }
AEFAST_INLINE void store(float* p, F x, int n) {
  for (int l = 0; l < n; ++l) p[l] = x.v[l];
}
AEFAST_INLINE F splat(const float* p) { return broadcast(*p); }
AEFAST_INLINE I lane_index() { return IntLanes{0, 1, 2, 3}; }
AEFAST_INLINE F select(M m, F yes, F no) {
  return (FloatLanes)((m.v & (SignedLanes)yes.v) | (~m.v & (SignedLanes)no.v));
}
AEFAST_INLINE F first_lanes(F x, int n) {
  return select(M{(SignedLanes)lane_index().v < SignedLanes{} + n}, x, F(0.0));
}

AEFAST_INLINE F operator+(F a, F b) { return a.v + b.v; }
AEFAST_INLINE F operator-(F a, F b) { return a.v - b.v; }
AEFAST_INLINE F operator*(F a, F b) { return a.v * b.v; }
AEFAST_INLINE F operator/(F a, F b) { return a.v / b.v; }
AEFAST_INLINE F operator-(F a) { return -a.v; }
#if defined(__aarch64__)
constexpr bool has_fma = true;
AEFAST_INLINE F fma(F a, F b, F c) {
  return (FloatLanes)vfmaq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v);
}
AEFAST_INLINE F fnma(F a, F b, F c) {
  return (FloatLanes)vfmsq_f32((float32x4_t)c.v, (float32x4_t)a.v, (float32x4_t)b.v);
}
AEFAST_INLINE F sqrt(F x) { return (FloatLanes)vsqrtq_f32((float32x4_t)x.v); }
#else
constexpr bool has_fma = false;
AEFAST_INLINE F fma(F a, F b, F c) { return a.v * b.v + c.v; }
AEFAST_INLINE F fnma(F a, F b, F c) { return c.v - a.v * b.v; }
#if defined(__SSE2__)
AEFAST_INLINE F sqrt(F x) { return (FloatLanes)_mm_sqrt_ps((__m128)x.v); }
#else
AEFAST_INLINE F sqrt(F x) {
  for (int l = 0; l < W; ++l) x.v[l] = __builtin_sqrtf(x.v[l]);
  return x;
}
#endif
#endif

AEFAST_INLINE M operator<(F a, F b) { return {a.v < b.v}; }
AEFAST_INLINE M operator>(F a, F b) { return {a.v > b.v}; }
AEFAST_INLINE M operator<=(F a, F b) { return {a.v <= b.v}; }
AEFAST_INLINE M operator>=(F a, F b) { return {a.v >= b.v}; }
AEFAST_INLINE M equal(I a, I b) { return {a.v == b.v}; }
AEFAST_INLINE F max(F bound, F x) { return select(bound > x, bound, x); }
AEFAST_INLINE F min(F bound, F x) { return select(bound < x, bound, x); }
AEFAST_INLINE F abs(F x) { return (FloatLanes)((IntLanes)x.v & 0x7FFFFFFFu); }

AEFAST_INLINE I as_int(F x) { return (IntLanes)x.v; }
AEFAST_INLINE F as_float(I x) { return (FloatLanes)x.v; }
// To the nearest even integer, for |x| < 2^22: the sum's low mantissa bits are the integer.
AEFAST_INLINE I round_to_int(F x) { return (IntLanes)(x.v + 12582912.0f) - 0x4B400000u; }
AEFAST_INLINE F to_float(I x) { return __builtin_convertvector((SignedLanes)x.v, FloatLanes); }
AEFAST_INLINE I operator+(I a, I b) { return a.v + b.v; }
AEFAST_INLINE I operator-(I a, I b) { return a.v - b.v; }
AEFAST_INLINE I operator&(I a, I b) { return a.v & b.v; }
AEFAST_INLINE I operator|(I a, I b) { return a.v | b.v; }
AEFAST_INLINE I operator^(I a, I b) { return a.v ^ b.v; }
template <int n>
AEFAST_INLINE I shift_left(I a) {
  return a.v << n;
}
template <int n>
AEFAST_INLINE I shift_right(I a) {
  return a.v >> n;
}
template <int n>
AEFAST_INLINE I shift_right_signed(I a) {
  return (IntLanes)((SignedLanes)a.v >> n);
}

AEFAST_INLINE void multiply_wide(uint32_t m, I x, I& high, I& low) {
  for (int l = 0; l < W; ++l) {
    uint64_t product = uint64_t(m) * x.v[l];
    high.v[l] = uint32_t(product >> 32);
    low.v[l] = uint32_t(product);
  }
}

// p[4 l + i] = the i-th argument's lane l.
AEFAST_INLINE void store_interleaved(float* p, F a, F b, F c, F d) {
  for (int l = 0; l < W; ++l) {
    p[4 * l] = a.v[l];
    p[4 * l + 1] = b.v[l];
    p[4 * l + 2] = c.v[l];
    p[4 * l + 3] = d.v[l];
  }
}

AEFAST_INLINE F load_u8(const uint8_t* p) { return FloatLanes{float(p[0]), float(p[1]), float(p[2]), float(p[3])}; }

// float64: W / 2 lanes.
AEFAST_INLINE D load(const double* p) {
  DoubleLanes x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
AEFAST_INLINE D widen_low(F x) { return DoubleLanes{x.v[0], x.v[1]}; }
AEFAST_INLINE D widen_high(F x) { return DoubleLanes{x.v[2], x.v[3]}; }
AEFAST_INLINE F narrow(D low, D high) {
  return FloatLanes{float(low.v[0]), float(low.v[1]), float(high.v[0]), float(high.v[1])};
}
AEFAST_INLINE D operator+(D a, D b) { return a.v + b.v; }
AEFAST_INLINE D operator-(D a, D b) { return a.v - b.v; }
AEFAST_INLINE D operator*(D a, D b) { return a.v * b.v; }
AEFAST_INLINE D fma(D a, D b, D c) { return a.v * b.v + c.v; }
AEFAST_INLINE void store(double* p, D x) { __builtin_memcpy(p, &x.v, sizeof x.v); }

// rows[k] lane j = p[j * stride + k]: a W x W block, transposed.
AEFAST_INLINE void load_transposed(const float* p, int64_t stride, F (&rows)[W]) {
  for (int k = 0; k < W; ++k) rows[k] = FloatLanes{p[k], p[stride + k], p[2 * stride + k], p[3 * stride + k]};
}
