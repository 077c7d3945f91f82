// sparsity_penalty: KL of the code's batch mean to a target (kind 0), l1 (1) or l2 (2). Sums over the batch in float64.
// NumPy: kl mean = clip((bs[:, None] * h).sum(0), 1e-6, 1 - 1e-6),
// value = weight * (t ln(t / mean) + (1-t) ln((1-t) / (1-mean))).sum()
// l1 value = weight * (bs * abs(h).sum(1)).sum(); l2 value = weight * (bs * (h**2).sum(1)).sum()
#include <math.h>

#include "common/formulas.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

double mean_divergence(Matrix h, const float* batch_scale, double target, float* mean) {
  for_each_vector(h.cols, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
    D low(0.0), high(0.0);
    for (int64_t b = 0; b < h.rows; ++b) {
      F x = load_lanes(h.data + b * h.row_stride + j, lanes, extent);
      D scale{double(batch_scale[b])};
      low = fma(scale, widen_low(x), low);
      high = fma(scale, widen_high(x), high);
    }
    F bounded = min(F(1.0 - 1e-6), max(F(1e-6), narrow(low, high)));
    store_lanes(mean + j, bounded, lanes, extent);
  });
  double total = 0.0;
  for (int64_t j = 0; j < h.cols; ++j) {
    double m = mean[j];
    if (target > 0.0) total += target * ::log(target / m);
    if (target < 1.0) total += (1.0 - target) * ::log((1.0 - target) / (1.0 - m));
  }
  return total;
}

double mean_norm(Matrix h, const float* batch_scale, bool squared) {
  double total = 0.0;
  for (int64_t b = 0; b < h.rows; ++b) {
    D low(0.0), high(0.0);
    for_each_vector(h.cols, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
      F x = abs(load_lanes(h.data + b * h.row_stride + j, lanes, extent));
      D x0 = widen_low(x), x1 = widen_high(x);
      low = low + (squared ? x0 * x0 : x0);
      high = high + (squared ? x1 * x1 : x1);
    });
    total += double(batch_scale[b]) * (sum_lanes(low) + sum_lanes(high));
  }
  return total;
}

template <class Slope>
AEFAST_INLINE void backward(Matrix h, const float* batch_scale, double weight, Matrix out, int64_t begin, int64_t end,
                            Slope&& slope) {
  for (int64_t b = begin; b < end; ++b) {
    F scale(double(batch_scale[b]) * weight);
    for_each_vector(out.cols, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
      F x = load_lanes(h.data + b * h.row_stride + j, lanes, extent);
      store_lanes(out.data + b * out.row_stride + j, scale * slope(x, j, lanes, extent), lanes, extent);
    });
  }
}

}  // namespace

void sparsity_penalty(Matrix h, const float* batch_scale, int kind, double weight, double target, float* mean,
                      double* value) {
  *value = weight * (kind == 0 ? mean_divergence(h, batch_scale, target, mean) : mean_norm(h, batch_scale, kind == 2));
}

void sparsity_penalty_backward(Matrix h, const float* batch_scale, int kind, double weight, double target,
                               const float* mean, Matrix out, int64_t begin, int64_t end) {
  switch (kind) {
    case 0:
      return backward(h, batch_scale, weight, out, begin, end, [&](F, int64_t j, int lanes, auto extent) {
        F m = load_lanes(mean + j, lanes, extent);
        return F(1.0 - target) / (F(1.0) - m) - F(target) / m;
      });
    case 1:
      return backward(h, batch_scale, weight, out, begin, end, [](F x, int64_t, int, auto) { return sign(x); });
    default:
      return backward(h, batch_scale, weight, out, begin, end, [](F x, int64_t, int, auto) { return x + x; });
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
