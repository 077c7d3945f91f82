// The register-tile kernels of convolutions: MR x NV accumulators, operands at the places that tables name. See conv.h.
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

enum class Operands { broadcast, lanes, pixels };

template <Operands operands, int rows>
void conv_micro(const float* a, const int64_t* row, const int64_t* step, int64_t depth, const float* b, float* out,
                const int64_t* at, const float* bias, bool resume) {
  F sum[rows][NV];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) { AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = F(0.0); }
  const float* from[rows];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
    from[i] = a + row[i];
    asm("" : "+r"(from[i]));  // a pointer each: GCC would rather add up a sum of offsets for every load
  }
  for (const int64_t* last = step + depth; step < last; ++step, b += operands == Operands::pixels ? 1 : NR) {
    const int64_t k = *step;
    if (operands == Operands::broadcast) {
      F stream[NV];
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) stream[v] = load(b + v * W);
      AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
        const F value = splat(from[i] + k);
        AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = fma(value, stream[v], sum[i][v]);
      }
    } else {
      F stream[NV];
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
        stream[v] = operands == Operands::lanes ? load(b + v * W) : v == 0 ? splat(b) : stream[0];
      }
      AEFAST_UNROLL for (int i = 0; i < rows; ++i) {
        AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = fma(load(from[i] + k + v * W), stream[v], sum[i][v]);
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
#define AEFAST_CONV_MICRO(operands)   \
  {nullptr,                           \
   conv_micro<Operands::operands, 1>, \
   conv_micro<Operands::operands, 2>, \
   conv_micro<Operands::operands, 3>, \
   conv_micro<Operands::operands, 4>, \
   conv_micro<Operands::operands, 5>, \
   conv_micro<Operands::operands, 6>}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR, 4 * NR, 5 * NR};
#elif defined(AEFAST_ISA_baseline)
#define AEFAST_CONV_MICRO(operands)                                                                                  \
  {nullptr, conv_micro<Operands::operands, 1>, conv_micro<Operands::operands, 2>, conv_micro<Operands::operands, 3>, \
   conv_micro<Operands::operands, 4>}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR};
#else
#define AEFAST_CONV_MICRO(operands)   \
  {nullptr,                           \
   conv_micro<Operands::operands, 1>, \
   conv_micro<Operands::operands, 2>, \
   conv_micro<Operands::operands, 3>, \
   conv_micro<Operands::operands, 4>, \
   conv_micro<Operands::operands, 5>, \
   conv_micro<Operands::operands, 6>, \
   conv_micro<Operands::operands, 7>, \
   conv_micro<Operands::operands, 8>}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR, 4 * NR, 5 * NR, 6 * NR, 7 * NR};
#endif

const ConvMicro conv_broadcast[MR + 1] = AEFAST_CONV_MICRO(broadcast);
const ConvMicro conv_lanes[MR + 1] = AEFAST_CONV_MICRO(lanes);
const ConvMicro conv_pixels[MR + 1] = AEFAST_CONV_MICRO(pixels);

}  // namespace aefast::cpu::AEFAST_ISA_NS
