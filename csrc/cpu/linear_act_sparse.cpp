// linear_act_sparse: linear_act of rows of which only the entries are known; the bits are those of the dense op.
// NumPy: pre = x @ w.T + b; out = act(pre)
//
// A product with 0 leaves an accumulator as it is, but for two cases. Weights that aren't finite: the caller asks for
// none. A sum of -0, which only products too small for a float32 make: then the zeros between decide its sign, and it
// is taken again with them.
#define AEFAST_PAIRED
#include "cpu/activation_epilogue.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t MEMBERS = 4;  // panels that share a walk through the entries
constexpr int64_t ROWS = 240;   // whose sums stand on the stack: 60 KiB at a width of 16
constexpr int VECTORS = NR / W;

// Rows [row, row + rows) meet `members` neighbouring panels, k block by k block as in multiply_panels: the block's
// weights stay in L2 while the rows pass. `sums` [members][rows][NR] start as -0, which every sum leaves unchanged.
template <int members>
void add_blocks(const Entries& x, int64_t row, int64_t rows, int64_t depth, const float* panels, float* sums) {
  int64_t next[ROWS];
  for (int64_t i = 0; i < rows; ++i) next[i] = x.begin[row + i];
  for (int64_t j = 0; j < members * rows * NR; j += W) store(sums + j, F(-0.0));
  const int64_t part = even_part(depth, KC);
  for (int64_t k = 0; k < depth; k += part) {
    const int64_t limit = k + part;
    for (int64_t i = 0; i < rows; ++i) {
      int64_t at = next[i];
      const int64_t end = x.end[row + i];
      if (at == end || x.columns[at] >= limit) continue;
      F sum[members][VECTORS];
      AEFAST_UNROLL for (int p = 0; p < members; ++p) {
        AEFAST_UNROLL for (int v = 0; v < VECTORS; ++v) sum[p][v] = F(0.0);
      }
      do {
        const F value = splat(x.values + at);
        const float* weights = panels + int64_t(x.columns[at]) * NR;
        AEFAST_UNROLL for (int p = 0; p < members; ++p) {
          AEFAST_UNROLL for (int v = 0; v < VECTORS; ++v) {
            sum[p][v] = fma(value, load(weights + p * depth * NR + v * W), sum[p][v]);
          }
        }
      } while (++at < end && x.columns[at] < limit);
      next[i] = at;
      AEFAST_UNROLL for (int p = 0; p < members; ++p) {
        AEFAST_UNROLL for (int v = 0; v < VECTORS; ++v) {
          float* total = sums + (p * rows + i) * NR + v * W;
          store(total, load(total) + sum[p][v]);
        }
      }
    }
  }
}

// One row and panel with every zero.
void add_densely(const Entries& x, int64_t row, int64_t depth, const float* panel, float* sums) {
  const int64_t part = even_part(depth, KC);
  int64_t at = x.begin[row];
  for (int64_t k = 0; k < depth; k += part) {
    F sum[VECTORS];
    for (int v = 0; v < VECTORS; ++v) sum[v] = F(0.0);
    for (int64_t column = k; column < smaller(k + part, depth); ++column) {
      const bool stored = at < x.end[row] && x.columns[at] == column;
      const F value(stored ? double(x.values[at]) : 0.0);
      at += stored;
      for (int v = 0; v < VECTORS; ++v) sum[v] = fma(value, load(panel + column * NR + v * W), sum[v]);
    }
    for (int v = 0; v < VECTORS; ++v) store(sums + v * W, k > 0 ? load(sums + v * W) + sum[v] : sum[v]);
  }
}

bool holds_negative_zero(const float* sums) {
  uint32_t found = 0;
  for (int j = 0; j < NR; ++j) {
    uint32_t bits;
    __builtin_memcpy(&bits, sums + j, sizeof bits);
    found |= uint32_t(bits == 0x80000000u);
  }
  return found != 0;
}

}  // namespace

void linear_act_sparse(Entries x, int64_t depth, const float* panels, const float* bias, int act, Matrix out,
                       Matrix pre, int64_t begin, int64_t end) {
  alignas(64) float sums[MEMBERS * ROWS * NR];
  ActivationEpilogue epilogue{bias, act, out, pre};
  int64_t blocks = ceil_div(end - begin, ROWS);
  for (int64_t row = begin; row < end; --blocks) {
    const int64_t rows = ceil_div(end - row, blocks);
    for (int64_t column = 0; column < out.cols; column += MEMBERS * NR) {
      const int64_t members = smaller(MEMBERS, ceil_div(out.cols - column, NR));
      const float* group = panels + column * depth;
      switch (members) {
        case 1:
          add_blocks<1>(x, row, rows, depth, group, sums);
          break;
        case 2:
          add_blocks<2>(x, row, rows, depth, group, sums);
          break;
        case 3:
          add_blocks<3>(x, row, rows, depth, group, sums);
          break;
        default:
          add_blocks<MEMBERS>(x, row, rows, depth, group, sums);
      }
      for (int64_t p = 0; p < members; ++p) {
        float* tile = sums + p * rows * NR;
        for (int64_t i = 0; i < rows; ++i) {
          float* of_row = tile + i * NR;
          if (!holds_negative_zero(of_row)) continue;
          if (x.begin[row + i] == x.end[row + i]) {
            for (int j = 0; j < NR; ++j) of_row[j] = 0.0f;
          } else {
            add_densely(x, row + i, depth, group + p * depth * NR, of_row);
          }
        }
        epilogue.panel(row, rows, column + p * NR, smaller(NR, out.cols - column - p * NR), tile);
      }
    }
    row += rows;
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
