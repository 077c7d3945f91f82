// Products of few destination channels, with lanes along neighbouring pixels. See conv.h.
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t PLANES = 4 * 1024;  // floats that a tile reads of a block of channels, about

// k of a block of planes: so few channels that what a tile reads of them stays in L1 while tiles beside it and
// destination channels pass. The same on every set.
int64_t plane_part(const Plan& plan, const Phase& y, const Phase& x) {
  const int64_t taps = larger(1, y.taps * x.taps), read = 8 * window(plan.x, plan.cols);
  return even_part(plan.group_depth, larger(1, smaller(KC / taps, PLANES / read))) * taps;
}

__attribute__((noinline)) void spread(const float* from, int64_t n, float offset, float* to, int64_t apart) {
  for (int64_t j = 0; j < n; ++j) to[j * apart] = from[j] + offset;
}

}  // namespace

void multiply_planes(const Plan& plan, const Planes& planes, int64_t tall, int64_t wide, const int64_t* at,
                     const int64_t* steps, const Phase& y, const Phase& x, const float* panels, const float* bias) {
  const int64_t depth = depth_of(plan, y, x), part = plane_part(plan, y, x), row = planes.row;
  const int64_t flat = (tall - 1) * row + wide, across = ceil_div(wide, NR);
  const bool by_rows = y.taps > 1 && y.taps <= ROW_TAPS && y.spacing == 1 && across * NR * tall * 3 <= flat * 4;
  const int64_t line = by_rows ? across * NR : row, lines = by_rows ? tall : ceil_div(flat, NR);
  const int64_t apart = sums_plane(plan, row);
  Tiles tiles(lines, by_rows ? row_tile(int(y.taps)) : MR);
  for (int64_t i = 0; i < lines;) {
    const int64_t height = tiles.next();
    int64_t k = 0;
    do {
      const int64_t count = smaller(part, depth - k);
      for (int64_t c = 0; c < plan.dest_channels; ++c) {
        const float* b = panels + c * depth + k;
        float* sums = planes.sums + c * apart;
        if (by_rows) {
          for (int64_t j = 0; j < line; j += NR) {
            conv_rows_of[y.taps][height](planes.source + i * row + j, row, steps + k, count / y.taps, b,
                                         sums + i * line + j, line, k > 0);
          }
        } else {
          conv_pixels[height](planes.source + i * NR, tile_rows, steps + k, count, b, sums + i * NR, tile_rows, nullptr,
                              k > 0);
        }
      }
      k += count;
    } while (k < depth);
    i += height;
  }
  for (int64_t c = 0; c < plan.dest_channels; ++c) {
    for (int64_t i = 0; i < tall; ++i) {
      spread(planes.sums + c * apart + i * line, wide, bias ? bias[c] : 0.0f, planes.strip + at[i * wide] + c,
             plan.x.dest_step * plan.dest_channels);
    }
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
