// Products whose operands are bfloat16: float32 numbers rounded to 8 significant bits where a kernel packs them, summed
// in float32. All arrays stay float32.
//
// Packed operands are made of 32-bit words; a word holds PAIR consecutive k. AVX512-BF16 multiplies pairs of bfloat16
// numbers, the first in the word's lower half, a last one of an odd number beside a zero. Without such an instruction a
// word is one rounded number as float32, and the float32 micro-kernels run on them.
#pragma once

#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

#if defined(AEFAST_ISA_avx512bf16)
constexpr int PAIR = 2;
#else
constexpr int PAIR = 1;
#endif

AEFAST_INLINE int64_t words_of(int64_t k) { return ceil_div(k, PAIR); }
// A k block of at most KC that ends between two words.
AEFAST_INLINE int64_t block_of(int64_t depth) { return words_of(even_part(depth, KC)) * PAIR; }

#if defined(AEFAST_ISA_avx512bf16)
#if !defined(AEFAST_PAIRED)

AEFAST_INLINE F words(__m512bh pairs) {
  F x;
  __builtin_memcpy(&x, &pairs, sizeof x);
  return x;
}
AEFAST_INLINE __m512bh pairs(F words) {
  __m512bh x;
  __builtin_memcpy(&x, &words, sizeof x);
  return x;
}

// Words of 2 W numbers in a row: low, then high.
AEFAST_INLINE F neighbours(F low, F high) { return words(_mm512_cvtne2ps_pbh(high.v, low.v)); }

// Words whose lane l holds lane l of both.
AEFAST_INLINE F lane_pairs(F first, F second) {
  alignas(64) static constexpr uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  __m512i numbers;
  const __m512bh both = _mm512_cvtne2ps_pbh(second.v, first.v);
  __builtin_memcpy(&numbers, &both, sizeof numbers);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(order), numbers));
}

#endif
#endif

// To the nearest bfloat16, ties to even, as VCVTNEPS2BF16 has it: beyond the largest one infinity, subnormal numbers
// zero of their sign, NaN a quiet NaN.
AEFAST_INLINE F to_bfloat16(F x) {
  const I bits = as_int(x);
  const F size = abs(x);
  const I nearest = (bits + I(0x7FFFu) + (shift_right<16>(bits) & I(1u))) & I(0xFFFF0000u);
  const F normal = select(size < F(0x1p-126), as_float(bits & I(0x80000000u)), as_float(nearest));
  return select(size >= F(0.0), normal, as_float((bits | I(0x00400000u)) & I(0xFFFF0000u)));
}

AEFAST_INLINE F load_some(const float* p, int64_t lanes) {
  return lanes >= W ? load(p) : lanes > 0 ? load(p, int(lanes)) : F(0.0);
}

}  // namespace

// x (rows, count) to words [rows][stride]; whole vectors are stored, W - 1 words behind a row at most.
void pack_operand(const float* x, int64_t x_stride, int64_t rows, int64_t count, float* words, int64_t stride);

// c[i * c_stride + j] (+)= sum_b left[b * left_stride + i] * right[b * right_stride + j], as outer_product in
// linear_wgrad.cpp. `scratch`: gradient_scratch floats, or null.
void outer_product_bfloat16(const float* left, int64_t left_stride, int64_t rows, const float* right,
                            int64_t right_stride, int64_t columns, int64_t depth, float* c, int64_t c_stride,
                            bool accumulate, float* scratch);

// The micro-kernels on words; see tile.h.
#if defined(AEFAST_ISA_avx512bf16)
extern const MicroKernels word_rows, word_columns;
#else
namespace {
constexpr const MicroKernels& word_rows = micro_rows;
constexpr const MicroKernels& word_columns = micro_columns;
}  // namespace
#endif

}  // namespace aefast::cpu::AEFAST_ISA_NS
