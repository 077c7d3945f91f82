// How the products of a convolution are cut up, what stands in scratch, and their micro-kernels.
//
// A product goes from one side, the source, to the other. Its source pixels stand in scratch with a border of zeros,
// and
//   sum[cell][column] = sum_k source[place of the cell + step of k] panel[k][column],
// k over taps and channels in ascending place: nothing is unrolled into a matrix, the places are tables. A cell is a
// destination pixel, or where there are few channels a few neighbours, whose taps' union it reads, with zero weights
// where a tap isn't a neighbour's own. A transposed product of stride s has s x s phases: destination pixels whose taps
// lie alike; each is a product of its own, or a cell holds them all. Which: by count of multiply-adds (plan_product).
#pragma once

#include <stddef.h>

#include "cpu/tile.h"

namespace aefast::cpu::AEFAST_ISA_NS {

// One axis of a product.
struct Axis {
  bool forward;
  int64_t source, dest, kernel, stride, pad, dilation;
  int64_t cell;                    // destination pixels of a cell
  int64_t phases;                  // the stride, or 1
  int64_t dest_step, source_step;  // from cell to cell
  int64_t first, last;             // the outermost taps of all phases, in source pixels from a cell's own
};

// The destination pixels origin + i dest_step, i < cells, and their taps: first + t spacing from i source_step, t <
// taps.
struct Phase {
  int64_t origin, cells, taps, first, spacing;
};
Phase phase_of(const Axis& axis, int64_t number);

// A product and its blocks of cells: parts of an image, or several images.
struct Plan {
  Axis y, x;
  int64_t source_channels, dest_channels, groups, group_depth, group_width;  // the latter two: channels of a group
  // Many groups of few destination channels: lanes are destination channels of any group, and a scratch pixel holds
  // for each channel of a group one source channel per lane.
  bool lanes;
  // Few destination channels: lanes are neighbouring pixels, scratch holds plane after plane, and k runs over rows of
  // the kernel first, then columns, then channels. Lanes go on through the border from row to row, and what they sum
  // there is left out.
  bool planar;
  int64_t products;            // one after the other: groups, or 1
  int64_t columns;             // of each
  int64_t pixel;               // floats of a scratch pixel
  int64_t rows, cols, images;  // most cells of a block
};
Plan plan_product(const Geometry& geometry, Direction direction);
// For conv_wgrad: from the image to the map, a pixel a cell, KC pixels a block.
Plan plan_gradient(const Geometry& geometry);

AEFAST_INLINE int64_t depth_of(const Plan& plan, const Phase& y, const Phase& x) {
  return y.taps * x.taps * plan.group_depth;
}
AEFAST_INLINE int64_t window(const Axis& axis, int64_t cells) {
  return (cells - 1) * axis.source_step + axis.last - axis.first + 1;
}

// Heights of tiles that cut n rows evenly: none too short to hide the multiply-add's latency.
struct Tiles {
  int64_t height, higher;  // the first `higher` have one row more
  explicit Tiles(int64_t n, int64_t most = MR)
      : height(n / larger(1, ceil_div(n, most))), higher(n % larger(1, ceil_div(n, most))) {}
  int64_t next() { return higher-- > 0 ? height + 1 : height; }
};

// Hands out scratch; without a base it counts what is needed.
struct Arena {
  float* base;
  int64_t used = 0;
  template <class T = float>
  T* take(int64_t n) {
    float* p = base ? base + used : nullptr;
    used += ceil_div(n * int64_t(sizeof(T)), 64) * 16;
    return reinterpret_cast<T*>(p);
  }
};
constexpr int64_t SLACK = 4 * NR;  // floats behind an array that a whole vector may read

struct Block {
  int64_t image, images, top, rows, left, cols;  // cells
  int64_t dest_rows, dest_cols;                  // pixels
};
// visit(block) for the blocks of batch rows [begin, end), in ascending order of what they hold.
template <class Visit>
AEFAST_INLINE void for_each_block(const Plan& plan, int64_t begin, int64_t end, Visit&& visit) {
  auto pixels = [](const Axis& axis, int64_t first, int64_t cells) {
    return smaller(axis.dest - first * axis.dest_step, cells * axis.dest_step);
  };
  const int64_t rows = ceil_div(plan.y.dest, plan.y.dest_step), cols = ceil_div(plan.x.dest, plan.x.dest_step);
  for (int64_t image = begin; image < end; image += plan.images) {
    for (int64_t top = 0; top < rows; top += plan.rows) {
      for (int64_t left = 0; left < cols; left += plan.cols) {
        const int64_t r = smaller(plan.rows, rows - top), c = smaller(plan.cols, cols - left);
        visit(Block{image, smaller(plan.images, end - image), top, r, left, c, pixels(plan.y, top, r),
                    pixels(plan.x, left, c)});
      }
    }
  }
}

// Where pixels lie: elements from image to image, row to row, pixel to pixel, and in scratch from channel to channel of
// a group.
struct Strides {
  int64_t image, row, pixel, channel;
};
Strides scratch_strides(const Plan& plan);

// Zero-bordered source pixels of a block, rounded to bfloat16 on request. Without `borders` those of planes stand there
// already.
void copy_source(const Plan& plan, const Block& block, Matrix source, bool rounded, bool borders, float* to,
                 Strides strides);
// The places of a phase's cells, in the source and in the destination, relative to the block; returns how many.
int64_t place_cells(const Plan& plan, const Block& block, const Phase& y, const Phase& x, Strides source, Strides dest,
                    int64_t* rows, int64_t* at);
// The steps of a phase's k.
void place_steps(const Plan& plan, const Phase& y, const Phase& x, Strides source, int64_t* steps);
void round_to_bfloat16(float* x, int64_t n);

// out[at[i] + j] (+)= sum_k a[row[i] + step[k]] * b[k * NR + j], i < rows <= MR, j < NR; `resume` adds to what stands
// there, `bias` (NR, or null) comes last. conv_lanes: a[row[i] + step[k] + j]; conv_pixels: that times b[k].
using ConvMicro = void (*)(const float* a, const int64_t* row, const int64_t* step, int64_t depth, const float* b,
                           float* out, const int64_t* at, const float* bias, bool resume);
extern const ConvMicro conv_broadcast[MR + 1], conv_lanes[MR + 1], conv_pixels[MR + 1];
extern const int64_t tile_rows[MR];  // i * NR: `at` of a tile by itself

// out[i * out_row + j] (+)= sum_k sum_t a[(i + t) * a_row + step[k * taps] + j] * b[k * taps + t], i < rows <=
// row_tile(taps); [taps][rows].
using ConvRows = void (*)(const float* a, int64_t a_row, const int64_t* step, int64_t count, const float* b, float* out,
                          int64_t out_row, bool resume);
constexpr int ROW_TAPS = 4;  // at most; 2 at least
// Rows whose sums fit the registers beside the weights.
constexpr int row_tile(int taps) { return taps > 2 ? MR + 2 - taps : MR; }
extern const ConvRows conv_rows_of[ROW_TAPS + 1][MR + 1];

// A phase of planes, `tall` x `wide` pixels at `at`; `panels` are [destination channel][k]. Lanes along the pixels of a
// row; or, where rows are short or the kernel is high, from row to row through the border between.
struct Planes {
  const float* source;
  float *sums, *strip;
  int64_t row;  // elements between rows of the source
};
void multiply_planes(const Plan& plan, const Planes& planes, int64_t tall, int64_t wide, const int64_t* at,
                     const int64_t* steps, const Phase& y, const Phase& x, const float* panels, const float* bias);
// Floats of `sums` for each destination channel.
AEFAST_INLINE int64_t sums_plane(const Plan& plan, int64_t row) { return plan.rows * (row + NR) + NR; }

// What becomes of the sums: `run` gets `count` of batch row `row` from flat feature `feature` on, in ascending order.
struct Strip {
  void (*run)(void* epilogue, int64_t row, int64_t feature, int64_t count, const float* z);
  void* epilogue;
};
void conv_product(const Geometry& geometry, Direction direction, Matrix source, const float* panels, const float* bias,
                  bool rounded, Strip strip, float* scratch, int64_t begin, int64_t end);
int64_t product_scratch(const Plan& plan);
int64_t gradient_scratch_of(const Geometry& geometry);

}  // namespace aefast::cpu::AEFAST_ISA_NS
