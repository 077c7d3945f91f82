// Register tile shapes and the micro-kernels' interface.
#pragma once

#include "cpu/kernels.h"
#include "cpu/simd.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// Accumulators MR x NV, plus NV panel vectors and one broadcast, fill the registers: 16 of them (x86 up to AVX2) or 32.
#if defined(AEFAST_ISA_avx512) || defined(AEFAST_ISA_avx512bf16) || defined(AEFAST_ISA_avx512_emulated)
constexpr int MR = 8;
#elif defined(AEFAST_ISA_avx2)
constexpr int MR = 6;
#elif defined(AEFAST_ISA_neon)
constexpr int MR = 8;
#else
constexpr int MR = 4;
#endif
constexpr int NV = 2;
constexpr int NR = NV * native_width;  // panel width

constexpr int64_t KC = 256;  // k block, at most: a panel's KC x NR floats stay in L1
constexpr int64_t MC = 240;  // row block, at most: its KC columns stay in L2 while a group of panels passes

AEFAST_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
AEFAST_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
AEFAST_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// n cut into parts of at most `most`, as equal as can be: how long each is but for the last.
AEFAST_INLINE int64_t even_part(int64_t n, int64_t most) { return n > most ? ceil_div(n, ceil_div(n, most)) : n; }

// Vectors that hold the panel's columns.
AEFAST_INLINE int64_t vectors_of(int64_t columns) { return ceil_div(smaller(columns, NR), native_width); }

}  // namespace

// tile[i * tile_stride + j] (+)= sum_k a[i * a_row + k * a_k] * b[k * b_k + j], i < rows <= MR, j < NR; `resume` adds
// the sum to the tile. Every element has one accumulator that takes k in order: its bits depend on nothing around it.
// Callers cut k into equal blocks of at most KC whose sums are added in order: rounding errors then grow with
// KC + K / KC, not with K. The _rows variant is for a_k == 1 and b_k == NR (panels), the _columns variant for a_row ==
// 1 (an outer product over the batch).
// micro_rows[vectors][rows]: of the panel's NV vectors only the first `vectors` are multiplied; the tile's others
// become zero, as they would from a panel's padding.
using MicroKernel = void (*)(const float* a, int64_t a_stride, const float* b, int64_t b_k, int64_t depth, float* tile,
                             int64_t tile_stride, bool resume);
using MicroKernels = MicroKernel[NV + 1][MR + 1];
extern const MicroKernels micro_rows, micro_columns;

}  // namespace aefast::cpu::AEFAST_ISA_NS
