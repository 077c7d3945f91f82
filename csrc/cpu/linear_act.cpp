// linear_act: out = act(x W^T + b), the pre-activation kept where its slope needs it.
// NumPy: pre = x @ w.T + b; out = act(pre)
#define AEFAST_PAIRED
#include "cpu/activation_epilogue.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {

void AEFAST_PRODUCT(linear_act)(Matrix x, const float* panels, const float* bias, int act, Matrix out, Matrix pre,
                                int64_t begin, int64_t end) {
  ActivationEpilogue epilogue{bias, act, out, pre};
  AEFAST_PRODUCT(multiply_panels)(x, panels, out.cols, begin, end, epilogue);
}

#if !defined(AEFAST_BFLOAT16)
void activate(int act, const float* z, float* out, int64_t n) {
  visit_activation(act, [&](auto activation) {
    for_each_vector(n, [&](int64_t i, int lanes, auto extent) __attribute__((always_inline)) {
      store_lanes(out + i, activation.value(load_lanes(z + i, lanes, extent)), lanes, extent);
    });
  });
}
#endif

}  // namespace aefast::cpu::AEFAST_ISA_NS
