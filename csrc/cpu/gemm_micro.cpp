// The register-tile kernels: broadcast a, stream b, MR x NV accumulators. See tile.h.
#include "cpu/bfloat16.h"
#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct Numbers {
  static AEFAST_INLINE F multiply_add(F a, F b, F sum) { return fma(a, b, sum); }
};

#if defined(AEFAST_ISA_avx512bf16)
// Of each lane two products, of the pair's second elements and then of its first, each rounded with its sum.
struct Pairs {
  static AEFAST_INLINE F multiply_add(F a, F b, F sum) { return _mm512_dpbf16_ps(sum.v, pairs(a), pairs(b)); }
};
#endif

template <class Words, int rows, int vectors, bool a_columns>
void micro(const float* a, int64_t a_stride, const float* b, int64_t b_k, int64_t depth, float* tile,
           int64_t tile_stride, bool resume) {
  F sum[rows][vectors];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) { AEFAST_UNROLL for (int v = 0; v < vectors; ++v) sum[i][v] = F(0.0); }
  const float* row[rows];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) row[i] = a_columns ? a + i : a + i * a_stride;
  // Not unrolled: one step is wide enough, and GCC 12 spills accumulators when it schedules several.
  for (int64_t k = 0; k < depth; ++k) {
    F stream[vectors];
    AEFAST_UNROLL for (int v = 0; v < vectors; ++v) stream[v] = load(b + v * W);
    AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
      F value = splat(a_columns ? a + i : row[i] + k);
      AEFAST_UNROLL for (int v = 0; v < vectors; ++v) sum[i][v] = Words::multiply_add(value, stream[v], sum[i][v]);
    }
    b += a_columns ? b_k : NR;
    if (a_columns) a += a_stride;
  }
  asm("" : "+r"(tile_stride));  // the tile's addresses are formed here, not kept in registers through the loop
  if (resume) {
    AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
      AEFAST_UNROLL for (int v = 0; v < vectors; ++v) sum[i][v] = load(tile + i * tile_stride + v * W) + sum[i][v];
    }
  }
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
    AEFAST_UNROLL for (int v = 0; v < vectors; ++v) store(tile + i * tile_stride + v * W, sum[i][v]);
    AEFAST_UNROLL for (int v = vectors; v < NV; ++v) store(tile + i * tile_stride + v * W, F(0.0));
  }
}

}  // namespace

#define AEFAST_HEIGHTS_4(words, vectors, columns)                                                                   \
  nullptr, micro<words, 1, vectors, columns>, micro<words, 2, vectors, columns>, micro<words, 3, vectors, columns>, \
      micro<words, 4, vectors, columns>
#define AEFAST_HEIGHTS_6(words, vectors, columns) \
  AEFAST_HEIGHTS_4(words, vectors, columns), micro<words, 5, vectors, columns>, micro<words, 6, vectors, columns>
#define AEFAST_HEIGHTS_8(words, vectors, columns) \
  AEFAST_HEIGHTS_6(words, vectors, columns), micro<words, 7, vectors, columns>, micro<words, 8, vectors, columns>

#if defined(AEFAST_ISA_avx2)
#define AEFAST_HEIGHTS AEFAST_HEIGHTS_6
#elif defined(AEFAST_ISA_baseline)
#define AEFAST_HEIGHTS AEFAST_HEIGHTS_4
#else
#define AEFAST_HEIGHTS AEFAST_HEIGHTS_8
#endif
#define AEFAST_MICRO(words, columns)                                               \
  {                                                                                \
    {}, {AEFAST_HEIGHTS(words, 1, columns)}, { AEFAST_HEIGHTS(words, 2, columns) } \
  }
static_assert(NV == 2, "AEFAST_MICRO names every number of vectors");

const MicroKernels micro_rows = AEFAST_MICRO(Numbers, false);
const MicroKernels micro_columns = AEFAST_MICRO(Numbers, true);
#if defined(AEFAST_ISA_avx512bf16)
const MicroKernels word_rows = AEFAST_MICRO(Pairs, false);
const MicroKernels word_columns = AEFAST_MICRO(Pairs, true);
#endif

}  // namespace aefast::cpu::AEFAST_ISA_NS
