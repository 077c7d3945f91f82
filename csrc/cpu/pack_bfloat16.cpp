// pack_bfloat16: weights (N, K), either stride 1, to panels of words [ceil(N / NR)][ceil(K / PAIR)][NR], zero padded.
// pack_operand: the other operand's rows.
// NumPy: panels[p, k, j] = bfloat16(w[p * NR + j, k])
#include "cpu/bfloat16.h"
#include "cpu/linear.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {

void pack_operand(const float* x, int64_t x_stride, int64_t rows, int64_t count, float* words, int64_t stride) {
  for (int64_t i = 0; i < rows; ++i, x += x_stride, words += stride) {
    for_each_vector(count, [&](int64_t k, int lanes, auto extent) __attribute__((always_inline)) {
      store_lanes(words + k, to_bfloat16(load_lanes(x + k, lanes, extent)), lanes, extent);
    });
  }
}

void pack_bfloat16(Matrix w, float* panels, int64_t begin, int64_t end) {
  pack(w, panels, begin, end);
  for (float *p = panels + begin * NR * w.cols, *last = panels + end * NR * w.cols; p < last; p += W) {
    store(p, to_bfloat16(load(p)));
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
