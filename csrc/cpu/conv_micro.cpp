// The register-tile kernels of convolutions: MR x NV accumulators, operands at the places that tables name. See conv.h.
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

template <int rows, bool lanes>
void conv_micro(const float* a, const int64_t* row, const int64_t* step, int64_t depth, const float* b, float* out,
                const int64_t* at, const float* bias, bool resume) {
  F sum[rows][NV];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) { AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = F(0.0); }
  const float* from[rows];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) from[i] = a + row[i];
  for (const int64_t* last = step + depth; step < last; ++step, b += NR) {
    const int64_t k = *step;
    F stream[NV];
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) stream[v] = load(b + v * W);
    AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
      if (lanes) {
        AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = fma(load(from[i] + k + v * W), stream[v], sum[i][v]);
      } else {
        const F value = splat(from[i] + k);
        AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = fma(value, stream[v], sum[i][v]);
      }
    }
  }
  if (resume) {
    AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = load(out + at[i] + v * W) + sum[i][v];
    }
  }
  if (bias) {
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
      const F offset = load(bias + v * W);
      AEFAST_UNROLL for (int i = 0; i < rows; ++i) sum[i][v] = sum[i][v] + offset;
    }
  }
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) store(out + at[i] + v * W, sum[i][v]);
  }
}

}  // namespace

#if defined(AEFAST_ISA_avx2)
#define AEFAST_CONV_MICRO(lanes) \
  {nullptr,                      \
   conv_micro<1, lanes>,         \
   conv_micro<2, lanes>,         \
   conv_micro<3, lanes>,         \
   conv_micro<4, lanes>,         \
   conv_micro<5, lanes>,         \
   conv_micro<6, lanes>}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR, 4 * NR, 5 * NR};
#elif defined(AEFAST_ISA_baseline)
#define AEFAST_CONV_MICRO(lanes) \
  {nullptr, conv_micro<1, lanes>, conv_micro<2, lanes>, conv_micro<3, lanes>, conv_micro<4, lanes>}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR};
#else
#define AEFAST_CONV_MICRO(lanes) \
  {nullptr,                      \
   conv_micro<1, lanes>,         \
   conv_micro<2, lanes>,         \
   conv_micro<3, lanes>,         \
   conv_micro<4, lanes>,         \
   conv_micro<5, lanes>,         \
   conv_micro<6, lanes>,         \
   conv_micro<7, lanes>,         \
   conv_micro<8, lanes>}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR, 4 * NR, 5 * NR, 6 * NR, 7 * NR};
#endif

const ConvMicro conv_broadcast[MR + 1] = AEFAST_CONV_MICRO(false);
const ConvMicro conv_lanes[MR + 1] = AEFAST_CONV_MICRO(true);

}  // namespace aefast::cpu::AEFAST_ISA_NS
