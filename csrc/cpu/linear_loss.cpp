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
      for (int64_t i = 0; i < rows; ++i, tile += NR) {
        const float* t = target.data + (row + i) * target.row_stride + column;
        float* d = delta.data ? delta.data + (row + i) * delta.row_stride + column : nullptr;
        F factor(d ? double(batch_scale[row + i]) * scale : 0.0);
        F sum = sums[i];
        for_each_vector(columns, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
          F z = load(tile + j) + load_lanes(bias + column + j, lanes, extent);
          F goal = load_lanes(t + j, lanes, extent);
          F weight = feature_weight ? load_lanes(feature_weight + column + j, lanes, extent) : F(1.0);
          F value;
          if (d) {
            F slope;
            rule.at(z, goal, value, slope);
            store_lanes(d + j, factor * weight * slope, lanes, extent);
          } else {
            value = rule.value(z, goal);
          }
          sum = sum + keep_lanes(weight * value, lanes, extent);
        });
        sums[i] = sum;
      }
    });
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
