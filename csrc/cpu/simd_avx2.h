// Vectors of eight floats on AVX2 and FMA. Included inside a namespace by simd.h, which documents the vocabulary.

constexpr int W = 8;
constexpr bool has_fma = true;

struct M {
  __m256 v;
};

struct F {
  __m256 v;
  F() = default;
  AEFAST_INLINE F(__m256 x) : v(x) {}
  AEFAST_INLINE explicit F(double s) : v(_mm256_set1_ps(float(s))) {}
};

struct I {
  __m256i v;
  I() = default;
  AEFAST_INLINE I(__m256i x) : v(x) {}
  AEFAST_INLINE explicit I(uint32_t s) : v(_mm256_set1_epi32(int(s))) {}
};

struct D {
  __m256d v;
  D() = default;
  AEFAST_INLINE D(__m256d x) : v(x) {}
  AEFAST_INLINE explicit D(double s) : v(_mm256_set1_pd(s)) {}
};

AEFAST_INLINE __m256i lane_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

AEFAST_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
AEFAST_INLINE F load(const float* p, int n) { return _mm256_maskload_ps(p, lane_mask(n)); }
AEFAST_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x.v); }
// In pieces of 8, 4, 2 and 1: a masked store takes some twenty operations on AMD.
AEFAST_INLINE void store(float* p, F x, int n) {
  if (n == W) return store(p, x);
  __m128 low = _mm256_castps256_ps128(x.v);
  if (n & 4) {
    _mm_storeu_ps(p, low);
    low = _mm256_extractf128_ps(x.v, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), low);
    low = _mm_movehl_ps(low, low);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, low);
}
AEFAST_INLINE F splat(const float* p) { return _mm256_broadcast_ss(p); }
AEFAST_INLINE F first_lanes(F x, int n) { return _mm256_and_ps(x.v, _mm256_castsi256_ps(lane_mask(n))); }

AEFAST_INLINE F operator+(F a, F b) { return _mm256_add_ps(a.v, b.v); }
AEFAST_INLINE F operator-(F a, F b) { return _mm256_sub_ps(a.v, b.v); }
AEFAST_INLINE F operator*(F a, F b) { return _mm256_mul_ps(a.v, b.v); }
AEFAST_INLINE F operator/(F a, F b) { return _mm256_div_ps(a.v, b.v); }
AEFAST_INLINE F operator-(F a) { return _mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f)); }
AEFAST_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
AEFAST_INLINE F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }
AEFAST_INLINE F max(F bound, F x) { return _mm256_max_ps(bound.v, x.v); }
AEFAST_INLINE F min(F bound, F x) { return _mm256_min_ps(bound.v, x.v); }
AEFAST_INLINE F abs(F x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v); }
AEFAST_INLINE F sqrt(F x) { return _mm256_sqrt_ps(x.v); }

AEFAST_INLINE M operator<(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
AEFAST_INLINE M operator>(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
AEFAST_INLINE M operator<=(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
AEFAST_INLINE M operator>=(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
AEFAST_INLINE M equal(I a, I b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.v, b.v))}; }
AEFAST_INLINE F select(M m, F yes, F no) { return _mm256_blendv_ps(no.v, yes.v, m.v); }

AEFAST_INLINE I as_int(F x) { return _mm256_castps_si256(x.v); }
AEFAST_INLINE F as_float(I x) { return _mm256_castsi256_ps(x.v); }
AEFAST_INLINE I round_to_int(F x) { return _mm256_cvtps_epi32(x.v); }
AEFAST_INLINE F to_float(I x) { return _mm256_cvtepi32_ps(x.v); }
AEFAST_INLINE I operator+(I a, I b) { return _mm256_add_epi32(a.v, b.v); }
AEFAST_INLINE I operator-(I a, I b) { return _mm256_sub_epi32(a.v, b.v); }
AEFAST_INLINE I operator&(I a, I b) { return _mm256_and_si256(a.v, b.v); }
AEFAST_INLINE I operator|(I a, I b) { return _mm256_or_si256(a.v, b.v); }
AEFAST_INLINE I operator^(I a, I b) { return _mm256_xor_si256(a.v, b.v); }
template <int n>
AEFAST_INLINE I shift_left(I a) {
  return _mm256_slli_epi32(a.v, n);
}
template <int n>
AEFAST_INLINE I shift_right(I a) {
  return _mm256_srli_epi32(a.v, n);
}
template <int n>
AEFAST_INLINE I shift_right_signed(I a) {
  return _mm256_srai_epi32(a.v, n);
}
AEFAST_INLINE I lane_index() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

AEFAST_INLINE void multiply_wide(uint32_t m, I x, I& high, I& low) {
  __m256i factor = _mm256_set1_epi32(int(m));
  __m256i even = _mm256_mul_epu32(x.v, factor);
  __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x.v, 32), factor);
  high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

// p[4 l + i] = the i-th argument's lane l.
AEFAST_INLINE void store_interleaved(float* p, F a, F b, F c, F d) {
  __m256 ab0 = _mm256_unpacklo_ps(a.v, b.v), ab1 = _mm256_unpackhi_ps(a.v, b.v);
  __m256 cd0 = _mm256_unpacklo_ps(c.v, d.v), cd1 = _mm256_unpackhi_ps(c.v, d.v);
  __m256 l0 = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab0), _mm256_castps_pd(cd0)));  // lanes 0 and 4
  __m256 l1 = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab0), _mm256_castps_pd(cd0)));
  __m256 l2 = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab1), _mm256_castps_pd(cd1)));
  __m256 l3 = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab1), _mm256_castps_pd(cd1)));
  _mm256_storeu_ps(p, _mm256_permute2f128_ps(l0, l1, 0x20));
  _mm256_storeu_ps(p + 8, _mm256_permute2f128_ps(l2, l3, 0x20));
  _mm256_storeu_ps(p + 16, _mm256_permute2f128_ps(l0, l1, 0x31));
  _mm256_storeu_ps(p + 24, _mm256_permute2f128_ps(l2, l3, 0x31));
}

AEFAST_INLINE F load_u8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

// float64: W / 2 lanes.
AEFAST_INLINE D load(const double* p) { return _mm256_loadu_pd(p); }
AEFAST_INLINE D widen_low(F x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x.v)); }
AEFAST_INLINE D widen_high(F x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1)); }
AEFAST_INLINE F narrow(D low, D high) { return _mm256_set_m128(_mm256_cvtpd_ps(high.v), _mm256_cvtpd_ps(low.v)); }
AEFAST_INLINE D operator+(D a, D b) { return _mm256_add_pd(a.v, b.v); }
AEFAST_INLINE D operator-(D a, D b) { return _mm256_sub_pd(a.v, b.v); }
AEFAST_INLINE D operator*(D a, D b) { return _mm256_mul_pd(a.v, b.v); }
AEFAST_INLINE D fma(D a, D b, D c) { return _mm256_fmadd_pd(a.v, b.v, c.v); }
AEFAST_INLINE void store(double* p, D x) { _mm256_storeu_pd(p, x.v); }

// rows[k] lane j = p[j * stride + k]: a W x W block, transposed.
AEFAST_INLINE void load_transposed(const float* p, int64_t stride, F (&rows)[W]) {
  __m256 t[8];
  AEFAST_UNROLL for (int j = 0; j < 4; ++j) {  // halves [j, j + 4] of columns 0-3 and 4-7
    __m256 low = _mm256_loadu_ps(p + j * stride), high = _mm256_loadu_ps(p + (j + 4) * stride);
    t[j] = _mm256_permute2f128_ps(low, high, 0x20);
    t[j + 4] = _mm256_permute2f128_ps(low, high, 0x31);
  }
  AEFAST_UNROLL for (int h = 0; h < 8; h += 4) {
    __m256 a = _mm256_unpacklo_ps(t[h], t[h + 1]), b = _mm256_unpackhi_ps(t[h], t[h + 1]);
    __m256 c = _mm256_unpacklo_ps(t[h + 2], t[h + 3]), d = _mm256_unpackhi_ps(t[h + 2], t[h + 3]);
    rows[h] = _mm256_shuffle_ps(a, c, 0x44);
    rows[h + 1] = _mm256_shuffle_ps(a, c, 0xEE);
    rows[h + 2] = _mm256_shuffle_ps(b, d, 0x44);
    rows[h + 3] = _mm256_shuffle_ps(b, d, 0xEE);
  }
}
