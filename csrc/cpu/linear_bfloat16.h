// The loop nest of linear.h for bfloat16 operands: a block of rows is rounded into words on the stack, block of k by
// block of k, and meets a group of panels there.
#pragma once

#include "cpu/bfloat16.h"
#include "cpu/linear.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t WORD_ROWS = 8 * MR;            // of a row block
constexpr int64_t WORD_STRIDE = KC / PAIR + 16;  // its rows don't collide in L1
constexpr int64_t WORD_GROUP = 640;              // rows x panels whose sums stand on the stack: 40 KiB at a width of 16

// Epilogue: see multiply_panels. Packing costs O(rows K), and is repeated for each group where K is cut.
template <class Epilogue>
AEFAST_INLINE void multiply_panels_bfloat16(Matrix x, const float* panels, int64_t n, int64_t begin, int64_t end,
                                            Epilogue& epilogue) {
  alignas(64) float sums[WORD_GROUP * NR];
  alignas(64) float words[WORD_ROWS * WORD_STRIDE];
  const int64_t depth = x.cols, part = block_of(depth), panel_words = words_of(depth);
  int64_t blocks = ceil_div(end - begin, WORD_ROWS);
  for (int64_t row = begin; row < end; --blocks) {
    const int64_t rows = ceil_div(end - row, blocks), group = WORD_GROUP / rows;
    epilogue.start(row, rows);
    for (int64_t column = 0; column < n; column += group * NR) {
      const int64_t members = smaller(group, ceil_div(n - column, NR));
      for (int64_t k = 0; k < depth; k += part) {
        const int64_t count = smaller(part, depth - k);
        const bool last = k + count == depth;
        if (column == 0 || part < depth) {
          pack_operand(x.data + row * x.row_stride + k, x.row_stride, rows, count, words, WORD_STRIDE);
        }
        for (int64_t p = 0; p < members; ++p) {
          const float* strip = panels + (column + p * NR) * panel_words + words_of(k) * NR;
          float* tile = sums + p * rows * NR;
          const auto& kernels = word_rows[vectors_of(n - column - p * NR)];
          int64_t tiles = ceil_div(rows, MR);
          for (int64_t i = 0; i < rows; --tiles) {
            const int64_t height = ceil_div(rows - i, tiles);
            if (last) epilogue.prefetch(row + i, height, column + p * NR);
            kernels[height](words + i * WORD_STRIDE, WORD_STRIDE, strip, NR, words_of(count), tile + i * NR, NR, k > 0);
            i += height;
          }
          if (last) epilogue.panel(row, rows, column + p * NR, smaller(NR, n - column - p * NR), tile);
        }
      }
    }
    epilogue.finish(row, rows);
    row += rows;
  }
}

}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS
