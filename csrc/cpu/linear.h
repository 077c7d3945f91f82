// The loop nest that linear_act, linear_loss_grad and linear_dgrad share: x times weight panels, block by block, each
// block handed to an epilogue while it is in L1.
#pragma once

#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// Prefetches of strided rows that the hardware can't guess: one tile's time is enough to fetch from L3.
AEFAST_INLINE void prefetch_rows(const Matrix& m, int64_t row, int64_t rows, int64_t column) {
  const float* p = m.data + row * m.row_stride + column;
  for (int64_t i = 0; i < rows; ++i, p += m.row_stride) __builtin_prefetch(p);
}

// The epilogue's panel(row, rows, column, columns, tile): tile[i * NR + j] is the finished sum of row + i, column + j.
// start(row, rows) and finish(row, rows) bracket a row block; columns come in panel order in between.
// prefetch(row, rows, column) names the tile whose panel() comes soon.
template <class Epilogue>
AEFAST_INLINE void multiply_panels(Matrix x, const float* panels, int64_t n, int64_t begin, int64_t end,
                                   Epilogue& epilogue) {
  alignas(64) float tile[MC * NR];
  const int64_t depth = x.cols;
  int64_t blocks = ceil_div(end - begin, MC);
  for (int64_t row = begin; row < end; --blocks) {
    int64_t rows = ceil_div(end - row, blocks);
    epilogue.start(row, rows);
    const float* panel = panels;
    for (int64_t column = 0; column < n; column += NR, panel += depth * NR) {
      for (int64_t k = 0; k < depth; k += KC) {
        int64_t count = smaller(KC, depth - k);
        int64_t tiles = ceil_div(rows, MR);
        // The panel's next strip follows in memory; every tile fetches its share of it.
        const char* next = reinterpret_cast<const char*>(panel + (k + count) * NR);
        const int64_t share = ceil_div(count * NR * int64_t(sizeof(float)), tiles);
        for (int64_t i = 0; i < rows; --tiles) {
          int64_t height =
              ceil_div(rows - i, tiles);  // even heights: no tile too short to hide the multiply-add's latency
          if (k + count == depth) epilogue.prefetch(row + i, height, column);
          for (const char* stop = next + share; next < stop; next += 64) __builtin_prefetch(next, 0, 2);
          micro_rows[height](x.data + (row + i) * x.row_stride + k, x.row_stride, panel + k * NR, NR, count,
                             tile + i * NR, NR, k > 0);
          i += height;
        }
      }
      epilogue.panel(row, rows, column, smaller(NR, n - column), tile);
    }
    epilogue.finish(row, rows);
    row += rows;
  }
}

struct Full {
  static constexpr bool value = true;
};
struct Partial {
  static constexpr bool value = false;
};

AEFAST_INLINE F load_lanes(const float* p, int, Full) { return load(p); }
AEFAST_INLINE F load_lanes(const float* p, int n, Partial) { return load(p, n); }
AEFAST_INLINE void store_lanes(float* p, F x, int, Full) { store(p, x); }
AEFAST_INLINE void store_lanes(float* p, F x, int n, Partial) { store(p, x, n); }
AEFAST_INLINE F keep_lanes(F x, int, Full) { return x; }
AEFAST_INLINE F keep_lanes(F x, int n, Partial) { return first_lanes(x, n); }

// for_each_vector calls body(column, lanes, Full or Partial): the last, incomplete vector touches `lanes` elements of
// memory.
template <class Body>
AEFAST_INLINE void for_each_vector(int64_t columns, Body&& body) {
  int64_t column = 0;
  for (; column + W <= columns; column += W) body(column, W, Full{});
  if (column < columns) body(column, int(columns - column), Partial{});
}

}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS
