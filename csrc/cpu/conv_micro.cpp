// The register-tile kernels of convolutions: MR x NV accumulators, operands at the places that tables name. See conv.h.
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// In a register: GCC would load again for every use. On aarch64 in this order too: it would load all before it
// multiplies, and spill.
AEFAST_INLINE void keep(F& x) {
#if defined(AEFAST_SIMDE)
  (void)x;
#elif defined(AEFAST_ISA_avx512_emulated)
  asm("" : "+x"(x.a.v), "+x"(x.b.v));
#elif defined(__x86_64__)
  asm("" : "+v"(x.v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(x.v) : : "memory");
#endif
}

#if defined(__aarch64__)
constexpr bool loads_fold = false;
#else
constexpr bool loads_fold = true;  // into the multiply-add
#endif

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
        AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
          F value = load(from[i] + k + v * W);
          if (!loads_fold) keep(value);
          sum[i][v] = fma(value, stream[v], sum[i][v]);
        }
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

// A vector of source pixels is loaded once for all `taps` rows of the kernel: it belongs to another output row for
// each.
template <int taps, int rows>
void conv_rows(const float* a, int64_t a_row, const int64_t* step, int64_t count, const float* b, float* out,
               int64_t out_row, bool resume) {
  F sum[rows][NV];
  AEFAST_UNROLL for (int i = 0; i < rows; ++i) { AEFAST_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = F(0.0); }
  for (const int64_t* last = step + count * taps; step < last; step += taps, b += taps) {
    const float* from = a + *step;
    F weight[taps];
    AEFAST_UNROLL for (int t = 0; t < taps; ++t) weight[t] = splat(b + t);
    AEFAST_UNROLL for (int r = 0; r < rows + taps - 1; ++r, from += a_row) {
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
        F stream = load(from + v * W);
        keep(stream);
        AEFAST_UNROLL for (int t = 0; t < taps; ++t) {
          if (r - t >= 0 && r - t < rows) sum[r - t][v] = fma(stream, weight[t], sum[r - t][v]);
        }
      }
    }
  }
  AEFAST_UNROLL for (int i = 0; i < rows; ++i, out += out_row) {
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) store(out + v * W, resume ? load(out + v * W) + sum[i][v] : sum[i][v]);
  }
}

// Of heights whose sums and weights fit the registers.
template <int taps, int rows>
constexpr ConvRows rows_kernel() {
  if constexpr (rows <= row_tile(taps)) return conv_rows<taps, rows>;
  else return nullptr;
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
#define AEFAST_CONV_ROWS(taps) \
  {nullptr,                    \
   rows_kernel<taps, 1>(),     \
   rows_kernel<taps, 2>(),     \
   rows_kernel<taps, 3>(),     \
   rows_kernel<taps, 4>(),     \
   rows_kernel<taps, 5>(),     \
   rows_kernel<taps, 6>()}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR, 4 * NR, 5 * NR};
#elif defined(AEFAST_ISA_baseline)
#define AEFAST_CONV_MICRO(operands)                                                                                  \
  {nullptr, conv_micro<Operands::operands, 1>, conv_micro<Operands::operands, 2>, conv_micro<Operands::operands, 3>, \
   conv_micro<Operands::operands, 4>}
#define AEFAST_CONV_ROWS(taps) \
  {nullptr, rows_kernel<taps, 1>(), rows_kernel<taps, 2>(), rows_kernel<taps, 3>(), rows_kernel<taps, 4>()}
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
#define AEFAST_CONV_ROWS(taps) \
  {nullptr,                    \
   rows_kernel<taps, 1>(),     \
   rows_kernel<taps, 2>(),     \
   rows_kernel<taps, 3>(),     \
   rows_kernel<taps, 4>(),     \
   rows_kernel<taps, 5>(),     \
   rows_kernel<taps, 6>(),     \
   rows_kernel<taps, 7>(),     \
   rows_kernel<taps, 8>()}
const int64_t tile_rows[MR] = {0, NR, 2 * NR, 3 * NR, 4 * NR, 5 * NR, 6 * NR, 7 * NR};
#endif

const ConvMicro conv_broadcast[MR + 1] = AEFAST_CONV_MICRO(broadcast);
const ConvMicro conv_lanes[MR + 1] = AEFAST_CONV_MICRO(lanes);
const ConvMicro conv_pixels[MR + 1] = AEFAST_CONV_MICRO(pixels);
const ConvRows conv_rows_of[ROW_TAPS + 1][MR + 1] = {
    {}, {}, AEFAST_CONV_ROWS(2), AEFAST_CONV_ROWS(3), AEFAST_CONV_ROWS(4)};

}  // namespace aefast::cpu::AEFAST_ISA_NS
