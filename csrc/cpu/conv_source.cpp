// The operands of a convolution's products in scratch, and the tables of their places. See conv.h.
#include "cpu/bfloat16.h"
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {

void round_to_bfloat16(float* x, int64_t n) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(x + i, to_bfloat16(load(x + i)));
  if (i < n) store(x + i, to_bfloat16(load(x + i, int(n - i))), int(n - i));
}

namespace {

// Pixels to planes. Where there are enough, W x W blocks are turned in registers, the last ones reaching back.
void split_pixels(const float* from, int64_t pixels, int64_t channels, float* to, int64_t plane) {
  if (pixels < W || channels < W) {
    for (int64_t p = 0; p < pixels; ++p) {
      for (int64_t c = 0; c < channels; ++c) to[c * plane + p] = from[p * channels + c];
    }
    return;
  }
  for (int64_t p = 0; p < pixels; p += W) {
    const int64_t pixel = smaller(p, pixels - W);
    for (int64_t c = 0; c < channels; c += W) {
      const int64_t channel = smaller(c, channels - W);
      F block[W];
      load_transposed(from + pixel * channels + channel, channels, block);
      AEFAST_UNROLL for (int i = 0; i < W; ++i) store(to + (channel + i) * plane + pixel, block[i]);
    }
  }
}

void copy_pixels(const Plan& plan, const float* from, int64_t pixels, bool rounded, float* to) {
  const int64_t n = pixels * plan.pixel;
  if (!plan.lanes || (plan.group_depth == 1 && plan.group_width == 1)) {
    __builtin_memcpy(to, from, size_t(n) * sizeof(float));
  } else {
    float* next = to;
    for (int64_t p = 0; p < pixels; ++p, from += plan.source_channels) {
      for (int64_t q = 0; q < plan.group_depth; ++q) {
        for (int64_t g = 0; g < plan.groups; ++g) {
          for (int64_t j = 0; j < plan.group_width; ++j) *next++ = from[g * plan.group_depth + q];
        }
      }
    }
  }
  if (rounded) round_to_bfloat16(to, n);
}

void clear(float* p, int64_t n) { __builtin_memset(p, 0, size_t(n) * sizeof(float)); }

}  // namespace

void copy_source(const Plan& plan, const Block& block, Matrix source, bool rounded, bool borders, float* to,
                 Strides strides) {
  const int64_t rows = window(plan.y, block.rows), cols = window(plan.x, block.cols);
  const int64_t top = block.top * plan.y.source_step + plan.y.first;
  const int64_t left = block.left * plan.x.source_step + plan.x.first;
  const int64_t begin = smaller(cols, larger(0, -left)), end = larger(begin, smaller(cols, plan.x.source - left));
  for (int64_t b = 0; b < block.images; ++b) {
    const float* image = source.data + (block.image + b) * source.row_stride;
    if (plan.planar && borders) clear(to + b * strides.image, strides.image);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = to + b * strides.image + r * strides.row;
      const int64_t y = top + r;
      if (plan.planar) {
        if (y < 0 || y >= plan.y.source || begin == end) continue;
        split_pixels(image + (y * plan.x.source + left + begin) * plan.source_channels, end - begin,
                     plan.source_channels, row + begin, strides.channel);
        continue;
      }
      if (y < 0 || y >= plan.y.source || begin == end) {
        clear(row, cols * plan.pixel);
        continue;
      }
      clear(row, begin * plan.pixel);
      copy_pixels(plan, image + (y * plan.x.source + left + begin) * plan.source_channels, end - begin, rounded,
                  row + begin * plan.pixel);
      clear(row + end * plan.pixel, (cols - end) * plan.pixel);
    }
    if (plan.planar && rounded) round_to_bfloat16(to + b * strides.image, strides.image);
  }
}

int64_t place_cells(const Plan& plan, const Block& block, const Phase& y, const Phase& x, Strides source, Strides dest,
                    int64_t* rows, int64_t* at) {
  const int64_t tall = smaller(block.rows, y.cells - block.top), wide = smaller(block.cols, x.cells - block.left);
  int64_t n = 0;
  for (int64_t b = 0; b < block.images; ++b) {
    for (int64_t i = 0; i < tall; ++i) {
      int64_t from = b * source.image + i * plan.y.source_step * source.row;
      int64_t to = b * dest.image + (y.origin + i * plan.y.dest_step) * dest.row + x.origin * dest.pixel;
      for (int64_t j = 0; j < wide; ++j, ++n) {
        rows[n] = from;
        at[n] = to;
        from += plan.x.source_step * source.pixel;
        to += plan.x.dest_step * dest.pixel;
      }
    }
  }
  return n;
}

void place_steps(const Plan& plan, const Phase& y, const Phase& x, Strides source, int64_t* steps) {
  const int64_t depth = plan.group_depth;
  for (int64_t i = 0; i < y.taps; ++i) {
    for (int64_t j = 0; j < x.taps; ++j) {
      const int64_t place = (y.first + i * y.spacing - plan.y.first) * source.row +
                            (x.first + j * x.spacing - plan.x.first) * source.pixel;
      for (int64_t q = 0; q < depth; ++q) {
        steps[plan.planar ? (q * x.taps + j) * y.taps + i : (i * x.taps + j) * depth + q] = place + q * source.channel;
      }
    }
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
