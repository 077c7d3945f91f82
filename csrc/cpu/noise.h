// A row's random numbers, NOISE elements at a time: one Philox counter per lane.
#pragma once

#include "common/philox.h"
#include "cpu/kernels.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int NOISE = 4 * W;

AEFAST_INLINE uint32_t noise_row(const NoiseAddress& noise, int64_t b) {
  return uint32_t(noise.rows ? noise.rows[b] : b);
}

// Words of elements [first, first + NOISE), first a multiple of 4: lane l of word i belongs to element first + 4 l + i.
AEFAST_INLINE PhiloxBlock<I> noise_words(const NoiseAddress& noise, uint32_t row, int64_t first) {
  return philox4x32<I>(noise.seed, I(uint32_t(first / 4)) + lane_index(), I(row), I(noise.epoch),
                       I(uint32_t(noise.stream)));
}

// 24 bits as a float, an integer below 2^24.
AEFAST_INLINE F uniform24(I word) { return to_float(shift_right<8>(word)); }

// out[0 .. NOISE) = the integers below 2^24 of the elements from `first`, as floats.
inline void fill_uniform24(const NoiseAddress& noise, uint32_t row, int64_t first, float* out) {
  PhiloxBlock<I> r = noise_words(noise, row, first);
  store_interleaved(out, uniform24(r.word[0]), uniform24(r.word[1]), uniform24(r.word[2]), uniform24(r.word[3]));
}

// out[0 .. NOISE) = standard normals; within 2 ULP of the float64 evaluation rounded to float32.
inline void fill_normal(const NoiseAddress& noise, uint32_t row, int64_t first, float* out) {
  PhiloxBlock<I> r = noise_words(noise, row, first);
  F unit(0x1p-24), n[4];
  for (int i = 0; i < 4; i += 2) {
    box_muller((uniform24(r.word[i]) + F(1.0)) * unit, uniform24(r.word[i + 1]) * unit, n[i], n[i + 1]);
  }
  store_interleaved(out, n[0], n[1], n[2], n[3]);
}

}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS
