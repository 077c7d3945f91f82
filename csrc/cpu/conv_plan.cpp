// How a convolution's products are cut into phases, cells and blocks. See conv.h.
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// Plans count with 16 columns on every set: the order of sums is then the same on all of them.
constexpr int64_t LANES = 16;
constexpr int64_t TILE_COST = 8;             // of a cell's columns, beside its k: in multiply-adds
constexpr int64_t CELLS = 240;               // of a block, at most
constexpr int64_t BLOCK_FLOATS = 72 * 1024;  // that a block wants in L2, as linear.h

int64_t gcd(int64_t a, int64_t b) { return b == 0 ? a : gcd(b, a % b); }
int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }

// `cell`: 0 for separate phases.
Axis make_axis(Axis axis, int64_t cell) {
  axis.phases = cell == 0 ? axis.stride : 1;
  axis.cell = larger(1, cell);
  axis.dest_step = cell == 0 ? axis.stride : cell;
  axis.source_step = axis.forward ? axis.dest_step * axis.stride : axis.dest_step / axis.stride;
  bool any = false;
  for (int64_t f = 0; f < axis.phases; ++f) {
    const Phase phase = phase_of(axis, f);
    if (phase.taps == 0) continue;
    const int64_t last = phase.first + (phase.taps - 1) * phase.spacing;
    axis.first = any ? smaller(axis.first, phase.first) : phase.first;
    axis.last = any ? larger(axis.last, last) : last;
    any = true;
  }
  return axis;
}

// Cells' worth of columns times k.
int64_t cost_of(const Axis& y, const Axis& x, int64_t depth, int64_t width) {
  const int64_t columns = ceil_div(y.cell * x.cell * width, LANES);
  int64_t cost = 0;
  for (int64_t i = 0; i < y.phases; ++i) {
    const Phase a = phase_of(y, i);
    for (int64_t j = 0; j < x.phases; ++j) {
      const Phase b = phase_of(x, j);
      cost += a.cells * b.cells * columns * (a.taps * b.taps * depth + TILE_COST);
      if (y.cell * x.cell > 1) cost += a.cells * b.cells * y.cell * x.cell * width;
    }
  }
  return cost;
}

// The same of planes: loads limit the inner loop, planes are made of pixels, and the sums' columns lie apart.
int64_t planar_cost(const Axis& y, const Axis& x, int64_t depth, int64_t width) {
  int64_t cost = y.source * x.source * depth / 2 + y.dest * x.dest * width;
  for (int64_t i = 0; i < y.phases; ++i) {
    const Phase a = phase_of(y, i);
    for (int64_t j = 0; j < x.phases; ++j) {
      const Phase b = phase_of(x, j);
      const int64_t lanes = a.cells * window(x, ceil_div(x.dest, x.dest_step));
      cost += width * ceil_div(lanes, LANES) * (a.taps * b.taps * depth * 9 / 8 + TILE_COST);
    }
  }
  return cost;
}

Plan start_plan(const Geometry& g, Direction direction) {
  const bool forward = direction == Direction::forward;
  Plan plan = {};
  plan.y = {forward,
            forward ? g.height : g.out_height,
            forward ? g.out_height : g.height,
            g.kernel_height,
            g.stride_y,
            g.pad_top,
            g.dilation_y,
            1,
            1,
            1,
            1,
            0,
            0};
  plan.x = {forward,
            forward ? g.width : g.out_width,
            forward ? g.out_width : g.width,
            g.kernel_width,
            g.stride_x,
            g.pad_left,
            g.dilation_x,
            1,
            1,
            1,
            1,
            0,
            0};
  plan.source_channels = forward ? g.channels : g.out_channels;
  plan.dest_channels = forward ? g.out_channels : g.channels;
  plan.groups = g.groups;
  plan.group_depth = plan.source_channels / g.groups;
  plan.group_width = plan.dest_channels / g.groups;
  plan.lanes = g.groups > 1 && plan.group_width <= LANES / 4;
  plan.products = plan.lanes ? 1 : g.groups;
  plan.pixel = plan.lanes ? plan.group_depth * plan.dest_channels : plan.source_channels;
  return plan;
}

void finish_plan(Plan& plan, int64_t most) {
  plan.columns = plan.lanes ? plan.dest_channels : plan.y.cell * plan.x.cell * plan.group_width;
  const int64_t rows = ceil_div(plan.y.dest, plan.y.dest_step), cols = ceil_div(plan.x.dest, plan.x.dest_step);
  plan.cols = even_part(cols, most);
  plan.rows = plan.cols < cols ? 1 : even_part(rows, larger(1, most / cols));
  plan.images = plan.rows < rows || plan.cols < cols ? 1 : larger(1, most / (rows * cols));
}

// Cells of several pixels, where they cost less than `best`.
void merge_cells(Plan& plan, const Axis& y, const Axis& x, int64_t alone_y, int64_t alone_x, int64_t best) {
  const int64_t unit_y = y.forward ? 1 : y.stride, unit_x = x.forward ? 1 : x.stride;
  const int64_t most = 2 * LANES / plan.group_width;
  for (int64_t i = alone_y; i == alone_y || i <= smaller(most, 2 * y.dest); i = larger(unit_y, 2 * i)) {
    const Axis tall = make_axis(y, i);
    for (int64_t j = alone_x; j == alone_x || (tall.cell * j <= most && j <= 2 * x.dest); j = larger(unit_x, 2 * j)) {
      const Axis wide = make_axis(x, j);
      const int64_t cost = cost_of(tall, wide, plan.group_depth, plan.group_width);
      if (cost >= best) continue;
      best = cost;
      plan.y = tall;
      plan.x = wide;
    }
  }
}

}  // namespace

Phase phase_of(const Axis& axis, int64_t number) {
  const int64_t common = gcd(axis.stride, axis.dilation), extent = (axis.kernel - 1) * axis.dilation;
  const int64_t cells = ceil_div(larger(0, axis.dest - number), axis.dest_step);
  if (axis.forward) {
    const int64_t spacing = axis.cell == 1 ? axis.dilation : common;
    return {0, cells, ((axis.cell - 1) * axis.stride + extent) / spacing + 1, -axis.pad, spacing};
  }
  if (axis.phases == 1 && axis.cell > 1) {
    const int64_t first = -floor_div(extent - axis.pad, axis.stride),
                  last = floor_div(axis.cell - 1 + axis.pad, axis.stride);
    return {0, cells, last - first + 1, first, 1};
  }
  // The taps k with number + pad - k dilation a multiple of the stride; ascending places are descending k.
  const int64_t between = axis.stride / common, most = smaller(axis.kernel, between);
  int64_t k = 0;
  while (k < most && (number + axis.pad - k * axis.dilation) % axis.stride != 0) ++k;
  if (k == most) return {number, cells, 0, 0, 1};
  const int64_t taps = (axis.kernel - 1 - k) / between + 1;
  k += (taps - 1) * between;
  return {number, cells, taps, (number + axis.pad - k * axis.dilation) / axis.stride, axis.dilation / common};
}

Plan plan_product(const Geometry& geometry, Direction direction) {
  Plan plan = start_plan(geometry, direction);
  const Axis y = plan.y, x = plan.x;
  const int64_t alone_y = y.forward || y.stride == 1 ? 1 : 0, alone_x = x.forward || x.stride == 1 ? 1 : 0;
  plan.y = make_axis(y, alone_y);
  plan.x = make_axis(x, alone_x);
  if (!plan.lanes && plan.groups == 1 && plan.group_width < LANES) {
    const int64_t plain = cost_of(plan.y, plan.x, plan.group_depth, plan.group_width) * 9 / 10;
    if (plan.y.source_step == 1 && plan.x.source_step == 1) {
      if (planar_cost(plan.y, plan.x, plan.group_depth, plan.group_width) < plain) {
        plan.planar = true;
        plan.pixel = 1;
        finish_plan(plan, larger(2 * LANES, BLOCK_FLOATS / plan.source_channels));
        plan.images = 1;
        return plan;
      }
    } else {
      merge_cells(plan, y, x, alone_y, alone_x, plain);
    }
  }
  const int64_t of_source = plan.y.source_step * plan.x.source_step * plan.pixel;
  const int64_t of_dest = plan.y.dest_step * plan.x.dest_step * plan.dest_channels;
  finish_plan(plan, smaller(CELLS, larger(2 * LANES, BLOCK_FLOATS / (smaller(of_source, KC) + smaller(of_dest, KC)))));
  return plan;
}

Strides scratch_strides(const Plan& plan) {
  const int64_t rows = window(plan.y, plan.rows), cols = window(plan.x, plan.cols), row = cols * plan.pixel;
  if (plan.planar) return {rows * row * plan.source_channels, row, 1, rows * row};
  return {rows * row, row, plan.pixel, plan.lanes ? plan.dest_channels : 1};
}

Plan plan_gradient(const Geometry& geometry) {
  Plan plan = start_plan(geometry, Direction::forward);
  plan.y = make_axis(plan.y, 1);
  plan.x = make_axis(plan.x, 1);
  finish_plan(plan, KC);
  return plan;
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
