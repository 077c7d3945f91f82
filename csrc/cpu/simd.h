// The vector vocabulary of the kernels, one implementation per instruction set:
//   F, I, M, D         floats, 32-bit integers, lane masks, doubles (W / 2 of them); W lanes
//   load, store        unaligned; with a count n in [0, W] only n elements of memory are touched, missing lanes read 0
//   fma(a,b,c)         a b + c, fnma c - a b: fused where has_fma, else two roundings. Never left to the optimiser.
//   max, min           (bound, x): a NaN in x passes through
//   round_to_int       nearest even, for |x| < 2^22
//   multiply_wide, store_interleaved, load_transposed    what Philox and packing need
// A file that defines AEFAST_PAIRED first works on two registers at a time: transcendental functions are chains of
// dependent operations, and two chains side by side keep the units busy (Zen 3, `activate`: 1.25 to 1.35x; the BCE
// epilogue gains little). Everything is always inlined into functions of this instruction set's namespace.
#pragma once

#include "cpu/isa.h"

#if defined(AEFAST_SIMDE)
#include "cpu/simd_simde.h"
#elif defined(__x86_64__) || defined(_M_X64)
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC bug 105593: false alarms inside the AVX-512 header
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

#if defined(AEFAST_PAIRED)
namespace half {
#endif
#if defined(AEFAST_ISA_avx512) || defined(AEFAST_ISA_avx512bf16)
#include "cpu/simd_avx512.h"
#elif defined(AEFAST_ISA_avx512_emulated)
namespace half {
#include "cpu/simd_avx2.h"
}
#include "cpu/simd_pair.h"
#elif defined(AEFAST_ISA_avx2)
#include "cpu/simd_avx2.h"
#else
#include "cpu/simd_generic.h"
#endif
#if defined(AEFAST_PAIRED)
}
#include "cpu/simd_pair.h"
constexpr int native_width = half::W;
#else
constexpr int native_width = W;
#endif

// Sums over lanes, always in lane order.
AEFAST_INLINE double sum_lanes(F x) {
  float lanes[W];
  store(lanes, x);
  double total = 0.0;
  for (int l = 0; l < W; ++l) total += lanes[l];
  return total;
}

AEFAST_INLINE double sum_lanes(D x) {
  double lanes[W / 2], total = 0.0;
  store(lanes, x);
  for (int l = 0; l < W / 2; ++l) total += lanes[l];
  return total;
}

}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS
