// corrupt: the denoising model's input noise, addressed by (element, data row, epoch, stream); no mask is stored.
// NumPy: gaussian x + level * n; masking where(u < level, 0, x);
// salt_and_pepper where(u < level / 2, low, where(u < level, high, x))
#include "cpu/linear.h"
#include "cpu/noise.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct Gaussian {
  static constexpr bool normal = true;
  F level;
  AEFAST_INLINE F operator()(F x, F n) const { return x + level * n; }
};

struct Masking {
  static constexpr bool normal = false;
  F threshold;
  AEFAST_INLINE F operator()(F x, F u) const { return select(u < threshold, F(0.0), x); }
};

struct SaltAndPepper {
  static constexpr bool normal = false;
  F low_threshold, threshold, low, high;
  AEFAST_INLINE F operator()(F x, F u) const { return select(u < low_threshold, low, select(u < threshold, high, x)); }
};

template <class Rule>
void corrupt_rows(Matrix x, const NoiseAddress& noise, Matrix out, int64_t begin, int64_t end, Rule rule) {
  float random[NOISE];
  for (int64_t b = begin; b < end; ++b) {
    uint32_t row = noise_row(noise, b);
    for (int64_t first = 0; first < out.cols; first += NOISE) {
      if (Rule::normal) {
        fill_normal(noise, row, first, random);
      } else {
        fill_uniform24(noise, row, first, random);
      }
      const float* from = x.data + b * x.row_stride + first;
      float* to = out.data + b * out.row_stride + first;
      int64_t count = out.cols - first < NOISE ? out.cols - first : NOISE;
      for_each_vector(count, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
        store_lanes(to + j, rule(load_lanes(from + j, lanes, extent), load(random + j)), lanes, extent);
      });
    }
  }
}

}  // namespace

void corrupt(Matrix x, int kind, double level, double low, double high, NoiseAddress noise, Matrix out, int64_t begin,
             int64_t end) {
  F threshold(double(uint32_t(level * 16777216.0)));
  switch (kind) {
    case 1:
      return corrupt_rows(x, noise, out, begin, end, Masking{threshold});
    case 2: {
      F low_threshold(double(uint32_t(level * 8388608.0)));
      return corrupt_rows(x, noise, out, begin, end, SaltAndPepper{low_threshold, threshold, F(low), F(high)});
    }
    default:
      return corrupt_rows(x, noise, out, begin, end, Gaussian{F(level)});
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
