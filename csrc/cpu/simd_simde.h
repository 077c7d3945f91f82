// AVX-512 intrinsics through SIMD Everywhere (SIMDe 0.8), for tests: simd_avx512.h and whatever else is written for
// AVX-512 runs, intrinsic by intrinsic, on AVX2 and FMA. Here stand the intrinsics that SIMDe lacks or doesn't execute
// as the processor does. One that neither has doesn't compile: GCC refuses to inline its own without -mavx512f.
#pragma once

#include <immintrin.h>
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include "cpu/isa.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {
namespace simde_shim {

template <class To, class From>
AEFAST_INLINE To bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

struct Floats {
  __m256 half[2];
};
struct Ints {
  __m256i half[2];
};
struct Doubles {
  __m256d half[2];
};

AEFAST_INLINE __m256i lanes_of(unsigned mask) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(int(mask)), bit), bit);
}

// SIMDe's masked accesses touch all lanes of memory, and its masked store writes zeros there.
AEFAST_INLINE __m512 maskz_loadu_ps(unsigned mask, const void* p) {
  const float* from = static_cast<const float*>(p);
  return bits<__m512>(Floats{{_mm256_maskload_ps(from, lanes_of(mask)), _mm256_maskload_ps(from + 8, lanes_of(mask >> 8))}});
}
AEFAST_INLINE void mask_storeu_ps(void* p, unsigned mask, __m512 x) {
  float* to = static_cast<float*>(p);
  const Floats halves = bits<Floats>(x);
  _mm256_maskstore_ps(to, lanes_of(mask), halves.half[0]);
  _mm256_maskstore_ps(to + 8, lanes_of(mask >> 8), halves.half[1]);
}

AEFAST_INLINE __m512i cvtepu8_epi32(__m128i x) {
  return bits<__m512i>(Ints{{_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))}});
}
AEFAST_INLINE __m512d cvtps_pd(__m256 x) {
  return bits<__m512d>(
      Doubles{{_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))}});
}
AEFAST_INLINE __m256 cvtpd_ps(__m512d x) {
  const Doubles halves = bits<Doubles>(x);
  return _mm256_set_m128(_mm256_cvtpd_ps(halves.half[1]), _mm256_cvtpd_ps(halves.half[0]));
}

// VDPBF16PS (Intel SDM, volume 2): for every float32 lane two fused multiply-adds, the pair's odd elements first, each
// rounded to nearest even, with subnormal inputs read as zero and subnormal results flushed, whatever MXCSR says. In
// one piece of assembly, so that the compiler can't move arithmetic into or out of these modes.
AEFAST_INLINE __m256 dpbf16(__m256 sum, __m256i a, __m256i b) {
  constexpr unsigned all_masked = 0x1F80, flush_results = 0x8000, flush_inputs = 0x0040;
  const unsigned modes = all_masked | flush_results | flush_inputs, before = _mm_getcsr();
  const __m256i upper = _mm256_set1_epi32(int(0xFFFF0000u));
  const __m256i odd_a = _mm256_and_si256(a, upper), odd_b = _mm256_and_si256(b, upper);
  const __m256i even_a = _mm256_slli_epi32(a, 16), even_b = _mm256_slli_epi32(b, 16);
  asm volatile(
      "vldmxcsr %[modes]\n\t"
      "vfmadd231ps %[odd_b], %[odd_a], %[sum]\n\t"
      "vfmadd231ps %[even_b], %[even_a], %[sum]\n\t"
      "vldmxcsr %[before]"
      : [sum] "+x"(sum)
      : [odd_a] "x"(odd_a), [odd_b] "x"(odd_b), [even_a] "x"(even_a), [even_b] "x"(even_b), [modes] "m"(modes),
        [before] "m"(before));
  return sum;
}
AEFAST_INLINE __m512 dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const Floats sums = bits<Floats>(sum);
  const Ints as = bits<Ints>(a), bs = bits<Ints>(b);
  return bits<__m512>(
      Floats{{dpbf16(sums.half[0], as.half[0], bs.half[0]), dpbf16(sums.half[1], as.half[1], bs.half[1])}});
}

// VCVTNEPS2BF16 (the same volume): to nearest even; subnormals become zeros of their sign, NaNs quiet.
AEFAST_INLINE __m128i to_bf16(__m256 x) {
  const __m256i word = _mm256_castps_si256(x), one = _mm256_set1_epi32(1), upper = _mm256_srli_epi32(word, 16);
  const __m256i exponent = _mm256_and_si256(word, _mm256_set1_epi32(0x7F800000));
  const __m256i small = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i bias = _mm256_add_epi32(_mm256_and_si256(upper, one), _mm256_set1_epi32(0x7FFF));
  __m256i result = _mm256_srli_epi32(_mm256_add_epi32(word, bias), 16);
  result = _mm256_blendv_epi8(result, _mm256_and_si256(upper, _mm256_set1_epi32(0x8000)), small);
  result = _mm256_blendv_epi8(result, _mm256_or_si256(upper, _mm256_set1_epi32(0x0040)), nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(result), _mm256_extracti128_si256(result, 1));
}
AEFAST_INLINE __m256bh cvtneps_pbh(__m512 x) {
  const Floats halves = bits<Floats>(x);
  return bits<__m256bh>(_mm256_set_m128i(to_bf16(halves.half[1]), to_bf16(halves.half[0])));
}
AEFAST_INLINE __m512bh cvtne2ps_pbh(__m512 high, __m512 low) {
  struct {
    __m256bh low, high;
  } both = {cvtneps_pbh(low), cvtneps_pbh(high)};
  return bits<__m512bh>(both);
}

}  // namespace simde_shim
}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS

#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#undef _mm512_dpbf16_ps
#define _mm512_maskz_loadu_ps simde_shim::maskz_loadu_ps
#define _mm512_mask_storeu_ps simde_shim::mask_storeu_ps
#define _mm512_cvtepu8_epi32 simde_shim::cvtepu8_epi32
#define _mm512_cvtps_pd simde_shim::cvtps_pd
#define _mm512_cvtpd_ps simde_shim::cvtpd_ps
#define _mm512_dpbf16_ps simde_shim::dpbf16_ps
#define _mm512_cvtneps_pbh simde_shim::cvtneps_pbh
#define _mm512_cvtne2ps_pbh simde_shim::cvtne2ps_pbh
