// The image ops; aefast/ops says what each does. A `geometry` is an aefast.geometry.Geometry.
#include <string>

#include "bindings/arrays.h"
#include "bindings/module.h"
#include "cpu/geometry.h"
#include "cpu/threaded_conv.h"

namespace aefast::bindings {
namespace {

using cpu::Direction;
using cpu::Geometry;
using cpu::Matrix;
constexpr int kActivations = 9, kLosses = 4, kPools = 2;
constexpr auto forward = Direction::forward, transposed = Direction::transposed;

cpu::Compute compute(bool bfloat16) { return bfloat16 ? cpu::Compute::bfloat16 : cpu::Compute::float32; }

Geometry conv_geometry(py::handle object) {
  const Geometry g = geometry("geometry", object);
  cpu::check(g);
  return g;
}

Matrix conv_weight(const char* name, py::handle array, const Geometry& g, Access access = Access::read) {
  return rows_matrix(name, array, g.out_channels, cpu::weight_columns(g), access);
}

Direction reversed(Direction d) { return d == forward ? transposed : forward; }

template <Direction direction>
void conv_act(py::object x, py::object w, py::object b, int act, py::object out, py::object pre, py::object geometry,
              bool bfloat16) {
  const Geometry g = conv_geometry(geometry);
  const Matrix vx = rows_matrix("x", x, kAny, source(g, direction).size), vw = conv_weight("w", w, g);
  const float* vb = floats("b", b, target(g, direction).channels);
  const Matrix vout = rows_matrix("out", out, vx.rows, target(g, direction).size, Access::write);
  const Matrix vpre = optional_rows_matrix("pre", pre, vx.rows, vout.cols, Access::write);
  const int row = code("act", act, kActivations);
  py::gil_scoped_release release;
  cpu::threaded::conv_act(g, direction, vx, vw, vb, row, vout, vpre, compute(bfloat16));
}

template <Direction direction>
void conv_loss_grad(py::object h, py::object w, py::object b, int act, int loss, py::object target,
                    py::object batch_scale, double scale, py::object feature_weight, py::object row_loss,
                    py::object delta, py::object geometry, bool bfloat16) {
  const Geometry g = conv_geometry(geometry);
  const auto [cols, channels] = cpu::target(g, direction);
  const Matrix vh = rows_matrix("h", h, kAny, source(g, direction).size), vw = conv_weight("w", w, g);
  const float* vb = floats("b", b, channels);
  const Matrix vtarget = rows_matrix("target", target, vh.rows, cols);
  const float* vscale = floats("batch_scale", batch_scale, vh.rows);
  const float* vweight = optional_floats("feature_weight", feature_weight, cols);
  float* vloss = floats("row_loss", row_loss, vh.rows, Access::write);
  const Matrix vdelta = rows_matrix("delta", delta, vh.rows, cols, Access::write);
  const int act_row = code("act", act, kActivations), loss_row = code("loss", loss, kLosses);
  py::gil_scoped_release release;
  cpu::threaded::conv_loss_grad(g, direction, vh, vw, vb, act_row, loss_row, vtarget, vscale, scale, vweight, vloss,
                                vdelta, compute(bfloat16));
}

template <Direction direction>
void conv_loss(py::object h, py::object w, py::object b, int act, int loss, py::object target,
               py::object feature_weight, py::object row_loss, py::object geometry, bool bfloat16) {
  const Geometry g = conv_geometry(geometry);
  const auto [cols, channels] = cpu::target(g, direction);
  const Matrix vh = rows_matrix("h", h, kAny, source(g, direction).size), vw = conv_weight("w", w, g);
  const float* vb = floats("b", b, channels);
  const Matrix vtarget = rows_matrix("target", target, vh.rows, cols);
  const float* vweight = optional_floats("feature_weight", feature_weight, cols);
  float* vloss = floats("row_loss", row_loss, vh.rows, Access::write);
  const int act_row = code("act", act, kActivations), loss_row = code("loss", loss, kLosses);
  py::gil_scoped_release release;
  cpu::threaded::conv_loss_grad(g, direction, vh, vw, vb, act_row, loss_row, vtarget, nullptr, 1.0, vweight, vloss,
                                Matrix{}, compute(bfloat16));
}

// The rows that a gradient by the input needs beside its product.
struct Slope {
  int act;
  Matrix saved, extra, out;
};
Slope slope(int act, py::handle saved, py::handle extra, py::handle out, int64_t rows, int64_t cols) {
  const int row = code("act", act, kActivations);
  const Matrix vsaved = optional_rows_matrix("saved", saved, rows, cols);
  if (row != 0 && vsaved.data == nullptr) throw py::value_error("saved must not be None unless act is identity (0)");
  return {row, vsaved, optional_rows_matrix("extra", extra, rows, cols),
          rows_matrix("out", out, rows, cols, Access::write)};
}

// `direction` of the op whose gradient it is.
template <Direction direction>
void conv_dgrad(py::object delta, py::object w, int act, py::object saved, py::object extra, py::object out,
                py::object geometry, bool bfloat16) {
  const Geometry g = conv_geometry(geometry);
  const Matrix vdelta = rows_matrix("delta", delta, kAny, target(g, direction).size), vw = conv_weight("w", w, g);
  const Slope s = slope(act, saved, extra, out, vdelta.rows, source(g, direction).size);
  py::gil_scoped_release release;
  cpu::threaded::conv_dgrad(g, reversed(direction), vdelta, vw, s.act, s.saved, s.extra, s.out, compute(bfloat16));
}

template <Direction direction>
void conv_wgrad(py::object delta, py::object a, py::object dw, bool accumulate, py::object partials,
                py::object geometry, bool bfloat16) {
  const Geometry g = conv_geometry(geometry);
  const Matrix vdelta = rows_matrix("delta", delta, kAny, target(g, direction).size);
  const Matrix va = rows_matrix("a", a, vdelta.rows, source(g, direction).size);
  const Matrix vdw = conv_weight("dw", dw, g, Access::write);
  double* vpartials = optional_doubles("partials", partials, 2, Access::write);
  const bool to_map = direction == forward;
  py::gil_scoped_release release;
  cpu::threaded::conv_wgrad(g, to_map ? vdelta : va, to_map ? va : vdelta, vdw, accumulate, vpartials,
                            compute(bfloat16));
}

void pool2d(py::object x, int kind, py::object out, py::object geometry) {
  const Geometry g = bindings::geometry("geometry", geometry);
  cpu::check_pool(g);
  const Matrix vx = rows_matrix("x", x, kAny, image_size(g));
  const Matrix vout = rows_matrix("out", out, vx.rows, map_size(g), Access::write);
  const int row = code("kind", kind, kPools);
  py::gil_scoped_release release;
  cpu::threaded::pool(g, vx, row, vout);
}

void pool2d_dgrad(py::object delta, py::object x, int kind, int act, py::object saved, py::object extra, py::object out,
                  py::object geometry) {
  const Geometry g = bindings::geometry("geometry", geometry);
  cpu::check_pool(g);
  const Matrix vdelta = rows_matrix("delta", delta, kAny, map_size(g));
  const Matrix vx = rows_matrix("x", x, vdelta.rows, image_size(g));
  const int row = code("kind", kind, kPools);
  const Slope s = slope(act, saved, extra, out, vdelta.rows, vx.cols);
  py::gil_scoped_release release;
  cpu::threaded::pool_dgrad(g, vdelta, vx, row, s.act, s.saved, s.extra, s.out);
}

void upsample2d(py::object x, py::object out, py::object geometry) {
  const Geometry g = bindings::geometry("geometry", geometry);
  cpu::check_upsample(g);
  const Matrix vx = rows_matrix("x", x, kAny, map_size(g));
  const Matrix vout = rows_matrix("out", out, vx.rows, image_size(g), Access::write);
  py::gil_scoped_release release;
  cpu::threaded::upsample(g, vx, vout);
}

void upsample2d_dgrad(py::object delta, int act, py::object saved, py::object extra, py::object out,
                      py::object geometry) {
  const Geometry g = bindings::geometry("geometry", geometry);
  cpu::check_upsample(g);
  const Matrix vdelta = rows_matrix("delta", delta, kAny, image_size(g));
  const Slope s = slope(act, saved, extra, out, vdelta.rows, map_size(g));
  py::gil_scoped_release release;
  cpu::threaded::upsample_dgrad(g, vdelta, s.act, s.saved, s.extra, s.out);
}

void transpose_rows(py::object x, int64_t n, py::object out) {
  const Matrix vx = rows_matrix("x", x, kAny, kAny);
  if (n < 1 || vx.cols % n != 0) {
    throw py::value_error("n must divide x's " + std::to_string(vx.cols) + " columns, but is " + std::to_string(n));
  }
  const Matrix vout = rows_matrix("out", out, vx.rows, vx.cols, Access::write);
  py::gil_scoped_release release;
  cpu::threaded::transpose_rows(vx, n, vout);
}

template <Direction direction>
void bind_products(py::module_& m, const std::string& prefix) {
  using py::arg;
  m.def((prefix + "_act").c_str(), &conv_act<direction>, arg("x"), arg("w"), arg("b"), arg("act"), arg("out"),
        arg("pre"), arg("geometry"), arg("bfloat16") = false,
        "out = act(z), pre = z: the convolution (or transposed convolution) of x and w, and a bias per channel. Rows "
        "hold images channels last, w is (out_channels, kernel_height kernel_width channels / groups).");
  m.def((prefix + "_loss_grad").c_str(), &conv_loss_grad<direction>, arg("h"), arg("w"), arg("b"), arg("act"),
        arg("loss"), arg("target"), arg("batch_scale"), arg("scale"), arg("feature_weight"), arg("row_loss"),
        arg("delta"), arg("geometry"), arg("bfloat16") = false, "row_loss and delta of the last layer in one pass.");
  m.def((prefix + "_loss").c_str(), &conv_loss<direction>, arg("h"), arg("w"), arg("b"), arg("act"), arg("loss"),
        arg("target"), arg("feature_weight"), arg("row_loss"), arg("geometry"), arg("bfloat16") = false,
        "row_loss of the last layer.");
  m.def((prefix + "_dgrad").c_str(), &conv_dgrad<direction>, arg("delta"), arg("w"), arg("act"), arg("saved"),
        arg("extra"), arg("out"), arg("geometry"), arg("bfloat16") = false,
        "out = (the gradient by the input + extra) act'(saved).");
  m.def((prefix + "_wgrad").c_str(), &conv_wgrad<direction>, arg("delta"), arg("a"), arg("dw"), arg("accumulate"),
        arg("partials"), arg("geometry"), arg("bfloat16") = false,
        "dw (+)= the gradient by the weight; partials = [sum of squares, 1 if not finite].");
}

}  // namespace

void bind_conv_ops(py::module_& m) {
  using py::arg;
  bind_products<forward>(m, "conv2d");
  bind_products<transposed>(m, "conv_transpose2d");
  m.def("pool2d", &pool2d, arg("x"), arg("kind"), arg("out"), arg("geometry"),
        "out = the largest (kind 0) or the mean (1) of the image's pixels in each window.");
  m.def("pool2d_dgrad", &pool2d_dgrad, arg("delta"), arg("x"), arg("kind"), arg("act"), arg("saved"), arg("extra"),
        arg("out"), arg("geometry"),
        "out = (the gradient by x + extra) act'(saved); the first of the largest gets it.");
  m.def("upsample2d", &upsample2d, arg("x"), arg("out"), arg("geometry"),
        "image[y, x] = map[y // stride_y, x // stride_x].");
  m.def("upsample2d_dgrad", &upsample2d_dgrad, arg("delta"), arg("act"), arg("saved"), arg("extra"), arg("out"),
        arg("geometry"), "out = (sums of delta's blocks + extra) act'(saved).");
  m.def("transpose_rows", &transpose_rows, arg("x"), arg("n"), arg("out"),
        "Each row, a matrix (n, cols / n), transposed.");
}

}  // namespace aefast::bindings
