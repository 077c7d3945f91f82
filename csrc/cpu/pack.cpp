// pack: weights (N, K), either stride 1, to panels [ceil(N / NR)][K][NR], zero padded.
// NumPy: panels[p, k, j] = w[p * NR + j, k]
#include "cpu/ops.h"
#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// Columns contiguous: W x W blocks are turned in registers.
void pack_rows(const float* w, int64_t row_stride, int64_t depth, float* panel) {
  int64_t k = 0;
  for (; k + W <= depth; k += W) {
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
      F block[W];
      load_transposed(w + v * W * row_stride + k, row_stride, block);
      AEFAST_UNROLL for (int i = 0; i < W; ++i) store(panel + (k + i) * NR + v * W, block[i]);
    }
  }
  for (; k < depth; ++k) {
    for (int j = 0; j < NR; ++j) panel[k * NR + j] = w[j * row_stride + k];
  }
}

}  // namespace

void pack(Matrix w, float* panels, int64_t begin, int64_t end) {
  const int64_t depth = w.cols;
  for (int64_t p = begin; p < end; ++p) {
    const float* source = w.data + p * NR * w.row_stride;
    float* panel = panels + p * NR * depth;
    int64_t count = smaller(NR, w.rows - p * NR);
    if (count == NR && w.col_stride == 1) {
      pack_rows(source, w.row_stride, depth, panel);
    } else if (count == NR && w.row_stride == 1) {
      for (int64_t k = 0; k < depth; ++k) {
        AEFAST_UNROLL for (int v = 0; v < NV; ++v)
            store(panel + k * NR + v * W, load(source + k * w.col_stride + v * W));
      }
    } else {
      for (int64_t k = 0; k < depth; ++k) {
        for (int64_t j = 0; j < NR; ++j) {
          panel[k * NR + j] = j < count ? source[j * w.row_stride + k * w.col_stride] : 0.0f;
        }
      }
    }
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
