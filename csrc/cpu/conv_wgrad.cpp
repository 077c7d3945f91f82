// conv_wgrad: the weight gradient of a convolution or its transpose, batch and map pixels as the summed dimension.
// NumPy: dw[n, k] += (map[:, :, n] * patches[:, :, k]).sum((0, 1)); row_square_norm = (dw ** 2).sum(1)
#include "cpu/conv_patches.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t NC = 32 * MR;        // map channels per packed block: as linear_wgrad's
constexpr int64_t STRIPS = 4;          // of map channels that are packed together
constexpr int64_t SUMMED = 48 * 1024;  // elements of a gradient that is summed in scratch, at most: it stays in L2

// What lanes are: dw's columns, its rows, or for few rows its columns where they lie side by side in the image (a strip
// is up to NR columns of such a run). The latter two sum in scratch, [panel][K][NR] and [row][strip][NR].
enum class Lanes { columns, rows, runs };

struct Areas {
  Lanes lanes;
  int64_t run, strips;
  float *source, *left, *strip, *sums;
  int64_t *places, *map_places, *steps, *strip_steps;
  Strides strides;

  float& sum(int64_t row, int64_t k, int64_t depth) const {
    if (lanes == Lanes::rows) return sums[(row / NR * depth + k) * NR + row % NR];
    const int64_t strip = k / run * ceil_div(run, NR) + k % run / NR;
    return sums[(row * strips + strip) * NR + k % run % NR];
  }
};

Areas areas_of(const Plan& plan, Arena& arena) {
  Areas areas;
  const Phase x = phase_of(plan.x, 0);
  const int64_t depth = depth_of(plan, phase_of(plan.y, 0), x), n = plan.dest_channels;
  areas.run = plan.x.dilation == 1 && plan.groups == 1 ? x.taps * plan.group_depth : plan.group_depth;
  areas.strips = depth / areas.run * ceil_div(areas.run, NR);
  // How long each takes. Patches are packed vector by vector only where a vector lies in one run.
  const bool aligned = areas.run % NR == 0 || plan.group_depth % NR == 0;
  const int64_t columns = ceil_div(depth, NR) * NR * (n + (aligned ? 4 : 16));
  const int64_t rows = ceil_div(n, NR) * NR * (depth + 4), runs = areas.strips * NR * n * 9 / 8;
  const bool may_sum = plan.groups == 1 && depth * n <= SUMMED;
  areas.lanes = plan.lanes                                 ? Lanes::rows
                : may_sum && runs < smaller(rows, columns) ? Lanes::runs
                : may_sum && rows < columns                ? Lanes::rows
                                                           : Lanes::columns;
  const int64_t panels = ceil_div(n, NR), pixels = plan.images * plan.rows * plan.cols;
  areas.strides = scratch_strides(plan);
  areas.source = arena.take(plan.images * areas.strides.image + SLACK);
  areas.strip = arena.take(pixels * NR * (areas.lanes == Lanes::rows ? smaller(STRIPS, panels) : 1));
  areas.left = arena.take(areas.lanes == Lanes::columns ? pixels * NC + NC * W : 0);
  areas.sums = arena.take(areas.lanes == Lanes::columns ? MR * NR
                          : areas.lanes == Lanes::rows  ? panels * NR * depth
                                                        : areas.strips * NR * n);
  areas.places = arena.take<int64_t>(pixels);
  areas.map_places = arena.take<int64_t>(pixels);
  areas.steps = arena.take<int64_t>(depth);
  areas.strip_steps = arena.take<int64_t>(areas.strips);
  return areas;
}

// A block's share of dw's rows [first, last), which are of one group. `source`: at the group's channels.
void along_columns(const Areas& areas, const float* map, const float* source, int64_t pixels, int64_t depth,
                   bool rounded, bool resume, float* dw, int64_t dw_stride, int64_t first, int64_t last) {
  const int64_t block = even_part(last - first, NC);
  for (int64_t n = first; n < last; n += block) {
    const int64_t rows = smaller(block, last - n);
    pack_tiles(map + n, areas.map_places, pixels, rows, rounded, areas.left);
    for (int64_t j = 0; j < depth; j += NR) {
      const int64_t width = smaller(NR, depth - j);
      pack_patches(source, areas.places, pixels, areas.steps + j, width, areas.strip);
      const auto& kernels = micro_columns[vectors_of(width)];
      int64_t tiles = ceil_div(rows, MR), number = 0;
      for (int64_t i = 0; i < rows; --tiles, ++number) {
        const int64_t height = ceil_div(rows - i, tiles);
        const float* column = areas.left + i * pixels + number * W;
        float* target = dw + (n + i) * dw_stride + j;
        for (int64_t r = 0; r < height; ++r)
          __builtin_prefetch(target + (r + height) * dw_stride, 1);  // the next tile's
        if (width == NR) {
          kernels[height](column, height, areas.strip, NR, pixels, target, dw_stride, resume);
        } else {
          kernels[height](column, height, areas.strip, NR, pixels, areas.sums, NR, false);
          for (int64_t r = 0; r < height; ++r) {
            for (int64_t c = 0; c < width; ++c) {
              const float sum = areas.sums[r * NR + c];
              float& element = target[r * dw_stride + c];
              element = resume ? element + sum : sum;
            }
          }
        }
        i += height;
      }
    }
  }
}

// A block's share of the sums of dw's rows [begin, end).
void along_rows(const Plan& plan, const Areas& areas, const float* map, int64_t pixels, int64_t depth, bool rounded,
                bool resume, int64_t begin, int64_t end) {
  const ConvMicro* micro = plan.lanes ? conv_lanes : conv_broadcast;
  float* sums = areas.sums;
  for (int64_t first = begin; first < end; first += STRIPS * NR) {
    const int64_t last = smaller(end, first + STRIPS * NR);
    pack_map(map + first, areas.map_places, pixels, last - first, rounded, areas.strip);
    const float* strip = areas.strip;
    for (int64_t n = first; n < last; n += NR, sums += depth * NR, strip += pixels * NR) {
      Tiles tiles(depth);
      for (int64_t k = 0; k < depth;) {
        const int64_t height = tiles.next();
        micro[height](plan.lanes ? areas.source + n : areas.source, areas.steps + k, areas.places, pixels, strip,
                      sums + k * NR, tile_rows, nullptr, resume);
        k += height;
      }
    }
  }
}

// The same for few rows: a map channel's numbers are the broadcast operand.
void along_runs(const Areas& areas, const float* map, int64_t pixels, bool rounded, bool resume, int64_t begin,
                int64_t end) {
  float* sums = areas.sums;
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t p = 0; p < pixels; ++p) areas.strip[p] = map[areas.map_places[p] + n];
    if (rounded) round_to_bfloat16(areas.strip, pixels);
    Tiles tiles(areas.strips);
    for (int64_t i = 0; i < areas.strips;) {
      const int64_t height = tiles.next();
      conv_pixels[height](areas.source, areas.strip_steps + i, areas.places, pixels, areas.strip, sums, tile_rows,
                          nullptr, resume);
      i += height;
      sums += height * NR;
    }
  }
}

void wgrad(const Geometry& geometry, Matrix map, Matrix image, Matrix dw, bool accumulate, bool rounded,
           double* row_square_norm, float* scratch, int64_t begin, int64_t end) {
  const Plan plan = plan_gradient(geometry);
  Arena arena{scratch};
  const Areas areas = areas_of(plan, arena);
  const Phase y = phase_of(plan.y, 0), x = phase_of(plan.x, 0);
  const int64_t depth = depth_of(plan, y, x), n = plan.dest_channels, group = plan.group_width;
  const Strides map_strides{map.row_stride, plan.x.dest * n, n, 1};
  place_steps(plan, y, x, areas.strides, areas.steps);
  int64_t* strip = areas.strip_steps;
  for (int64_t r = 0; r < depth; r += areas.run) {
    for (int64_t k = 0; k < areas.run; k += NR) *strip++ = areas.steps[r + k];
  }
  const bool sums = areas.lanes != Lanes::columns;
  if (sums && accumulate) {
    const int64_t size = areas.lanes == Lanes::rows ? ceil_div(end - begin, NR) * depth : (end - begin) * areas.strips;
    __builtin_memset(areas.sums, 0, size_t(size * NR) * sizeof(float));
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t k = 0; k < depth; ++k) areas.sum(row - begin, k, depth) = dw.data[row * dw.row_stride + k];
    }
  }
  bool resume = accumulate;
  Block placed = {};
  int64_t pixels = 0;
  for_each_block(plan, 0, map.rows, [&](const Block& block) {
    copy_source(plan, block, image, rounded, true, areas.source, areas.strides);
    if (block.images != placed.images || block.rows != placed.rows || block.cols != placed.cols) {
      pixels = place_cells(plan, block, y, x, areas.strides, map_strides, areas.places, areas.map_places);
    }
    placed = block;
    const float* first =
        map.data + block.image * map.row_stride + block.top * map_strides.row + block.left * map_strides.pixel;
    if (areas.lanes == Lanes::rows) {
      along_rows(plan, areas, first, pixels, depth, rounded, resume, begin, end);
    } else if (areas.lanes == Lanes::runs) {
      along_runs(areas, first, pixels, rounded, resume, begin, end);
    } else {
      for (int64_t g = begin / group; g * group < end; ++g) {
        along_columns(areas, first, areas.source + g * plan.group_depth, pixels, depth, rounded, resume, dw.data,
                      dw.row_stride, larger(begin, g * group), smaller(end, (g + 1) * group));
      }
    }
    resume = true;
  });
  for (int64_t row = begin; row < end && sums; ++row) {
    for (int64_t k = 0; k < depth; ++k) dw.data[row * dw.row_stride + k] = areas.sum(row - begin, k, depth);
  }
  finish_wgrad({}, dw, nullptr, accumulate, row_square_norm, begin, end);
}

}  // namespace

int64_t gradient_scratch_of(const Geometry& geometry) {
  Arena arena{nullptr};
  areas_of(plan_gradient(geometry), arena);
  return arena.used;
}

void conv_wgrad(const Geometry& geometry, Matrix map, Matrix image, Matrix dw, bool accumulate, double* row_square_norm,
                float* scratch, int64_t begin, int64_t end) {
  wgrad(geometry, map, image, dw, accumulate, false, row_square_norm, scratch, begin, end);
}

void conv_wgrad_bfloat16(const Geometry& geometry, Matrix map, Matrix image, Matrix dw, bool accumulate,
                         double* row_square_norm, float* scratch, int64_t begin, int64_t end) {
  wgrad(geometry, map, image, dw, accumulate, true, row_square_norm, scratch, begin, end);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
