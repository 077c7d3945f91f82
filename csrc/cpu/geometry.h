// Sizes of a convolution's sides, and which geometries the kernels take.
#pragma once

#include <cstdint>

#include "cpu/kernels.h"

namespace aefast::cpu {

inline int64_t image_size(const Geometry& g) { return g.height * g.width * g.channels; }
inline int64_t map_size(const Geometry& g) { return g.out_height * g.out_width * g.out_channels; }
// Columns of the weight matrix (out_channels, K).
inline int64_t weight_columns(const Geometry& g) { return g.kernel_height * g.kernel_width * (g.channels / g.groups); }

// One side of a convolution: elements of a batch row, and its channels.
struct Side {
  int64_t size, channels;
};
inline Side image_side(const Geometry& g) { return {image_size(g), g.channels}; }
inline Side map_side(const Geometry& g) { return {map_size(g), g.out_channels}; }
inline Side source(const Geometry& g, Direction d) { return d == Direction::forward ? image_side(g) : map_side(g); }
inline Side target(const Geometry& g, Direction d) { return d == Direction::forward ? map_side(g) : image_side(g); }

// Of any of the three products, a batch row.
inline double product_flops(const Geometry& g) { return 2.0 * double(map_size(g)) * double(weight_columns(g)); }

bool operator==(const Geometry& a, const Geometry& b);

// Throw std::invalid_argument. check: every field in its range, channels in whole groups, and all sizes, padding
// included, far inside of int64; windows may lie anywhere, what they read outside of the image is zero. check_pool:
// besides, channels each by itself, and every window sees the image. check_upsample: besides, windows that tile it.
void check(const Geometry& geometry);
void check_pool(const Geometry& geometry);
void check_upsample(const Geometry& geometry);

}  // namespace aefast::cpu
