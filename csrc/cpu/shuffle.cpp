// shuffle: places [begin, end) of a keyed permutation, W at a time.
// NumPy: aefast/random.py, permutation
#define AEFAST_PAIRED
#include "common/philox.h"
#include "cpu/ops.h"
#include "cpu/simd.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// Numbers on their way through the network, and the places that they will fill. What lands beyond n stays for another
// pass, beside new ones.
struct Walk {
  const Shuffle& s;
  int64_t* out;
  uint64_t value[W];
  int64_t place[W];
  int count = 0;

  AEFAST_INLINE void add(uint64_t number, int64_t at) {
    value[count] = number;
    place[count++] = at;
  }

  AEFAST_INLINE void pass() {
    alignas(64) float high_lanes[W] = {}, low_lanes[W] = {};
    for (int l = 0; l < count; ++l) {
      const uint32_t high = uint32_t(value[l] >> s.low_bits), low = uint32_t(value[l]) & s.low_mask;
      __builtin_memcpy(high_lanes + l, &high, sizeof high);
      __builtin_memcpy(low_lanes + l, &low, sizeof low);
    }
    I high = as_int(load(high_lanes)), low = as_int(load(low_lanes));
    shuffle_pass(s, high, low);
    store(high_lanes, as_float(high));
    store(low_lanes, as_float(low));
    int left = 0;
    for (int l = 0; l < count; ++l) {
      uint32_t upper, lower;
      __builtin_memcpy(&upper, high_lanes + l, sizeof upper);
      __builtin_memcpy(&lower, low_lanes + l, sizeof lower);
      const uint64_t number = uint64_t(upper) << s.low_bits | lower;
      const int64_t at = place[l];
      // Without a branch, which nobody could guess: a place may be written more than once, the last time rightly.
      out[at] = int64_t(number);
      value[left] = number;
      place[left] = at;
      left += number >= s.n;
    }
    count = left;
  }
};

}  // namespace

void shuffle(const Shuffle& s, int64_t* out, int64_t begin, int64_t end) {
  Walk walk{s, out, {}, {}};
  for (int64_t i = begin; i < end; ++i) {
    walk.add(uint64_t(i), i);
    while (walk.count == W) walk.pass();
  }
  while (walk.count > 0) walk.pass();
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
