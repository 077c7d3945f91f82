// linear_loss_grad and linear_loss: the decoder's last layer with its loss. The reconstruction lives in the tile only.
// NumPy: z = h @ w.T + b; r = act(z); row_loss = (fw * l(r, t)).sum(1); delta = bs[:, None] * scale * fw * dl(r, t) *
// dact(z)
#define AEFAST_PAIRED
#include "common/formulas.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct LossEpilogue {
  const float* bias;
  int act, loss;
  Matrix target;
  const float* batch_scale;
  double scale;
  const float* feature_weight;
  float* row_loss;
  Matrix delta;
  F sums[MC];  // a row's loss, lane by lane over the panels in order: the same additions in any range

  void start(int64_t, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) sums[i] = F(0.0);
  }

  void finish(int64_t row, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) row_loss[row + i] = float(sum_lanes(sums[i]));
  }

  void prefetch(int64_t row, int64_t rows, int64_t column) {
    prefetch_rows(target, row, rows, column);
    if (delta.data) prefetch_rows(delta, row, rows, column);
  }

  void panel(int64_t row, int64_t rows, int64_t column, int64_t columns, const float* tile) {
    visit_loss(loss, act, [&](auto rule) {
      using Rule = decltype(rule);
      by_width(columns, [&](auto extent) __attribute__((always_inline)) {
        if (delta.data) with_slopes<Rule>(row, rows, column, int(columns), tile, extent);
        else values<Rule>(row, rows, column, int(columns), tile, extent);
      });
    });
  }

  template <class Rule, class Extent>
  AEFAST_INLINE void with_slopes(int64_t row, int64_t rows, int64_t column, int lanes, const float* tile, Extent e) {
    const F offset = load_lanes(bias + column, lanes, e), weight = weights(column, lanes, e);
    const float *t = target.data + row * target.row_stride + column, *share = batch_scale + row;
    float* d = delta.data + row * delta.row_stride + column;
    const int64_t t_stride = target.row_stride, d_stride = delta.row_stride;
    const double unit = scale;
    for (int64_t i = 0; i < rows; ++i, t += t_stride, d += d_stride, tile += NR) {
      F value, slope;
      __builtin_prefetch(t + 8 * t_stride);
      __builtin_prefetch(d + 8 * d_stride, 1);
      Rule::at(load(tile) + offset, load_lanes(t, lanes, e), value, slope);
      store_lanes(d, F(double(share[i]) * unit) * weight * slope, lanes, e);
      sums[i] = sums[i] + keep_lanes(weight * value, lanes, e);
    }
  }

  template <class Rule, class Extent>
  AEFAST_INLINE void values(int64_t row, int64_t rows, int64_t column, int lanes, const float* tile, Extent e) {
    const F offset = load_lanes(bias + column, lanes, e), weight = weights(column, lanes, e);
    const float* t = target.data + row * target.row_stride + column;
    const int64_t t_stride = target.row_stride;
    for (int64_t i = 0; i < rows; ++i, t += t_stride, tile += NR) {
      const F value = Rule::value(load(tile) + offset, load_lanes(t, lanes, e));
      sums[i] = sums[i] + keep_lanes(weight * value, lanes, e);
    }
  }

  template <class Extent>
  AEFAST_INLINE F weights(int64_t column, int lanes, Extent e) const {
    return feature_weight ? load_lanes(feature_weight + column, lanes, e) : F(1.0);
  }
};

}  // namespace

void AEFAST_PRODUCT(linear_loss_grad)(Matrix h, const float* panels, const float* bias, int act, int loss,
                                      Matrix target, const float* batch_scale, double scale,
                                      const float* feature_weight, float* row_loss, Matrix delta, int64_t begin,
                                      int64_t end) {
  LossEpilogue epilogue{bias, act, loss, target, batch_scale, scale, feature_weight, row_loss, delta, {}};
  AEFAST_PRODUCT(multiply_panels)(h, panels, target.cols, begin, end, epilogue);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
