// The loop nest of conv_act, conv_loss_grad and conv_dgrad: a block's source pixels into scratch, its sums into a strip
// of destination pixels, and the strip to an epilogue.
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t GROUP_FLOATS = 16 * 1024;  // sums of a group of panels: they stay in L2 while k blocks pass
constexpr int64_t RESIDENT = 4 * 1024;

struct Areas {
  float *source, *strip, *sums, *bias;
  int64_t *rows, *at, *steps;
  Strides source_strides, strip_strides;
  int64_t cells;    // of a block, at most
  int64_t members;  // panels of a group, at most
};

template <class Visit>
AEFAST_INLINE void for_each_phase(const Plan& plan, Visit&& visit) {
  for (int64_t i = 0; i < plan.y.phases; ++i) {
    const Phase y = phase_of(plan.y, i);
    for (int64_t j = 0; j < plan.x.phases; ++j) visit(y, phase_of(plan.x, j));
  }
}

Areas areas_of(const Plan& plan, Arena& arena) {
  Areas areas;
  areas.source_strides = scratch_strides(plan);
  const int64_t dest_rows = smaller(plan.y.dest, plan.rows * plan.y.dest_step);
  const int64_t dest_cols = smaller(plan.x.dest, plan.cols * plan.x.dest_step);
  areas.strip_strides = {dest_rows * dest_cols * plan.dest_channels, dest_cols * plan.dest_channels, plan.dest_channels,
                         1};
  areas.cells = plan.images * plan.rows * plan.cols;
  areas.members = larger(1, smaller(ceil_div(plan.columns, NR), GROUP_FLOATS / (areas.cells * NR)));
  areas.source = arena.take(plan.images * areas.source_strides.image + SLACK);
  areas.strip = arena.take(plan.images * areas.strip_strides.image + SLACK);
  areas.sums = arena.take(plan.planar ? plan.dest_channels * (plan.rows * (areas.source_strides.row + NR) + NR)
                                      : areas.members * areas.cells * NR);
  areas.bias = arena.take(plan.products * ceil_div(plan.columns, NR) * NR);
  int64_t steps = 0;
  for_each_phase(plan, [&](const Phase& y, const Phase& x) { steps += depth_of(plan, y, x); });
  areas.rows = arena.take<int64_t>(areas.cells * plan.y.phases * plan.x.phases);
  areas.at = arena.take<int64_t>(areas.cells * plan.y.phases * plan.x.phases);
  areas.steps = arena.take<int64_t>(steps);
  return areas;
}

// The bias of every column, as the panels have them.
void expand_bias(const Plan& plan, const float* bias, float* to) {
  const int64_t panels = ceil_div(plan.columns, NR);
  for (int64_t g = 0; g < plan.products; ++g) {
    for (int64_t column = 0; column < panels * NR; ++column) {
      const int64_t channel = plan.lanes ? column : g * plan.group_width + column % plan.group_width;
      *to++ = column < plan.columns ? bias[channel] : 0.0f;
    }
  }
}

// A finished panel's columns from sums [cell][NR] to the strip.
void scatter(const Plan& plan, const Areas& areas, const Block& block, const Phase& y, const Phase& x,
             const float* sums, const int64_t* at, int64_t cells, int64_t first, int64_t channel) {
  const int64_t count = smaller(NR, plan.columns - first);
  float* strip = areas.strip + channel;
  if (plan.y.cell * plan.x.cell == 1) {
    for (int64_t n = 0; n < cells; ++n, sums += NR) {
      for (int64_t v = 0; v < count; v += W) {
        store(strip + at[n] + first + v, load(sums + v), int(smaller(W, count - v)));
      }
    }
    return;
  }
  const int64_t run = plan.x.cell * plan.group_width;  // columns that lie side by side in a row of the strip
  const int64_t tall = smaller(block.rows, y.cells - block.top), wide = smaller(block.cols, x.cells - block.left);
  for (int64_t b = 0; b < block.images; ++b) {
    for (int64_t i = 0; i < tall; ++i) {
      const int64_t bottom = smaller(plan.y.cell, block.dest_rows - i * plan.y.cell);
      for (int64_t j = 0; j < wide; ++j, sums += NR, ++at) {
        const int64_t right = smaller(plan.x.cell, block.dest_cols - j * plan.x.cell) * plan.group_width;
        for (int64_t a = first / run; a < bottom && a * run < first + count; ++a) {
          const int64_t from = larger(first, a * run), to = smaller(first + count, a * run + right);
          float* out = strip + *at + a * areas.strip_strides.row - a * run;
          for (int64_t column = from; column < to; ++column) out[column] = sums[column - first];
        }
      }
    }
  }
}

// One product of a phase: cells meet groups of panels, k block by k block.
void multiply(const Plan& plan, const Areas& areas, const Block& block, const Phase& y, const Phase& x,
              const int64_t* rows, const int64_t* at, int64_t cells, const int64_t* steps, const float* panels,
              const float* bias, int64_t product) {
  const ConvMicro* micro = plan.lanes ? conv_lanes : conv_broadcast;
  const int64_t depth = depth_of(plan, y, x), part = even_part(depth, KC), count = ceil_div(plan.columns, NR);
  const int64_t channel = product * plan.group_width;
  const float* source = areas.source + product * (plan.lanes ? 0 : plan.group_depth);
  const bool single = plan.y.cell * plan.x.cell == 1;
  const bool resident = count * depth * NR <= RESIDENT;  // all panels stay in L1: nothing to fetch ahead
  for (int64_t first = 0; first < count; first += areas.members) {
    const int64_t members = smaller(areas.members, count - first);
    int64_t k = 0;
    do {
      const int64_t k_count = smaller(part, depth - k);
      const bool last = k + k_count == depth;
      for (int64_t p = 0; p < members; ++p) {
        const int64_t column = (first + p) * NR;
        const float* strip = panels + column * depth + k * NR;
        const float* a = plan.lanes ? source + column : source;
        const float* offset = last && bias ? bias + column : nullptr;
        const float* next = p + 1 < members ? strip + depth * NR
                            : last          ? panels + (first + members) * NR * depth
                                            : panels + first * NR * depth + (k + k_count) * NR;
        const char* fetch = reinterpret_cast<const char*>(next);
        const bool direct = single && column + NR <= plan.columns;
        float* sums = areas.sums + p * cells * NR;
        Tiles tiles(cells);
        const int64_t share = resident ? 0 : ceil_div(k_count * NR * int64_t(sizeof(float)), ceil_div(cells, MR));
        for (int64_t i = 0; i < cells;) {
          const int64_t height = tiles.next();
          for (const char* stop = fetch + share; fetch < stop; fetch += 64) __builtin_prefetch(fetch, 0, 2);
          micro[height](a, rows + i, steps + k, k_count, strip, direct ? areas.strip + channel + column : sums + i * NR,
                        direct ? at + i : tile_rows, offset, k > 0);
          i += height;
        }
        if (last && !direct) scatter(plan, areas, block, y, x, sums, at, cells, column, channel);
      }
      k += k_count;
    } while (k < depth);
  }
}

}  // namespace

int64_t product_scratch(const Plan& plan) {
  Arena arena{nullptr};
  areas_of(plan, arena);
  return arena.used;
}

void conv_product(const Geometry& geometry, Direction direction, Matrix source, const float* panels, const float* bias,
                  bool rounded, Strip strip, float* scratch, int64_t begin, int64_t end) {
  const Plan plan = plan_product(geometry, direction);
  Arena arena{scratch};
  Areas areas = areas_of(plan, arena);
  if (bias) expand_bias(plan, bias, areas.bias);
  int64_t* steps = areas.steps;
  for_each_phase(plan, [&](const Phase& y, const Phase& x) {
    place_steps(plan, y, x, areas.source_strides, steps);
    steps += depth_of(plan, y, x);
  });
  const int64_t panel_columns = plan.planar ? plan.columns : ceil_div(plan.columns, NR) * NR;
  Block placed = {};
  for_each_block(plan, begin, end, [&](const Block& block) {
    areas.strip_strides.row = block.dest_cols * plan.dest_channels;
    const bool alike = block.images == placed.images && block.rows == placed.rows && block.cols == placed.cols &&
                       block.dest_rows == placed.dest_rows && block.dest_cols == placed.dest_cols;
    // Where a block is a whole image, its border stays as it is.
    const bool borders = !alike || block.dest_rows < plan.y.dest || block.dest_cols < plan.x.dest;
    placed = block;
    copy_source(plan, block, source, rounded, borders, areas.source, areas.source_strides);
    const float* weights = panels;
    int64_t *rows = areas.rows, *at = areas.at;
    steps = areas.steps;
    for_each_phase(plan, [&](const Phase& y, const Phase& x) {
      const int64_t depth = depth_of(plan, y, x);
      const int64_t tall = smaller(block.rows, y.cells - block.top), wide = smaller(block.cols, x.cells - block.left);
      if (!alike) place_cells(plan, block, y, x, areas.source_strides, areas.strip_strides, rows, at);
      if (tall > 0 && wide > 0) {
        const float* of_product = weights;
        if (plan.planar) {
          multiply_planes(plan, {areas.source, areas.sums, areas.strip, areas.source_strides.row}, tall, wide, at,
                          steps, y, x, weights, bias ? areas.bias : nullptr);
        } else {
          for (int64_t g = 0; g < plan.products; ++g, of_product += panel_columns * depth) {
            multiply(plan, areas, block, y, x, rows, at, block.images * tall * wide, steps, of_product,
                     bias ? areas.bias + g * panel_columns : nullptr, g);
          }
        }
      }
      weights += plan.products * panel_columns * depth;
      steps += depth;
      rows += areas.cells;
      at += areas.cells;
    });
    const bool whole = block.dest_cols == plan.x.dest;  // its rows follow each other
    const int64_t line = block.dest_cols * plan.dest_channels, lines = whole ? 1 : block.dest_rows;
    for (int64_t b = 0; b < block.images; ++b) {
      for (int64_t i = 0; i < lines; ++i) {
        const int64_t pixel = (block.top * plan.y.dest_step + i) * plan.x.dest + block.left * plan.x.dest_step;
        strip.run(strip.epilogue, block.image + b, pixel * plan.dest_channels, whole ? line * block.dest_rows : line,
                  areas.strip + b * areas.strip_strides.image + i * line);
      }
    }
  });
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
