// pack_bfloat16: weights (N, K), either stride 1, to panels of words [ceil(N / NR)][ceil(K / PAIR)][NR], zero padded.
// pack_operand: the other operand's rows.
// NumPy: panels[p, k, j] = bfloat16(w[p * NR + j, PAIR * k : PAIR * k + PAIR])
#include "cpu/bfloat16.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {

#if defined(AEFAST_ISA_avx512bf16)

void pack_operand(const float* x, int64_t x_stride, int64_t rows, int64_t count, float* words, int64_t stride) {
  for (int64_t i = 0; i < rows; ++i, x += x_stride, words += stride) {
    for (int64_t k = 0; k < count; k += 2 * W) {
      store(words + k / 2, neighbours(load_some(x + k, count - k), load_some(x + k + W, count - k - W)));
    }
  }
}

namespace {

// K contiguous: W x W words are turned in registers.
void pack_rows(Matrix w, int64_t first, int64_t columns, float* panel) {
  alignas(64) float block[W * W] = {};
  for (int64_t k = 0; k < w.cols; k += 2 * W) {
    const int64_t count = smaller(2 * W, w.cols - k);
    for (int v = 0; v < NV; ++v) {
      const int64_t rows = larger(0, smaller(W, columns - v * W));
      if (rows < W) __builtin_memset(block, 0, sizeof block);
      pack_operand(w.data + (first + v * W) * w.row_stride + k, w.row_stride, rows, count, block, W);
      F turned[W];
      load_transposed(block, W, turned);
      for (int i = 0; i < words_of(count); ++i) store(panel + (k / 2 + i) * NR + v * W, turned[i]);
    }
  }
}

// N contiguous: two rows of it make a row of words.
void pack_columns(Matrix w, int64_t first, int64_t columns, float* panel) {
  for (int64_t k = 0; k < w.cols; k += 2, panel += NR) {
    const float* source = w.data + first + k * w.col_stride;
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
      const F second = k + 1 < w.cols ? load_some(source + w.col_stride + v * W, columns - v * W) : F(0.0);
      store(panel + v * W, lane_pairs(load_some(source + v * W, columns - v * W), second));
    }
  }
}

}  // namespace

void pack_bfloat16(Matrix w, float* panels, int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    float* panel = panels + p * NR * words_of(w.cols);
    const int64_t columns = smaller(NR, w.rows - p * NR);
    if (w.col_stride == 1) {
      pack_rows(w, p * NR, columns, panel);
    } else {
      pack_columns(w, p * NR, columns, panel);
    }
  }
}

#else

void pack_operand(const float* x, int64_t x_stride, int64_t rows, int64_t count, float* words, int64_t stride) {
  for (int64_t i = 0; i < rows; ++i, x += x_stride, words += stride) {
    for (int64_t k = 0; k < count; k += W) store(words + k, to_bfloat16(load_some(x + k, count - k)));
  }
}

void pack_bfloat16(Matrix w, float* panels, int64_t begin, int64_t end) {
  pack(w, panels, begin, end);
  for (float *p = panels + begin * NR * w.cols, *last = panels + end * NR * w.cols; p < last; p += W) {
    store(p, to_bfloat16(load(p)));
  }
}

#endif

}  // namespace aefast::cpu::AEFAST_ISA_NS
