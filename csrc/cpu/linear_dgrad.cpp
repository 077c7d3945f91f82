// linear_dgrad: the delta of the layer before. `panels` are those of W transposed.
// NumPy: out = (delta @ w + extra) * dact(saved)
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
      for (int64_t i = 0; i < rows; ++i, tile += NR) {
        float* d = out.data + (row + i) * out.row_stride + column;
        const float* s = saved.data ? saved.data + (row + i) * saved.row_stride + column : tile;  // identity ignores it
        const float* e = extra.data ? extra.data + (row + i) * extra.row_stride + column : nullptr;
        for_each_vector(columns, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
          F sum = load(tile + j);
          if (e) sum = sum + load_lanes(e + j, lanes, extent);
          store_lanes(d + j, sum * activation.derivative(load_lanes(s + j, lanes, extent)), lanes, extent);
        });
      }
    });
  }
};

}  // namespace

void AEFAST_PRODUCT(linear_dgrad)(Matrix delta, const float* panels_transposed, int act, Matrix saved, Matrix extra,
                                  Matrix out, int64_t begin, int64_t end) {
  SlopeEpilogue epilogue{act, saved, extra, out};
  AEFAST_PRODUCT(multiply_panels)(delta, panels_transposed, out.cols, begin, end, epilogue);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
