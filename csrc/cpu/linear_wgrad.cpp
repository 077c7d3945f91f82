// linear_wgrad: weight and bias gradients, the batch as the summed dimension.
// NumPy: dw += delta.T @ a; db += delta.sum(0); row_square_norm = (dw ** 2).sum(1) + db ** 2
#include "cpu/bfloat16.h"
#include "cpu/ops.h"
#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {
#if !defined(AEFAST_BFLOAT16)
namespace {

// Gradient rows per block: their KC batch rows of `left` stay in L2 while all columns pass.
constexpr int64_t NC = 32 * MR;
// From so many columns on, `left` is packed: its rows lie pages apart, and every tile would walk through all of them.
constexpr int64_t PACKED_COLUMNS = 8 * NR;

// More floats of `right` than this have left L2 when the next block of rows reads them again.
constexpr int64_t IN_L2 = 128 * 1024;

// A block of `left` (count batch rows, `rows` columns), tile by tile: tile t's rows i.. stand at packed + i * count + t
// * W as [count][height].
void pack_tiles(const float* left, int64_t stride, int64_t count, int64_t rows, float* packed) {
  for (int64_t k = 0; k < count; ++k, left += stride) {
    int64_t tiles = ceil_div(rows, MR), tile = 0;
    for (int64_t i = 0; i < rows; --tiles, ++tile) {
      const int64_t height = ceil_div(rows - i, tiles);
      float* to = packed + i * count + tile * W + k * height;
      // Whole vectors: what runs over is written again by the next k, or lies in the gap behind the tile.
      int64_t r = 0;
      for (; r < height && i + r + W <= rows; r += W) store(to + r, load(left + i + r));
      for (; r < height; ++r) to[r] = left[i + r];
      i += height;
    }
  }
}

// c[i * c_stride + j] (+)= sum_b left[b * left_stride + i] * right[b * right_stride + j]. The sums of
// blocks over b are added in order, so an element's bits don't depend on the range.
void outer_product(const float* left, int64_t left_stride, int64_t rows, const float* right, int64_t right_stride,
                   int64_t columns, int64_t depth, float* c, int64_t c_stride, bool accumulate, float* scratch) {
  alignas(64) float strip[KC * NR];
  alignas(64) float tile[MR * NR] = {};
  const bool packs = scratch != nullptr && columns >= PACKED_COLUMNS;
  const int64_t part = even_part(depth, KC), block = even_part(rows, NC);
  for (int64_t b = 0; b < depth; b += part) {
    int64_t count = smaller(part, depth - b);
    bool resume = accumulate || b > 0;
    for (int64_t first = 0; first < rows; first += block) {
      int64_t last = smaller(first + block, rows);
      if (packs) pack_tiles(left + b * left_stride + first, left_stride, count, last - first, scratch);
      for (int64_t j = 0; j < columns; j += NR) {
        // A strided strip of `right` would miss in L1 (and collide there at power-of-two strides): copied once, used by
        // every tile.
        const float* source = right + b * right_stride + j;
        int width = int(smaller(NR, columns - j));
        for (int64_t k = 0; k < count; ++k, source += right_stride) {
          AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
            int lanes = width - v * W;
            float* to = strip + k * NR + v * W;
            if (lanes >= W) {
              store(to, load(source + v * W));
            } else {
              store(to, lanes > 0 ? load(source + v * W, lanes) : F(0.0));
            }
          }
        }
        const auto& kernels = micro_columns[vectors_of(width)];
        int64_t tiles = ceil_div(last - first, MR), number = 0;
        // The strip that comes next: every tile fetches its share of it, which the hardware can't guess.
        const float* after =
            j + NR < columns ? right + b * right_stride + j + NR : right + (last < rows ? b : b + count) * right_stride;
        const int64_t share = count * columns > IN_L2 ? ceil_div(count, tiles) : 0;
        int64_t fetched = 0;
        for (int64_t i = first; i < last; --tiles, ++number) {
          int64_t height = ceil_div(last - i, tiles);
          const float* column = packs ? scratch + (i - first) * count + number * W : left + b * left_stride + i;
          const int64_t stride = packs ? height : left_stride;
          float* target = c + i * c_stride + j;
          for (int64_t r = 0; r < height; ++r) {  // the next tile's
            for (int64_t v = 0; v < NR; v += 16) __builtin_prefetch(target + (r + height) * c_stride + v, 1);
          }
          for (int64_t stop = smaller(count, fetched + share); fetched < stop; ++fetched, after += right_stride) {
            for (int64_t v = 0; v < NR; v += 16) __builtin_prefetch(after + v, 0, 2);
          }
          if (width == NR) {
            kernels[height](column, stride, strip, NR, count, target, c_stride, resume);
          } else {
            // Through a whole tile: its vectors v of rows r, all or some lanes of them in the gradient.
            auto each = [&](auto&& copy) __attribute__((always_inline)) {
              for (int64_t r = 0; r < height; ++r) {
                for (int v = 0; v * W < width; ++v) {
                  copy(tile + r * NR + v * W, target + r * c_stride + v * W, int(smaller(W, width - v * W)));
                }
              }
            };
            if (resume) {
              each([](float* whole, float* some, int lanes)
                       __attribute__((always_inline)) { store(whole, load(some, lanes)); });
            }
            kernels[height](column, stride, strip, NR, count, tile, NR, resume);
            each([](float* whole, float* some, int lanes)
                     __attribute__((always_inline)) { store(some, load(whole), lanes); });
          }
          i += height;
        }
      }
    }
  }
}

// Columns column + W v, v < vectors, the last of them with `lanes`: a chain of sums each, so several at a time.
template <int vectors>
AEFAST_INLINE void sum_columns(Matrix delta, float* db, bool accumulate, int64_t column, int lanes) {
  F sum[vectors];
  AEFAST_UNROLL for (int v = 0; v < vectors; ++v) {
    sum[v] = !accumulate ? F(0.0) : v + 1 < vectors ? load(db + column + v * W) : load(db + column + v * W, lanes);
  }
  const float* row = delta.data + column;
  for (int64_t b = 0; b < delta.rows; ++b, row += delta.row_stride) {
    AEFAST_UNROLL for (int v = 0; v < vectors; ++v) {
      sum[v] = sum[v] + (v + 1 < vectors || lanes == W ? load(row + v * W) : load(row + v * W, lanes));
    }
  }
  AEFAST_UNROLL for (int v = 0; v + 1 < vectors; ++v) store(db + column + v * W, sum[v]);
  store(db + column + (vectors - 1) * W, sum[vectors - 1], lanes);
}

// float64 sums of squares of contiguous rows, in four sets of lanes.
double square_norm(const float* row, int64_t n) {
  D sum[4] = {D(0.0), D(0.0), D(0.0), D(0.0)};
  auto add = [&sum](F x, int at) __attribute__((always_inline)) {
    D low = widen_low(x), high = widen_high(x);
    sum[at] = fma(low, low, sum[at]);
    sum[at + 1] = fma(high, high, sum[at + 1]);
  };
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    add(load(row + i), 0);
    add(load(row + i + W), 2);
  }
  if (i + W <= n) {
    add(load(row + i), 0);
    i += W;
  }
  if (i < n) add(load(row + i, int(n - i)), 2);
  return sum_lanes((sum[0] + sum[2]) + (sum[1] + sum[3]));
}

// The same for rows with stride 1 between them: W rows at a time.
void square_norms_transposed(const float* column, int64_t stride, int64_t n, int lanes, double* out) {
  D low(0.0), high(0.0);
  for (int64_t i = 0; i < n; ++i) {
    F x = lanes == W ? load(column + i * stride) : load(column + i * stride, lanes);
    D x0 = widen_low(x), x1 = widen_high(x);
    low = fma(x0, x0, low);
    high = fma(x1, x1, high);
  }
  double sums[W];
  store(sums, low);
  store(sums + W / 2, high);
  for (int l = 0; l < lanes; ++l) out[l] = sums[l];
}

}  // namespace

extern const int64_t gradient_scratch = KC * NC + NC * W;

void finish_wgrad(Matrix delta, Matrix dw, float* db, bool accumulate, double* row_square_norm, int64_t begin,
                  int64_t end) {
  if (db) {
    int64_t n = begin;
    for (; end - n >= 8 * W; n += 8 * W) sum_columns<8>(delta, db, accumulate, n, W);
    for (; end - n > W; n += 2 * W) sum_columns<2>(delta, db, accumulate, n, int(smaller(W, end - n - W)));
    if (n < end) sum_columns<1>(delta, db, accumulate, n, int(end - n));
  }
  if (!row_square_norm) return;
  if (dw.col_stride == 1 || dw.cols == 1) {
    for (int64_t n = begin; n < end; ++n) row_square_norm[n] = square_norm(dw.data + n * dw.row_stride, dw.cols);
  } else {
    for (int64_t n = begin; n < end; n += W) {
      square_norms_transposed(dw.data + n, dw.col_stride, dw.cols, int(smaller(W, end - n)), row_square_norm + n);
    }
  }
  if (db) {
    for (int64_t n = begin; n < end; ++n) row_square_norm[n] += double(db[n]) * double(db[n]);
  }
}
#endif

void AEFAST_PRODUCT(linear_wgrad)(Matrix delta, Matrix a, Matrix dw, float* db, bool accumulate,
                                  double* row_square_norm, float* scratch, int64_t begin, int64_t end) {
  const int64_t depth = delta.rows;
  const bool rows_contiguous = dw.col_stride == 1 || dw.cols == 1;
  if (rows_contiguous) {
    AEFAST_PRODUCT(outer_product)(delta.data + begin, delta.row_stride, end - begin, a.data, a.row_stride, a.cols,
                                  depth, dw.data + begin * dw.row_stride, dw.row_stride, accumulate, scratch);
  } else {  // a transposed view: its columns are the contiguous direction
    AEFAST_PRODUCT(outer_product)(a.data, a.row_stride, a.cols, delta.data + begin, delta.row_stride, end - begin,
                                  depth, dw.data + begin, dw.col_stride, accumulate, scratch);
  }
  finish_wgrad(delta, dw, db, accumulate, row_square_norm, begin, end);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
