// linear_dgrad: the delta of the layer before. `panels` are those of W transposed.
// NumPy: out = (delta @ w + extra) * dact(saved)
#define AEFAST_PAIRED
#include "common/formulas.h"
#include "cpu/linear.h"
#include "cpu/ops.h"
#include "cpu/vmath.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct SlopeEpilogue {
  int act;
  Matrix saved, extra, out;

  void start(int64_t, int64_t) {}
  void finish(int64_t, int64_t) {}

  void prefetch(int64_t row, int64_t rows, int64_t column) {
    prefetch_rows(out, row, rows, column);
    if (saved.data) prefetch_rows(saved, row, rows, column);
    if (extra.data) prefetch_rows(extra, row, rows, column);
  }

  void panel(int64_t row, int64_t rows, int64_t column, int64_t columns, const float* tile) {
    visit_activation(saved.data ? act : 0, [&](auto activation) {
      using Activation = decltype(activation);
      by_width(columns, [&](auto extent) __attribute__((always_inline)) {
        slope_rows<Activation>(row, rows, column, int(columns), tile, extent);
      });
    });
  }

  template <class Activation, class Extent>
  AEFAST_INLINE void slope_rows(int64_t row, int64_t rows, int64_t column, int lanes, const float* tile, Extent e) {
    float* d = out.data + row * out.row_stride + column;
    // The identity's slope ignores what was saved, maybe nothing.
    const Matrix& kept = saved.data ? saved : out;
    const float* s = kept.data + row * kept.row_stride + column;
    const float* more = extra.data ? extra.data + row * extra.row_stride + column : nullptr;
    const int64_t d_stride = out.row_stride, s_stride = kept.row_stride, more_stride = extra.row_stride;
    for (int64_t i = 0; i < rows; ++i, d += d_stride, s += s_stride, tile += NR) {
      F sum = load(tile);
      if (more) sum = sum + load_lanes(more + i * more_stride, lanes, e);
      store_lanes(d, sum * Activation::derivative(load_lanes(s, lanes, e)), lanes, e);
    }
  }
};

}  // namespace

void AEFAST_PRODUCT(linear_dgrad)(Matrix delta, const float* panels_transposed, int act, Matrix saved, Matrix extra,
                                  Matrix out, int64_t begin, int64_t end) {
  SlopeEpilogue epilogue{act, saved, extra, out};
  AEFAST_PRODUCT(multiply_panels)(delta, panels_transposed, out.cols, begin, end, epilogue);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
