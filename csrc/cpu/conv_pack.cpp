// conv_pack: weights (out_channels, K) to panels, phase by phase, product by product: [panel][k][NR], zero padded.
// NumPy, forward, one group: as pack
#include "cpu/conv.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

int64_t kernel_at(const Axis& axis, int64_t dest, int64_t source) {
  const int64_t distance =
      axis.forward ? source + axis.pad - dest * axis.stride : dest + axis.pad - source * axis.stride;
  if (distance < 0 || distance % axis.dilation != 0) return -1;
  return distance / axis.dilation < axis.kernel ? distance / axis.dilation : -1;
}

struct Weights {
  const Plan& plan;
  const float* w;
  int64_t row, group_channels;  // elements of a map channel's weights; image channels of a group

  // Of a tap, a map channel and an image channel within its group.
  const float* at(int64_t ky, int64_t kx, int64_t map, int64_t image) const {
    return w + map * row + (ky * plan.x.kernel + kx) * group_channels + image;
  }
  // Of a tap, a group's source and destination channel.
  const float* at(int64_t ky, int64_t kx, int64_t group, int64_t source, int64_t dest) const {
    return plan.y.forward ? at(ky, kx, group * plan.group_width + dest, source)
                          : at(ky, kx, group * plan.group_depth + source, dest);
  }
};

// A tap's k of a panel whose columns are destination channels of one group, from `first` on.
void pack_channels(const Weights& weights, int64_t ky, int64_t kx, int64_t group, int64_t first, float* to) {
  const Plan& plan = weights.plan;
  const int64_t columns = smaller(NR, plan.group_width - first);
  Matrix part{const_cast<float*>(weights.at(ky, kx, group, 0, first)), columns, plan.group_depth, 1, 1};
  (plan.y.forward ? part.row_stride : part.col_stride) = weights.row;
  pack(part, to, 0, 1);
}

// Any columns: channels of several groups (lanes) or several pixels of a cell.
void pack_columns(const Weights& weights, const Phase& y, const Phase& x, int64_t source_y, int64_t source_x,
                  int64_t first, float* to) {
  const Plan& plan = weights.plan;
  for (int64_t j = 0; j < NR; ++j) {
    const int64_t column = first + j, pixel = plan.lanes ? 0 : column / plan.group_width;
    const int64_t group = plan.lanes ? column / plan.group_width : 0, channel = column % plan.group_width;
    int64_t ky = -1, kx = -1;
    if (column < plan.columns) {
      ky = kernel_at(plan.y, y.origin + pixel / plan.x.cell, source_y);
      kx = kernel_at(plan.x, x.origin + pixel % plan.x.cell, source_x);
    }
    for (int64_t q = 0; q < plan.group_depth; ++q) {
      to[q * NR + j] = ky < 0 || kx < 0 ? 0.0f : *weights.at(ky, kx, group, q, channel);
    }
  }
}

// Planes: a destination channel's k.
void pack_planes(const Weights& weights, const Phase& y, const Phase& x, int64_t channel, float* to) {
  const Plan& plan = weights.plan;
  for (int64_t i = 0; i < y.taps; ++i) {
    const int64_t ky = kernel_at(plan.y, y.origin, y.first + i * y.spacing);
    for (int64_t j = 0; j < x.taps; ++j) {
      const int64_t kx = kernel_at(plan.x, x.origin, x.first + j * x.spacing);
      for (int64_t q = 0; q < plan.group_depth; ++q) {
        to[(q * x.taps + j) * y.taps + i] = *weights.at(ky, kx, 0, q, channel);
      }
    }
  }
}

// Columns of a panel.
int64_t width_of(const Plan& plan) { return plan.planar ? 1 : NR; }

int64_t units_of(const Plan& plan) {
  return plan.y.phases * plan.x.phases * plan.products * ceil_div(plan.columns, width_of(plan));
}

void pack_panels(const Geometry& geometry, Direction direction, const float* w, float* panels, int64_t begin,
                 int64_t end, bool rounded) {
  const Plan plan = plan_product(geometry, direction);
  const int64_t group_channels = geometry.channels / geometry.groups;
  const Weights weights{plan, w, geometry.kernel_height * geometry.kernel_width * group_channels, group_channels};
  const int64_t width = width_of(plan);
  const bool channels = plan.y.cell * plan.x.cell == 1 && !plan.lanes;
  int64_t unit = 0;
  for (int64_t i = 0; i < plan.y.phases; ++i) {
    const Phase y = phase_of(plan.y, i);
    for (int64_t j = 0; j < plan.x.phases; ++j) {
      const Phase x = phase_of(plan.x, j);
      const int64_t depth = depth_of(plan, y, x);
      for (int64_t g = 0; g < plan.products; ++g) {
        for (int64_t column = 0; column < plan.columns; column += width, ++unit, panels += depth * width) {
          if (unit < begin || unit >= end) continue;
          float* to = panels;
          if (plan.planar) pack_planes(weights, y, x, column, to);
          for (int64_t ty = 0; ty < y.taps && !plan.planar; ++ty) {
            const int64_t source_y = y.first + ty * y.spacing;
            for (int64_t tx = 0; tx < x.taps; ++tx, to += plan.group_depth * NR) {
              const int64_t source_x = x.first + tx * x.spacing;
              if (channels) {
                pack_channels(weights, kernel_at(plan.y, y.origin, source_y), kernel_at(plan.x, x.origin, source_x), g,
                              column, to);
              } else {
                pack_columns(weights, y, x, source_y, source_x, column, to);
              }
            }
          }
          if (rounded) round_to_bfloat16(panels, depth * width);
        }
      }
    }
  }
}

}  // namespace

int64_t conv_panels(const Geometry& geometry, Direction direction) {
  const Plan plan = plan_product(geometry, direction);
  int64_t depth = 0;
  for (int64_t i = 0; i < plan.y.phases; ++i) {
    for (int64_t j = 0; j < plan.x.phases; ++j) depth += depth_of(plan, phase_of(plan.y, i), phase_of(plan.x, j));
  }
  return depth * plan.products * ceil_div(plan.columns, width_of(plan)) * width_of(plan);
}

int64_t conv_pack_units(const Geometry& geometry, Direction direction) {
  return units_of(plan_product(geometry, direction));
}

void conv_pack(const Geometry& geometry, Direction direction, const float* w, float* panels, int64_t begin,
               int64_t end) {
  pack_panels(geometry, direction, w, panels, begin, end, false);
}

void conv_pack_bfloat16(const Geometry& geometry, Direction direction, const float* w, float* panels, int64_t begin,
                        int64_t end) {
  pack_panels(geometry, direction, w, panels, begin, end, true);
}

int64_t conv_scratch(const Geometry& geometry) {
  const int64_t forward = product_scratch(plan_product(geometry, Direction::forward));
  const int64_t transposed = product_scratch(plan_product(geometry, Direction::transposed));
  return larger(gradient_scratch_of(geometry), larger(forward, transposed));
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
