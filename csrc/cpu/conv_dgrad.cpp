// conv_dgrad: the delta of the layer before; `direction` is the product's own.
// NumPy: out = (conv(delta, w) + extra) * dact(saved)
#define AEFAST_PAIRED
#include "common/formulas.h"
#include "cpu/conv.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct SlopeStrip {
  int act;
  Matrix saved, extra, out;

  static void run(void* self, int64_t row, int64_t feature, int64_t count, const float* z) {
    const SlopeStrip& strip = *static_cast<const SlopeStrip*>(self);
    auto at = [&](const Matrix& m) { return m.data + row * m.row_stride + feature; };
    float* d = at(strip.out);
    // The identity's slope ignores what was saved, maybe nothing.
    const float* s = at(strip.saved.data ? strip.saved : strip.out);
    const float* more = strip.extra.data ? at(strip.extra) : nullptr;
    visit_activation(strip.saved.data ? strip.act : 0, [&](auto activation) {
      for_each_vector(count, [&](int64_t i, int lanes, auto extent) __attribute__((always_inline)) {
        F sum = load_lanes(z + i, lanes, extent);
        if (more) sum = sum + load_lanes(more + i, lanes, extent);
        store_lanes(d + i, sum * activation.derivative(load_lanes(s + i, lanes, extent)), lanes, extent);
      });
    });
  }
};

AEFAST_INLINE void dgrad(const Geometry& geometry, Direction direction, Matrix delta, const float* panels, bool rounded,
                         SlopeStrip strip, float* scratch, int64_t begin, int64_t end) {
  conv_product(geometry, direction, delta, panels, nullptr, rounded, {SlopeStrip::run, &strip}, scratch, begin, end);
}

}  // namespace

void conv_dgrad(const Geometry& geometry, Direction direction, Matrix delta, const float* panels, int act, Matrix saved,
                Matrix extra, Matrix out, float* scratch, int64_t begin, int64_t end) {
  dgrad(geometry, direction, delta, panels, false, {act, saved, extra, out}, scratch, begin, end);
}

void conv_dgrad_bfloat16(const Geometry& geometry, Direction direction, Matrix delta, const float* panels, int act,
                         Matrix saved, Matrix extra, Matrix out, float* scratch, int64_t begin, int64_t end) {
  dgrad(geometry, direction, delta, panels, true, {act, saved, extra, out}, scratch, begin, end);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
