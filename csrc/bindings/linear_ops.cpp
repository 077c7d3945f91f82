// The matmul ops; aefast/ops.py says what each does.
#include <string>

#include "bindings/arrays.h"
#include "bindings/module.h"
#include "cpu/threaded.h"

namespace aefast::bindings {
namespace {

using cpu::Matrix;
constexpr int kActivations = 9, kLosses = 4;

cpu::Compute compute(bool bfloat16) { return bfloat16 ? cpu::Compute::bfloat16 : cpu::Compute::float32; }

void linear_act(py::object x, py::object w, py::object b, int act, py::object out, py::object pre, bool bfloat16) {
  const Matrix vw = weight_matrix("w", w, kAny, kAny);
  const bool sparse = py::hasattr(x, "indptr");
  const cpu::Source sx = sparse ? source("x", x) : cpu::Source{};
  if (sparse && (sx.cols != vw.cols || sx.dtype != cpu::DType::f32)) {
    throw py::value_error("x must be sparse rows of float32 with " + std::to_string(vw.cols) + " columns, as w has");
  }
  const Matrix vx = sparse ? Matrix{nullptr, sx.rows, sx.cols} : rows_matrix("x", x, kAny, vw.cols);
  const float* vb = floats("b", b, vw.rows);
  const Matrix vout = rows_matrix("out", out, vx.rows, vw.rows, Access::write);
  const Matrix vpre = optional_rows_matrix("pre", pre, vx.rows, vw.rows, Access::write);
  const int row = code("act", act, kActivations);
  py::gil_scoped_release release;
  if (sparse) cpu::threaded::linear_act(sx, vw, vb, row, vout, vpre);
  else cpu::threaded::linear_act(vx, vw, vb, row, vout, vpre, compute(bfloat16));
}

void linear_loss_grad(py::object h, py::object w, py::object b, int act, int loss, py::object target,
                      py::object batch_scale, double scale, py::object feature_weight, py::object row_loss,
                      py::object delta, bool bfloat16) {
  const Matrix vw = weight_matrix("w", w, kAny, kAny);
  const Matrix vh = rows_matrix("h", h, kAny, vw.cols);
  const float* vb = floats("b", b, vw.rows);
  const Matrix vtarget = rows_matrix("target", target, vh.rows, vw.rows);
  const float* vscale = floats("batch_scale", batch_scale, vh.rows);
  const float* vweight = optional_floats("feature_weight", feature_weight, vw.rows);
  float* vloss = floats("row_loss", row_loss, vh.rows, Access::write);
  const Matrix vdelta = rows_matrix("delta", delta, vh.rows, vw.rows, Access::write);
  const int act_row = code("act", act, kActivations), loss_row = code("loss", loss, kLosses);
  py::gil_scoped_release release;
  cpu::threaded::linear_loss_grad(vh, vw, vb, act_row, loss_row, vtarget, vscale, scale, vweight, vloss, vdelta,
                                  compute(bfloat16));
}

void linear_loss(py::object h, py::object w, py::object b, int act, int loss, py::object target,
                 py::object feature_weight, py::object row_loss, bool bfloat16) {
  const Matrix vw = weight_matrix("w", w, kAny, kAny);
  const Matrix vh = rows_matrix("h", h, kAny, vw.cols);
  const float* vb = floats("b", b, vw.rows);
  const Matrix vtarget = rows_matrix("target", target, vh.rows, vw.rows);
  const float* vweight = optional_floats("feature_weight", feature_weight, vw.rows);
  float* vloss = floats("row_loss", row_loss, vh.rows, Access::write);
  const int act_row = code("act", act, kActivations), loss_row = code("loss", loss, kLosses);
  py::gil_scoped_release release;
  cpu::threaded::linear_loss_grad(vh, vw, vb, act_row, loss_row, vtarget, nullptr, 1.0, vweight, vloss, Matrix{},
                                  compute(bfloat16));
}

void linear_dgrad(py::object delta, py::object w, int act, py::object saved, py::object extra, py::object out,
                  bool bfloat16) {
  const Matrix vw = weight_matrix("w", w, kAny, kAny);
  const Matrix vdelta = rows_matrix("delta", delta, kAny, vw.rows);
  const int row = code("act", act, kActivations);
  const Matrix vsaved = optional_rows_matrix("saved", saved, vdelta.rows, vw.cols);
  if (row != 0 && vsaved.data == nullptr) throw py::value_error("saved must not be None unless act is identity (0)");
  const Matrix vextra = optional_rows_matrix("extra", extra, vdelta.rows, vw.cols);
  const Matrix vout = rows_matrix("out", out, vdelta.rows, vw.cols, Access::write);
  py::gil_scoped_release release;
  cpu::threaded::linear_dgrad(vdelta, vw, row, vsaved, vextra, vout, compute(bfloat16));
}

void linear_wgrad(py::object delta, py::object a, py::object dw, py::object db, bool accumulate, py::object partials,
                  bool bfloat16) {
  const Matrix vdelta = rows_matrix("delta", delta, kAny, kAny);
  const Matrix va = rows_matrix("a", a, vdelta.rows, kAny);
  const Matrix vdw = weight_matrix("dw", dw, vdelta.cols, va.cols, Access::write);
  float* vdb = optional_floats("db", db, vdelta.cols, Access::write);
  double* vpartials = optional_doubles("partials", partials, 2, Access::write);
  py::gil_scoped_release release;
  cpu::threaded::linear_wgrad(vdelta, va, vdw, vdb, accumulate, vpartials, compute(bfloat16));
}

void bias_grad(py::object delta, py::object db, py::object partials) {
  const int64_t n = length("db", db);
  const Matrix vdelta = rows_matrix("delta", delta, kAny, kAny);
  if (n < 1 || vdelta.cols % n != 0) {
    throw py::value_error("delta must have a multiple of db's " + std::to_string(n) + " columns, but has " +
                          std::to_string(vdelta.cols));
  }
  float* vdb = floats("db", db, n, Access::write);
  double* vpartials = optional_doubles("partials", partials, 2, Access::write);
  py::gil_scoped_release release;
  cpu::threaded::bias_grad(vdelta, n, vdb, vpartials);
}

}  // namespace

void bind_linear_ops(py::module_& m) {
  using py::arg;
  m.def(
      "linear_act", &linear_act, arg("x"), arg("w"), arg("b"), arg("act"), arg("out"), arg("pre") = py::none(),
      arg("bfloat16") = false,
      "out = act(x w^T + b); pre = x w^T + b. x dense, or sparse rows (then float32). bfloat16: the product's operands "
      "are rounded to it, here and below.");
  m.def("linear_loss_grad", &linear_loss_grad, arg("h"), arg("w"), arg("b"), arg("act"), arg("loss"), arg("target"),
        arg("batch_scale"), arg("scale"), arg("feature_weight"), arg("row_loss"), arg("delta"), arg("bfloat16") = false,
        "row_loss and delta of the last layer in one pass.");
  m.def("linear_loss", &linear_loss, arg("h"), arg("w"), arg("b"), arg("act"), arg("loss"), arg("target"),
        arg("feature_weight"), arg("row_loss"), arg("bfloat16") = false, "row_loss of the last layer.");
  m.def("linear_dgrad", &linear_dgrad, arg("delta"), arg("w"), arg("act"), arg("saved"), arg("extra"), arg("out"),
        arg("bfloat16") = false, "out = (delta w + extra) act'(saved).");
  m.def("linear_wgrad", &linear_wgrad, arg("delta"), arg("a"), arg("dw"), arg("db"), arg("accumulate"), arg("partials"),
        arg("bfloat16") = false,
        "dw (+)= delta^T a; db (+)= column sums of delta; partials = [sum of squares, 1 if not finite].");
  m.def("bias_grad", &bias_grad, arg("delta"), arg("db"), arg("partials"),
        "db (n,) = delta.reshape(-1, n).sum(0), delta (B, pixels n); partials as in linear_wgrad.");
}

}  // namespace aefast::bindings
