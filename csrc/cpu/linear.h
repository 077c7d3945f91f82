// The loop nest that linear_act, linear_loss_grad and linear_dgrad share: x times weight panels, block by block, each
// block handed to an epilogue while it is in L1.
#pragma once

#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t GROUP = 960;            // rows x panels whose sums stand on the stack: 60 KiB at a width of 16
constexpr int64_t L2_FLOATS = 72 * 1024;  // of a row block: more than half of an L2 cache of 512 KiB
constexpr int64_t DEEP = L2_FLOATS / (15 * MR);

// Prefetches of strided rows that the hardware can't guess: one tile's time is enough to fetch from L3.
AEFAST_INLINE void prefetch_rows(const Matrix& m, int64_t row, int64_t rows, int64_t column) {
  const float* p = m.data + row * m.row_stride + column;
  for (int64_t i = 0; i < rows; ++i, p += m.row_stride) __builtin_prefetch(p);
}

// The epilogue's panel(row, rows, column, columns, tile): tile[i * NR + j] is the finished sum of row + i, column + j.
// start(row, rows) and finish(row, rows) bracket a row block; columns come in panel order in between.
// prefetch(row, rows, column) names the tile whose panel() comes soon.
//
// A block of rows meets a group of panels, k block by k block: the block's k columns stay in L2 while the group passes,
// a panel's strip in L1 while the rows pass, the group's sums on the stack. Where the block's rows fit L2 in all their
// length, a group is one panel, whose sums stay in L1.
template <class Epilogue>
AEFAST_INLINE void multiply_panels(Matrix x, const float* panels, int64_t n, int64_t begin, int64_t end,
                                   Epilogue& epilogue) {
  alignas(64) float sums[GROUP * NR];
  const int64_t depth = x.cols, part = even_part(depth, KC);
  const bool deep = depth > DEEP;
  const int64_t most = deep ? MC : larger(MR, smaller(MC, L2_FLOATS / depth / MR * MR));
  int64_t blocks = ceil_div(end - begin, most);
  for (int64_t row = begin; row < end; --blocks) {
    const int64_t rows = ceil_div(end - row, blocks);
    const int64_t group = deep ? larger(1, GROUP / rows) : 1;
    epilogue.start(row, rows);
    for (int64_t column = 0; column < n; column += group * NR) {
      const int64_t members = smaller(group, ceil_div(n - column, NR));
      for (int64_t k = 0; k < depth; k += part) {
        const int64_t count = smaller(part, depth - k);
        const bool last = k + count == depth;
        for (int64_t p = 0; p < members; ++p) {
          const float* strip = panels + (column + p * NR) * depth + k * NR;
          // Where the next strip lies: every tile fetches its share of it.
          const float* after = p + 1 < members ? strip + depth * NR
                               : last          ? panels + (column + members * NR) * depth
                                               : panels + column * depth + (k + count) * NR;
          const char* next = reinterpret_cast<const char*>(after);
          int64_t tiles = ceil_div(rows, MR);
          const int64_t share = ceil_div(count * NR * int64_t(sizeof(float)), tiles);
          float* tile = sums + p * rows * NR;
          const auto& kernels = micro_rows[vectors_of(n - column - p * NR)];
          for (int64_t i = 0; i < rows; --tiles) {
            // Even heights: no tile too short to hide the multiply-add's latency.
            const int64_t height = ceil_div(rows - i, tiles);
            if (last) epilogue.prefetch(row + i, height, column + p * NR);
            for (const char* stop = next + share; next < stop; next += 64) __builtin_prefetch(next, 0, 2);
            kernels[height](x.data + (row + i) * x.row_stride + k, x.row_stride, strip, NR, count, tile + i * NR, NR,
                            k > 0);
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

// An epilogue's file works on pairs of registers (AEFAST_PAIRED): a row of a tile is one vector. by_width calls
// body(Full or Partial): the last panel's rows may have fewer columns.
template <class Body>
AEFAST_INLINE void by_width(int64_t columns, Body&& body) {
  if (columns == NR) body(Full{});
  else body(Partial{});
}

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

#if defined(AEFAST_BFLOAT16)
#include "cpu/linear_bfloat16.h"
#endif
