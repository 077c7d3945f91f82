// The register-tile kernels: broadcast a, stream b, MR x NV accumulators. See tile.h.
#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

template <int rows, bool a_columns>
void micro(const float* a, int64_t a_stride, const float* b, int64_t b_k, int64_t depth, float* tile,
           int64_t tile_stride, bool resume) {
  F sum[rows][NV];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) { AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = F(0.0); }
  const float* row[rows];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) row[i] = a_columns ? a + i : a + i * a_stride;
  // Not unrolled: one step is wide enough, and GCC 12 spills accumulators when it schedules several.
  for (int64_t k = 0; k < depth; ++k) {
    F stream[NV];
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) stream[v] = load(b + v * W);
    AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
      F value = splat(a_columns ? a + i : row[i] + k);
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = fma(value, stream[v], sum[i][v]);
    }
    b += a_columns ? b_k : NR;
    if (a_columns) a += a_stride;
  }
  asm("" : "+r"(tile_stride));  // the tile's addresses are formed here, not kept in registers through the loop
  if (resume) {
    AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = load(tile + i * tile_stride + v * W) + sum[i][v];
    }
  }
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) store(tile + i * tile_stride + v * W, sum[i][v]);
  }
}

}  // namespace

#if defined(AEFAST_ISA_avx2)
#define AEFAST_MICRO(columns)                                                  \
  {nullptr,           micro<1, columns>, micro<2, columns>, micro<3, columns>, \
   micro<4, columns>, micro<5, columns>, micro<6, columns>}
#elif defined(AEFAST_ISA_baseline)
#define AEFAST_MICRO(columns) {nullptr, micro<1, columns>, micro<2, columns>, micro<3, columns>, micro<4, columns>}
#else
#define AEFAST_MICRO(columns)                                                                     \
  {nullptr,           micro<1, columns>, micro<2, columns>, micro<3, columns>, micro<4, columns>, \
   micro<5, columns>, micro<6, columns>, micro<7, columns>, micro<8, columns>}
#endif

const MicroKernel micro_rows[MR + 1] = AEFAST_MICRO(false);
const MicroKernel micro_columns[MR + 1] = AEFAST_MICRO(true);

}  // namespace aefast::cpu::AEFAST_ISA_NS
