// conv_wgrad: the weight gradient of a convolution or its transpose, batch and map pixels as the summed dimension.
// NumPy: dw[n, k] += (map[:, :, n] * patches[:, :, k]).sum((0, 1)); row_square_norm = (dw ** 2).sum(1)
#include "cpu/bfloat16.h"
#include "cpu/conv.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t NC = 32 * MR;  // map channels per packed block: as linear_wgrad's

// Lanes along dw's columns, or along its rows: then the sums stand in scratch until the end, [panel][K][NR].
struct Areas {
  bool turned;
  float *source, *left, *strip, *sums;
  int64_t *places, *map_places, *steps;
  Strides strides;
};

Areas areas_of(const Plan& plan, Arena& arena) {
  Areas areas;
  const int64_t depth = depth_of(plan, phase_of(plan.y, 0), phase_of(plan.x, 0)), n = plan.dest_channels;
  // Which way fewer lanes idle, in vectors of 16 as everywhere.
  const int64_t along = ceil_div(depth, 16) * n * plan.groups, across = ceil_div(n, 16) * depth;
  areas.turned = plan.lanes || (plan.groups == 1 && across * 10 < along * 9);
  areas.strides = scratch_strides(plan);
  const int64_t pixels = plan.images * plan.rows * plan.cols;
  areas.source = arena.take(plan.images * areas.strides.image + SLACK);
  areas.strip = arena.take(pixels * NR);
  areas.left = arena.take(areas.turned ? 0 : pixels * NC + NC * W);
  areas.sums = arena.take(areas.turned ? ceil_div(n, NR) * NR * depth : MR * NR);
  areas.places = arena.take<int64_t>(pixels);
  areas.map_places = arena.take<int64_t>(pixels);
  areas.steps = arena.take<int64_t>(depth);
  return areas;
}

// `columns` <= NR channels of the block's map pixels: [pixel][NR], zero padded.
void pack_map(const float* map, const int64_t* places, int64_t pixels, int64_t columns, bool rounded, float* strip) {
  for (int64_t p = 0; p < pixels; ++p) {
    AEFAST_UNROLL for (int v = 0; v < NV; ++v) {
      F x = load_some(map + places[p] + v * W, columns - v * W);
      if (rounded) x = to_bfloat16(x);
      store(strip + p * NR + v * W, x);
    }
  }
}

// Map channels tile by tile, as linear_wgrad packs: tile t's rows i.. stand at packed + i * pixels + t * W as
// [pixel][height].
void pack_tiles(const float* map, const int64_t* places, int64_t pixels, int64_t rows, bool rounded, float* packed) {
  for (int64_t p = 0; p < pixels; ++p) {
    const float* left = map + places[p];
    int64_t tiles = ceil_div(rows, MR), tile = 0;
    for (int64_t i = 0; i < rows; --tiles, ++tile) {
      const int64_t height = ceil_div(rows - i, tiles);
      float* to = packed + i * pixels + tile * W + p * height;
      int64_t r = 0;
      for (; r < height && i + r + W <= rows; r += W) {
        const F x = load(left + i + r);
        store(to + r, rounded ? to_bfloat16(x) : x);
      }
      const int64_t rest = r;
      for (; r < height; ++r) to[r] = left[i + r];
      if (rounded && rest < height) round_to_bfloat16(to + rest, height - rest);
      i += height;
    }
  }
}

// Patches: `columns` <= NR steps of the block's pixels: [pixel][NR].
void pack_patches(const float* source, const int64_t* places, int64_t pixels, const int64_t* steps, int64_t columns,
                  float* strip) {
  bool runs = columns == NR;
  for (int64_t j = 1; j < columns; ++j) runs = runs && steps[j] == steps[0] + j;
  if (runs) {
    for (int64_t p = 0; p < pixels; ++p) {
      const float* from = source + places[p] + steps[0];
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) store(strip + p * NR + v * W, load(from + v * W));
    }
    return;
  }
  for (int64_t p = 0; p < pixels; ++p) {
    const float* from = source + places[p];
    for (int64_t j = 0; j < columns; ++j) strip[p * NR + j] = from[steps[j]];
    for (int64_t j = columns; j < NR; ++j) strip[p * NR + j] = 0.0f;
  }
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
      int64_t tiles = ceil_div(rows, MR), number = 0;
      for (int64_t i = 0; i < rows; --tiles, ++number) {
        const int64_t height = ceil_div(rows - i, tiles);
        const float* column = areas.left + i * pixels + number * W;
        float* target = dw + (n + i) * dw_stride + j;
        for (int64_t r = 0; r < height; ++r)
          __builtin_prefetch(target + (r + height) * dw_stride, 1);  // the next tile's
        if (width == NR) {
          micro_columns[height](column, height, areas.strip, NR, pixels, target, dw_stride, resume);
        } else {
          micro_columns[height](column, height, areas.strip, NR, pixels, areas.sums, NR, false);
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
  for (int64_t n = begin; n < end; n += NR, sums += depth * NR) {
    pack_map(map + n, areas.map_places, pixels, smaller(NR, end - n), rounded, areas.strip);
    int64_t tiles = ceil_div(depth, MR);
    for (int64_t k = 0; k < depth; --tiles) {
      const int64_t height = ceil_div(depth - k, tiles);
      micro[height](plan.lanes ? areas.source + n : areas.source, areas.steps + k, areas.places, pixels, areas.strip,
                    sums + k * NR, tile_rows, nullptr, resume);
      k += height;
    }
  }
}

// between(sum, element) for the sums of dw's rows [begin, end).
template <class Between>
AEFAST_INLINE void for_each_sum(const Areas& areas, Matrix dw, int64_t begin, int64_t end, Between&& between) {
  for (int64_t n = begin; n < end; ++n) {
    float* sums = areas.sums + (n - begin) / NR * NR * dw.cols + (n - begin) % NR;
    for (int64_t k = 0; k < dw.cols; ++k) between(sums[k * NR], dw.data[n * dw.row_stride + k]);
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
  if (areas.turned && accumulate) {
    __builtin_memset(areas.sums, 0, size_t(ceil_div(end - begin, NR) * NR * depth) * sizeof(float));
    for_each_sum(areas, dw, begin, end, [](float& sum, float& element) { sum = element; });
  }
  bool resume = accumulate;
  for_each_block(plan, 0, map.rows, [&](const Block& block) {
    copy_source(plan, block, image, rounded, areas.source, areas.strides);
    const int64_t pixels = place_cells(plan, block, y, x, areas.strides, map_strides, areas.places, areas.map_places);
    const float* first =
        map.data + block.image * map.row_stride + block.top * map_strides.row + block.left * map_strides.pixel;
    if (areas.turned) {
      along_rows(plan, areas, first, pixels, depth, rounded, resume, begin, end);
    } else {
      for (int64_t g = begin / group; g * group < end; ++g) {
        along_columns(areas, first, areas.source + g * plan.group_depth, pixels, depth, rounded, resume, dw.data,
                      dw.row_stride, larger(begin, g * group), smaller(end, (g + 1) * group));
      }
    }
    resume = true;
  });
  if (areas.turned) {
    for_each_sum(areas, dw, begin, end, [](float& sum, float& element) { element = sum; });
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
