// linear_act: out = act(x W^T + b), the pre-activation kept where its slope needs it.
// NumPy: pre = x @ w.T + b; out = act(pre)
#define AEFAST_PAIRED
#include "common/formulas.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct ActivationEpilogue {
  const float* bias;
  int act;
  Matrix out, pre;

  void start(int64_t, int64_t) {}
  void finish(int64_t, int64_t) {}

  void prefetch(int64_t row, int64_t rows, int64_t column) { prefetch_rows(out, row, rows, column); }

  void panel(int64_t row, int64_t rows, int64_t column, int64_t columns, const float* tile) {
    visit_activation(act, [&](auto activation) {
      for (int64_t i = 0; i < rows; ++i, tile += NR) {
        float* h = out.data + (row + i) * out.row_stride + column;
        float* z = pre.data ? pre.data + (row + i) * pre.row_stride + column : nullptr;
        for_each_vector(columns, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
          F value = load(tile + j) + load_lanes(bias + column + j, lanes, extent);
          if (z) store_lanes(z + j, value, lanes, extent);
          store_lanes(h + j, activation.value(value), lanes, extent);
        });
      }
    });
  }
};

}  // namespace

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
