// What linear_act does with finished sums, dense rows or sparse: bias, activation, the pre-activation where it is kept.
// Include it with AEFAST_PAIRED defined.
#pragma once

#include "common/formulas.h"
#include "cpu/linear.h"
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
      using Activation = decltype(activation);
      by_width(columns, [&](auto extent) __attribute__((always_inline)) {
        activate_rows<Activation>(row, rows, column, int(columns), tile, extent);
      });
    });
  }

  template <class Activation, class Extent>
  AEFAST_INLINE void activate_rows(int64_t row, int64_t rows, int64_t column, int lanes, const float* tile, Extent e) {
    const F offset = load_lanes(bias + column, lanes, e);
    float* h = out.data + row * out.row_stride + column;
    float* z = pre.data ? pre.data + row * pre.row_stride + column : nullptr;
    const int64_t h_stride = out.row_stride, z_stride = pre.row_stride;
    for (int64_t i = 0; i < rows; ++i, h += h_stride, tile += NR) {
      const F value = load(tile) + offset;
      if (z) store_lanes(z + i * z_stride, value, lanes, e);
      store_lanes(h, Activation::value(value), lanes, e);
    }
  }
};

}  // namespace
}  // namespace aefast::cpu::AEFAST_ISA_NS
