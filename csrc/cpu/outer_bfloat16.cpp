// The outer product over the batch of linear_wgrad for bfloat16 operands: both are rounded into words on their way.
#include "cpu/bfloat16.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// Rows of c per block, whose words of `left` stand in the scratch, or on the stack.
constexpr int64_t SCRATCH_ROWS = 32 * MR, STACK_ROWS = 8 * MR;

// Words of W columns (or `lanes`) of the next PAIR batch rows, of which there are `rows`.
#if defined(AEFAST_ISA_avx512bf16)
AEFAST_INLINE F load_words(const float* row, int64_t stride, int64_t rows, int64_t lanes) {
  return lane_pairs(load_some(row, lanes), rows > 1 ? load_some(row + stride, lanes) : F(0.0));
}
#else
AEFAST_INLINE F load_words(const float* row, int64_t, int64_t, int64_t lanes) {
  return to_bfloat16(load_some(row, lanes));
}
#endif

// A block of `left` (count batch rows, `rows` columns), tile by tile: tile t's rows i.. stand at packed + i * words + t
// * W as [words][height]; a whole vector's store runs over into the next word, written later, or into the gap.
void pack_left(const float* left, int64_t stride, int64_t count, int64_t rows, float* packed) {
  const int64_t words = words_of(count);
  for (int64_t k = 0; k < words; ++k, left += PAIR * stride) {
    int64_t tiles = ceil_div(rows, MR), tile = 0;
    for (int64_t i = 0; i < rows; --tiles, ++tile) {
      const int64_t height = ceil_div(rows - i, tiles);
      float* to = packed + i * words + tile * W + k * height;
      for (int64_t r = 0; r < height; r += W) {
        store(to + r, load_words(left + i + r, stride, count - k * PAIR, rows - i - r));
      }
      i += height;
    }
  }
}

}  // namespace

void outer_product_bfloat16(const float* left, int64_t left_stride, int64_t rows, const float* right,
                            int64_t right_stride, int64_t columns, int64_t depth, float* c, int64_t c_stride,
                            bool accumulate, float* scratch) {
  alignas(64) float strip[KC / PAIR * NR];
  alignas(64) float tile[MR * NR];
  alignas(64) float stack[KC / PAIR * STACK_ROWS + STACK_ROWS * W];
  float* packed = scratch != nullptr ? scratch : stack;
  const int64_t part = block_of(depth), block = even_part(rows, scratch != nullptr ? SCRATCH_ROWS : STACK_ROWS);
  for (int64_t b = 0; b < depth && columns > 0; b += part) {
    const int64_t count = smaller(part, depth - b), words = words_of(count);
    const bool resume = accumulate || b > 0;
    for (int64_t first = 0; first < rows; first += block) {
      const int64_t last = smaller(first + block, rows);
      pack_left(left + b * left_stride + first, left_stride, count, last - first, packed);
      for (int64_t j = 0; j < columns; j += NR) {
        const float* source = right + b * right_stride + j;
        const int width = int(smaller(NR, columns - j));
        for (int64_t k = 0; k < words; ++k, source += PAIR * right_stride) {
          AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
            store(strip + k * NR + v * W, load_words(source + v * W, right_stride, count - k * PAIR, width - v * W));
          }
        }
        const auto& kernels = word_columns[vectors_of(width)];
        int64_t tiles = ceil_div(last - first, MR), number = 0;
        for (int64_t i = first; i < last; --tiles, ++number) {
          const int64_t height = ceil_div(last - i, tiles);
          const float* column = packed + (i - first) * words + number * W;
          float* target = c + i * c_stride + j;
          if (width == NR) {
            kernels[height](column, height, strip, NR, words, target, c_stride, resume);
          } else {
            for (int64_t r = 0; r < height; ++r) {
              for (int l = 0; l < NR; ++l) tile[r * NR + l] = resume && l < width ? target[r * c_stride + l] : 0.0f;
            }
            kernels[height](column, height, strip, NR, words, tile, NR, resume);
            for (int64_t r = 0; r < height; ++r) {
              for (int l = 0; l < width; ++l) target[r * c_stride + l] = tile[r * NR + l];
            }
          }
          i += height;
        }
      }
    }
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
