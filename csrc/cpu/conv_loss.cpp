// conv_loss_grad: linear_loss_grad with a convolution, or its transpose, for the product. Without delta: the loss
// alone. NumPy: z = conv(h, w) + b; r = act(z); row_loss = (fw * l(r, t)).sum(1); delta = bs[:, None] * scale * fw *
// dl(r, t) * dact(z)
#define AEFAST_PAIRED
#include "common/formulas.h"
#include "cpu/conv.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct LossStrip {
  int act, loss;
  Matrix target;
  const float* batch_scale;
  double scale;
  const float* feature_weight;
  float* row_loss;
  Matrix delta;
  int64_t size;  // features of a row
  F sum;         // of the row, lane by lane: strips come in order, and are the same in any range

  static void run(void* self, int64_t row, int64_t feature, int64_t count, const float* z) {
    LossStrip& strip = *static_cast<LossStrip*>(self);
    F sum = feature == 0 ? F(0.0) : strip.sum;
    const float* t = strip.target.data + row * strip.target.row_stride + feature;
    const float* weights = strip.feature_weight ? strip.feature_weight + feature : nullptr;
    float* d = strip.delta.data ? strip.delta.data + row * strip.delta.row_stride + feature : nullptr;
    const F share = d ? F(double(strip.batch_scale[row]) * strip.scale) : F(0.0);
    visit_loss(strip.loss, strip.act, [&](auto rule) {
      using Rule = decltype(rule);
      for_each_vector(count, [&](int64_t i, int lanes, auto extent) __attribute__((always_inline)) {
        const F weight = weights ? load_lanes(weights + i, lanes, extent) : F(1.0);
        const F value = load_lanes(z + i, lanes, extent), goal = load_lanes(t + i, lanes, extent);
        F loss;
        if (d) {
          F slope;
          Rule::at(value, goal, loss, slope);
          store_lanes(d + i, share * weight * slope, lanes, extent);
        } else {
          loss = Rule::value(value, goal);
        }
        sum = sum + keep_lanes(weight * loss, lanes, extent);
      });
    });
    if (feature + count == strip.size) strip.row_loss[row] = float(sum_lanes(sum));
    else strip.sum = sum;
  }
};

AEFAST_INLINE void loss_grad(const Geometry& geometry, Direction direction, Matrix h, const float* panels,
                             const float* bias, bool rounded, LossStrip strip, float* scratch, int64_t begin,
                             int64_t end) {
  conv_product(geometry, direction, h, panels, bias, rounded, {LossStrip::run, &strip}, scratch, begin, end);
}

}  // namespace

void conv_loss_grad(const Geometry& geometry, Direction direction, Matrix h, const float* panels, const float* bias,
                    int act, int loss, Matrix target, const float* batch_scale, double scale,
                    const float* feature_weight, float* row_loss, Matrix delta, float* scratch, int64_t begin,
                    int64_t end) {
  loss_grad(geometry, direction, h, panels, bias, false,
            {act, loss, target, batch_scale, scale, feature_weight, row_loss, delta, target.cols, F(0.0)}, scratch,
            begin, end);
}

void conv_loss_grad_bfloat16(const Geometry& geometry, Direction direction, Matrix h, const float* panels,
                             const float* bias, int act, int loss, Matrix target, const float* batch_scale,
                             double scale, const float* feature_weight, float* row_loss, Matrix delta, float* scratch,
                             int64_t begin, int64_t end) {
  loss_grad(geometry, direction, h, panels, bias, true,
            {act, loss, target, batch_scale, scale, feature_weight, row_loss, delta, target.cols, F(0.0)}, scratch,
            begin, end);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
