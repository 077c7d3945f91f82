// conv_act: linear_act with a convolution, or its transpose, for the product; a bias for each channel.
// NumPy: pre = conv(x, w) + b; out = act(pre)
#define AEFAST_PAIRED
#include "common/formulas.h"
#include "cpu/conv.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct ActivationStrip {
  int act;
  Matrix out, pre;

  static void run(void* self, int64_t row, int64_t feature, int64_t count, const float* z) {
    const ActivationStrip& strip = *static_cast<const ActivationStrip*>(self);
    float* h = strip.out.data + row * strip.out.row_stride + feature;
    float* kept = strip.pre.data ? strip.pre.data + row * strip.pre.row_stride + feature : nullptr;
    visit_activation(strip.act, [&](auto activation) {
      for_each_vector(count, [&](int64_t i, int lanes, auto extent) __attribute__((always_inline)) {
        const F value = load_lanes(z + i, lanes, extent);
        if (kept) store_lanes(kept + i, value, lanes, extent);
        store_lanes(h + i, activation.value(value), lanes, extent);
      });
    });
  }
};

AEFAST_INLINE void act(const Geometry& geometry, Direction direction, Matrix x, const float* panels, const float* bias,
                       bool rounded, ActivationStrip strip, float* scratch, int64_t begin, int64_t end) {
  conv_product(geometry, direction, x, panels, bias, rounded, {ActivationStrip::run, &strip}, scratch, begin, end);
}

}  // namespace

void conv_act(const Geometry& geometry, Direction direction, Matrix x, const float* panels, const float* bias, int code,
              Matrix out, Matrix pre, float* scratch, int64_t begin, int64_t end) {
  act(geometry, direction, x, panels, bias, false, {code, out, pre}, scratch, begin, end);
}

void conv_act_bfloat16(const Geometry& geometry, Direction direction, Matrix x, const float* panels, const float* bias,
                       int code, Matrix out, Matrix pre, float* scratch, int64_t begin, int64_t end) {
  act(geometry, direction, x, panels, bias, true, {code, out, pre}, scratch, begin, end);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
