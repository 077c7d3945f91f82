// transpose_rows: every batch row, a matrix (n, m), turned into (m, n): (C, H, W) <-> (H, W, C).
// NumPy: out = x.reshape(-1, n, m).transpose(0, 2, 1).reshape(x.shape)
#include "cpu/ops.h"
#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {

void transpose_rows(Matrix x, int64_t n, Matrix out, int64_t begin, int64_t end) {
  const int64_t m = x.cols / n;
  for (int64_t b = begin; b < end; ++b) {
    const float* from = x.data + b * x.row_stride;
    float* to = out.data + b * out.row_stride;
    auto turn = [&](int64_t i, int64_t stop_i, int64_t j, int64_t stop_j) {
      for (int64_t r = i; r < stop_i; ++r) {
        for (int64_t c = j; c < stop_j; ++c) to[c * n + r] = from[r * m + c];
      }
    };
    // W x W blocks in registers; a strip of W rows at a time stays in L1.
    const int64_t whole_n = n / W * W, whole_m = m / W * W;
    for (int64_t i = 0; i < whole_n; i += W) {
      for (int64_t j = 0; j < whole_m; j += W) {
        F block[W];
        load_transposed(from + i * m + j, m, block);
        AEFAST_UNROLL for (int k = 0; k < W; ++k) store(to + (j + k) * n + i, block[k]);
      }
      turn(i, i + W, whole_m, m);
    }
    // The last rows, all of them where there are few: column by column, so that `to` is written in order.
    for (int64_t j = 0; whole_n < n && j < m; ++j) turn(whole_n, n, j, j + 1);
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
