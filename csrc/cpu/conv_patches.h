// The operands of conv_wgrad, packed.
#pragma once

#include "cpu/bfloat16.h"
#include "cpu/conv.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// `columns` channels of the block's map pixels: strips [pixel][NR], zero padded. A pixel's channels at once: reads are
// streams then.
void pack_map(const float* map, const int64_t* places, int64_t pixels, int64_t columns, bool rounded, float* strips) {
  const int64_t whole = columns / NR * NR, size = pixels * NR;
  for (int64_t p = 0; p < pixels; ++p, strips += NR) {
    const float* from = map + places[p];
    float* to = strips;
    for (int64_t c = 0; c < whole; c += NR, to += size) {
      AEFAST_UNROLL for (int v = 0; v < NV; ++v) store(to + v * W, load(from + c + v * W));
    }
    for (int64_t v = 0; v < NR && whole < columns; v += W)
      store(to + v, load_some(from + whole + v, columns - whole - v));
  }
  if (rounded) round_to_bfloat16(strips - size, ceil_div(columns, NR) * size);
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

}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS
