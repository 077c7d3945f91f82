// linear_wgrad_sparse: the weight gradient of sparse rows, from their entries alone; the bits are those of the dense
// op. NumPy: dw += delta.T @ a; db += delta.sum(0); row_square_norm = (dw ** 2).sum(1) + db ** 2
//
// A tile of columns is walked for all batch rows in order, each row going on where it stopped in the tile before: every
// element still takes the batch rows in order, block by block. As in linear_act_sparse, a sum of -0 is taken again with
// the zeros between, and where delta isn't finite the dense op does it: a zero makes NaN of that.
#include "cpu/ops.h"
#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// A tile's sums [COLUMNS][ROWS] stay in L1, at 32 KiB, or near it.
constexpr int64_t ROWS = 64, COLUMNS = 128;
constexpr int VECTORS = int(ROWS / W);
static_assert(COLUMNS % W == 0 && ROWS % W == 0);

bool all_finite(Matrix m, int64_t begin, int64_t end) {
  const F most(3.4028234663852886e38);
  F outside(0.0);
  for (int64_t b = 0; b < m.rows; ++b) {
    const float* row = m.data + b * m.row_stride;
    for (int64_t n = begin; n < end; n += W) {
      const F x = n + W <= end ? load(row + n) : load(row + n, int(end - n));
      outside = outside + select(abs(x) <= most, F(0.0), F(1.0));
    }
  }
  return sum_lanes(outside) == 0.0;
}

struct Chunk {
  const float* delta;  // of the block's first batch row and the first gradient row
  int64_t stride, rows;
};

// tile[0 .. rows) += value * delta.
AEFAST_INLINE void add_entry(const float* value, const float* delta, int64_t rows, float* tile) {
  const F factor = splat(value);
  if (rows == ROWS) {
    AEFAST_UNROLL for (int v = 0; v < VECTORS; ++v) {
      store(tile + v * W, fma(factor, load(delta + v * W), load(tile + v * W)));
    }
    return;
  }
  int64_t n = 0;
  for (; n + W <= rows; n += W) store(tile + n, fma(factor, load(delta + n), load(tile + n)));
  if (n < rows) store(tile + n, fma(factor, load(delta + n, int(rows - n)), load(tile + n)));
}

bool holds_negative_zero(const float* tile, int64_t columns, int64_t rows) {
  I found(0);
  for (int64_t k = 0; k < columns; ++k) {
    for (int64_t n = 0; n < rows; n += W) {
      found = found | as_int(select(equal(as_int(load(tile + k * ROWS + n)), I(0x80000000u)), F(1.0), F(0.0)));
    }
  }
  return sum_lanes(as_float(found)) != 0.0;
}

float value_at(const Entries& a, int64_t row, int64_t column) {
  for (int64_t at = a.begin[row]; at < a.end[row] && a.columns[at] <= column; ++at) {
    if (a.columns[at] == column) return a.values[at];
  }
  return 0.0f;
}

// The tile's sums that are -0, with every zero.
void add_densely(const Entries& a, int64_t first, int64_t count, int64_t k, int64_t columns, Chunk chunk, float* tile) {
  for (int64_t c = 0; c < columns; ++c) {
    if (!holds_negative_zero(tile + c * ROWS, 1, chunk.rows)) continue;
    for (int64_t n = 0; n < chunk.rows; ++n) tile[c * ROWS + n] = 0.0f;
    for (int64_t b = 0; b < count; ++b) {
      const float value = value_at(a, first + b, k + c);
      add_entry(&value, chunk.delta + b * chunk.stride, chunk.rows, tile + c * ROWS);
    }
  }
}

// dw rows of the chunk, columns [k, k + columns), from the tile [column][row].
void write(const float* tile, int64_t columns, int64_t rows, float* dw, int64_t stride, bool resume) {
  for (int64_t n = 0; n < rows; n += W) {
    const int64_t height = smaller(W, rows - n);
    for (int64_t k = 0; k < columns; k += W) {
      const int lanes = int(smaller(W, columns - k));
      F turned[W];
      load_transposed(tile + k * ROWS + n, ROWS, turned);
      for (int64_t r = 0; r < height; ++r) {
        float* to = dw + (n + r) * stride + k;
        if (lanes == W) store(to, resume ? load(to) + turned[r] : turned[r]);
        else store(to, resume ? load(to, lanes) + turned[r] : turned[r], lanes);
      }
    }
  }
}

// dw rows of the chunk (+)= the sum over a block of batch rows [first, first + count).
void add_block(const Entries& a, int64_t first, int64_t count, Chunk chunk, Matrix dw, bool resume) {
  alignas(64) float tile[COLUMNS * ROWS];
  int64_t next[KC];
  for (int64_t b = 0; b < count; ++b) next[b] = a.begin[first + b];
  for (int64_t k = 0; k < dw.cols; k += COLUMNS) {
    const int64_t columns = smaller(COLUMNS, dw.cols - k), limit = k + columns;
    for (int64_t j = 0; j < COLUMNS * ROWS; j += W) store(tile + j, F(0.0));
    bool any = false;
    for (int64_t b = 0; b < count; ++b) {
      int64_t at = next[b];
      const int64_t end = a.end[first + b];
      if (at == end || a.columns[at] >= limit) continue;
      any = true;
      const float* delta = chunk.delta + b * chunk.stride;
      do {
        add_entry(a.values + at, delta, chunk.rows, tile + (a.columns[at] - k) * ROWS);
      } while (++at < end && a.columns[at] < limit);
      next[b] = at;
    }
    if (any && holds_negative_zero(tile, columns, chunk.rows)) {
      add_densely(a, first, count, k, columns, chunk, tile);
    }
    write(tile, columns, chunk.rows, dw.data + k, dw.row_stride, resume);
  }
}

}  // namespace

void linear_wgrad_sparse(Matrix delta, Matrix a, Entries entries, Matrix dw, float* db, bool accumulate,
                         double* row_square_norm, float* scratch, int64_t begin, int64_t end) {
  if (dw.col_stride != 1 || !all_finite(delta, begin, end)) {
    return linear_wgrad(delta, a, dw, db, accumulate, row_square_norm, scratch, begin, end);
  }
  const int64_t part = even_part(delta.rows, KC);
  for (int64_t n = begin; n < end; n += ROWS) {
    const int64_t rows = smaller(ROWS, end - n);
    const Matrix to{dw.data + n * dw.row_stride, rows, dw.cols, dw.row_stride, 1};
    for (int64_t b = 0; b < delta.rows; b += part) {
      add_block(entries, b, smaller(part, delta.rows - b),
                {delta.data + b * delta.row_stride + n, delta.row_stride, rows}, to, accumulate || b > 0);
    }
  }
  finish_wgrad(delta, dw, db, accumulate, row_square_norm, begin, end);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
