// Products whose operands are bfloat16: float32 numbers rounded to 8 significant bits where a kernel packs them, summed
// in float32. All arrays stay float32.
//
// Packed operands are made of 32-bit words; a word holds PAIR consecutive k. Without an instruction for pairs it is one
// rounded number as float32, and the float32 micro-kernels run on them.
#pragma once

#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int PAIR = 1;

AEFAST_INLINE int64_t words_of(int64_t k) { return ceil_div(k, PAIR); }
// A k block of at most KC that ends between two words.
AEFAST_INLINE int64_t block_of(int64_t depth) { return words_of(even_part(depth, KC)) * PAIR; }

// To the nearest bfloat16, ties to even, as VCVTNEPS2BF16 has it: beyond the largest one infinity, subnormal numbers
// zero of their sign, NaN a quiet NaN.
AEFAST_INLINE F to_bfloat16(F x) {
  const I bits = as_int(x);
  const F size = abs(x);
  const I nearest = (bits + I(0x7FFFu) + (shift_right<16>(bits) & I(1u))) & I(0xFFFF0000u);
  const F normal = select(size < F(0x1p-126), as_float(bits & I(0x80000000u)), as_float(nearest));
  return select(size >= F(0.0), normal, as_float((bits | I(0x00400000u)) & I(0xFFFF0000u)));
}

}  // namespace

// x (rows, count) to words [rows][stride].
void pack_operand(const float* x, int64_t x_stride, int64_t rows, int64_t count, float* words, int64_t stride);

// c[i * c_stride + j] (+)= sum_b left[b * left_stride + i] * right[b * right_stride + j], as outer_product in
// linear_wgrad.cpp. `scratch`: gradient_scratch floats, or null.
void outer_product_bfloat16(const float* left, int64_t left_stride, int64_t rows, const float* right,
                            int64_t right_stride, int64_t columns, int64_t depth, float* c, int64_t c_stride,
                            bool accumulate, float* scratch);

// The micro-kernels on words; see tile.h.
namespace {
constexpr const MicroKernel (&word_rows)[MR + 1] = micro_rows;
constexpr const MicroKernel (&word_columns)[MR + 1] = micro_columns;
}  // namespace

}  // namespace aefast::cpu::AEFAST_ISA_NS
