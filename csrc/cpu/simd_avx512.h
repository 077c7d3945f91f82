// Vectors of sixteen floats on AVX-512 (F, BW, DQ, VL). Included inside a namespace by simd.h, which documents the
// vocabulary.

constexpr int W = 16;
constexpr bool has_fma = true;

struct M {
  __mmask16 v;
};

struct F {
  __m512 v;
  F() = default;
  AEFAST_INLINE F(__m512 x) : v(x) {}
  AEFAST_INLINE explicit F(double s) : v(_mm512_set1_ps(float(s))) {}
};

struct I {
  __m512i v;
  I() = default;
  AEFAST_INLINE I(__m512i x) : v(x) {}
  AEFAST_INLINE explicit I(uint32_t s) : v(_mm512_set1_epi32(int(s))) {}
};

struct D {
  __m512d v;
  D() = default;
  AEFAST_INLINE D(__m512d x) : v(x) {}
  AEFAST_INLINE explicit D(double s) : v(_mm512_set1_pd(s)) {}
};

AEFAST_INLINE __mmask16 lane_mask(int n) { return __mmask16((1u << n) - 1u); }

AEFAST_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
AEFAST_INLINE F load(const float* p, int n) { return _mm512_maskz_loadu_ps(lane_mask(n), p); }
AEFAST_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x.v); }
AEFAST_INLINE void store(float* p, F x, int n) { _mm512_mask_storeu_ps(p, lane_mask(n), x.v); }
AEFAST_INLINE F splat(const float* p) { return _mm512_set1_ps(*p); }
AEFAST_INLINE F first_lanes(F x, int n) { return _mm512_maskz_mov_ps(lane_mask(n), x.v); }

AEFAST_INLINE F operator+(F a, F b) { return _mm512_add_ps(a.v, b.v); }
AEFAST_INLINE F operator-(F a, F b) { return _mm512_sub_ps(a.v, b.v); }
AEFAST_INLINE F operator*(F a, F b) { return _mm512_mul_ps(a.v, b.v); }
AEFAST_INLINE F operator/(F a, F b) { return _mm512_div_ps(a.v, b.v); }
AEFAST_INLINE F operator-(F a) { return _mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f)); }
AEFAST_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
AEFAST_INLINE F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a.v, b.v, c.v); }
AEFAST_INLINE F max(F bound, F x) { return _mm512_max_ps(bound.v, x.v); }
AEFAST_INLINE F min(F bound, F x) { return _mm512_min_ps(bound.v, x.v); }
AEFAST_INLINE F abs(F x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x.v); }
AEFAST_INLINE F sqrt(F x) { return _mm512_sqrt_ps(x.v); }

AEFAST_INLINE M operator<(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
AEFAST_INLINE M operator>(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
AEFAST_INLINE M operator<=(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
AEFAST_INLINE M operator>=(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
AEFAST_INLINE M equal(I a, I b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
AEFAST_INLINE F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m.v, no.v, yes.v); }

AEFAST_INLINE I as_int(F x) { return _mm512_castps_si512(x.v); }
AEFAST_INLINE F as_float(I x) { return _mm512_castsi512_ps(x.v); }
AEFAST_INLINE I round_to_int(F x) { return _mm512_cvtps_epi32(x.v); }
AEFAST_INLINE F to_float(I x) { return _mm512_cvtepi32_ps(x.v); }
AEFAST_INLINE I operator+(I a, I b) { return _mm512_add_epi32(a.v, b.v); }
AEFAST_INLINE I operator-(I a, I b) { return _mm512_sub_epi32(a.v, b.v); }
AEFAST_INLINE I operator&(I a, I b) { return _mm512_and_si512(a.v, b.v); }
AEFAST_INLINE I operator|(I a, I b) { return _mm512_or_si512(a.v, b.v); }
AEFAST_INLINE I operator^(I a, I b) { return _mm512_xor_si512(a.v, b.v); }
template <int n>
AEFAST_INLINE I shift_left(I a) {
  return _mm512_slli_epi32(a.v, n);
}
template <int n>
AEFAST_INLINE I shift_right(I a) {
  return _mm512_srli_epi32(a.v, n);
}
template <int n>
AEFAST_INLINE I shift_right_signed(I a) {
  return _mm512_srai_epi32(a.v, n);
}
AEFAST_INLINE I lane_index() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

AEFAST_INLINE void multiply_wide(uint32_t m, I x, I& high, I& low) {
  __m512i factor = _mm512_set1_epi32(int(m));
  __m512i even = _mm512_mul_epu32(x.v, factor);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x.v, 32), factor);
  high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
  low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

// p[4 l + i] = the i-th argument's lane l.
AEFAST_INLINE void store_interleaved(float* p, F a, F b, F c, F d) {
  __m512 ab0 = _mm512_unpacklo_ps(a.v, b.v), ab1 = _mm512_unpackhi_ps(a.v, b.v);
  __m512 cd0 = _mm512_unpacklo_ps(c.v, d.v), cd1 = _mm512_unpackhi_ps(c.v, d.v);
  // Quarter q of l_i holds lane 4 q + i.
  __m512 l0 = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab0), _mm512_castps_pd(cd0)));
  __m512 l1 = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab0), _mm512_castps_pd(cd0)));
  __m512 l2 = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab1), _mm512_castps_pd(cd1)));
  __m512 l3 = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab1), _mm512_castps_pd(cd1)));
  __m512 a01 = _mm512_shuffle_f32x4(l0, l1, 0x44), a23 = _mm512_shuffle_f32x4(l2, l3, 0x44);
  __m512 b01 = _mm512_shuffle_f32x4(l0, l1, 0xEE), b23 = _mm512_shuffle_f32x4(l2, l3, 0xEE);
  _mm512_storeu_ps(p, _mm512_shuffle_f32x4(a01, a23, 0x88));
  _mm512_storeu_ps(p + 16, _mm512_shuffle_f32x4(a01, a23, 0xDD));
  _mm512_storeu_ps(p + 32, _mm512_shuffle_f32x4(b01, b23, 0x88));
  _mm512_storeu_ps(p + 48, _mm512_shuffle_f32x4(b01, b23, 0xDD));
}

AEFAST_INLINE F load_u8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// float64: W / 2 lanes.
AEFAST_INLINE D load(const double* p) { return _mm512_loadu_pd(p); }
AEFAST_INLINE D widen_low(F x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x.v)); }
AEFAST_INLINE D widen_high(F x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1)); }
AEFAST_INLINE F narrow(D low, D high) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.v)), _mm512_cvtpd_ps(high.v), 1);
}
AEFAST_INLINE D operator+(D a, D b) { return _mm512_add_pd(a.v, b.v); }
AEFAST_INLINE D operator-(D a, D b) { return _mm512_sub_pd(a.v, b.v); }
AEFAST_INLINE D operator*(D a, D b) { return _mm512_mul_pd(a.v, b.v); }
AEFAST_INLINE D fma(D a, D b, D c) { return _mm512_fmadd_pd(a.v, b.v, c.v); }
AEFAST_INLINE void store(double* p, D x) { _mm512_storeu_pd(p, x.v); }

// rows[k] lane j = p[j * stride + k]: a W x W block, transposed.
AEFAST_INLINE void load_transposed(const float* p, int64_t stride, F (&rows)[W]) {
  AEFAST_UNROLL for (int k = 0; k < 16; k += 4) {  // four columns of all sixteen rows at a time
    __m512 t[4];
    AEFAST_UNROLL for (int j = 0; j < 4; ++j) {  // quarter q of t[j] = row 4 q + j
      t[j] = _mm512_castps128_ps512(_mm_loadu_ps(p + j * stride + k));
      t[j] = _mm512_insertf32x4(t[j], _mm_loadu_ps(p + (j + 4) * stride + k), 1);
      t[j] = _mm512_insertf32x4(t[j], _mm_loadu_ps(p + (j + 8) * stride + k), 2);
      t[j] = _mm512_insertf32x4(t[j], _mm_loadu_ps(p + (j + 12) * stride + k), 3);
    }
    __m512 a = _mm512_unpacklo_ps(t[0], t[1]), b = _mm512_unpackhi_ps(t[0], t[1]);
    __m512 c = _mm512_unpacklo_ps(t[2], t[3]), d = _mm512_unpackhi_ps(t[2], t[3]);
    rows[k] = _mm512_shuffle_ps(a, c, 0x44);
    rows[k + 1] = _mm512_shuffle_ps(a, c, 0xEE);
    rows[k + 2] = _mm512_shuffle_ps(b, d, 0x44);
    rows[k + 3] = _mm512_shuffle_ps(b, d, 0xEE);
  }
}
