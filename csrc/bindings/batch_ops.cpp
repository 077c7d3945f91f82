// The ops without a matmul; aefast/ops.py says what each does.
#include "bindings/arrays.h"
#include "bindings/module.h"
#include "cpu/batch.h"
#include "cpu/dispatch.h"
#include "cpu/threaded.h"

namespace aefast::bindings {
namespace {

using cpu::Matrix;
using cpu::NoiseAddress;
constexpr int kCorruptions = 3, kPenalties = 3, kRules = 7;

void gather(py::object data, py::object index, py::object shift, py::object scale, double factor, py::object out) {
  const cpu::Source from = source("data", data);
  const Matrix to = rows_matrix("out", out, length("index", index), from.cols, Access::write);
  const int64_t* rows = integers("index", index, to.rows);
  const cpu::Scaling how = scaling(shift, scale, factor, from.cols);
  py::gil_scoped_release release;
  cpu::check_index(rows, to.rows, from.rows);
  cpu::threaded::gather(from, rows, how, to);
}

void batch_scale(py::object sample_weight, py::object index, py::object out) {
  const int64_t n = length("index", index);
  const int64_t* rows = integers("index", index, n);
  const double* weights = optional_doubles("sample_weight", sample_weight, kAny);
  float* to = floats("out", out, n, Access::write);
  if (weights != nullptr) cpu::check_index(rows, n, length("sample_weight", sample_weight));
  py::gil_scoped_release release;
  cpu::threaded::batch_scale(weights, rows, n, to);
}

void corrupt(py::object x, int kind, double level, double low, double high, uint64_t seed, uint32_t epoch,
             int64_t stream, py::object rows, py::object out) {
  const Matrix from = rows_matrix("x", x, kAny, kAny);
  const NoiseAddress noise{seed, epoch, stream, integers("rows", rows, from.rows)};
  const Matrix to = rows_matrix("out", out, from.rows, from.cols, Access::write);
  const int row = code("kind", kind, kCorruptions);
  py::gil_scoped_release release;
  cpu::threaded::corrupt(from, row, level, low, high, noise, to);
}

void gaussian_latent(py::object moments, uint64_t seed, uint32_t epoch, int64_t stream, py::object rows, py::object z,
                     py::object kl) {
  const Matrix to = rows_matrix("z", z, kAny, kAny, Access::write);
  const Matrix from = rows_matrix("moments", moments, to.rows, 2 * to.cols);
  const NoiseAddress noise{seed, epoch, stream, integers("rows", rows, to.rows)};
  float* divergence = optional_floats("kl", kl, to.rows, Access::write);
  py::gil_scoped_release release;
  cpu::threaded::gaussian_latent(from, noise, to, divergence);
}

void gaussian_latent_backward(py::object moments, py::object dz, py::object batch_scale, double beta, double free_bits,
                              uint64_t seed, uint32_t epoch, int64_t stream, py::object rows, py::object out) {
  const Matrix gradient = rows_matrix("dz", dz, kAny, kAny);
  const Matrix from = rows_matrix("moments", moments, gradient.rows, 2 * gradient.cols);
  const float* weights = floats("batch_scale", batch_scale, gradient.rows);
  const NoiseAddress noise{seed, epoch, stream, integers("rows", rows, gradient.rows)};
  const Matrix to = rows_matrix("out", out, gradient.rows, 2 * gradient.cols, Access::write);
  py::gil_scoped_release release;
  cpu::threaded::gaussian_latent_backward(from, gradient, weights, beta, free_bits, noise, to);
}

void sparsity_penalty(py::object h, py::object batch_scale, int kind, double weight, double target, py::object mean,
                      py::object value) {
  const Matrix from = rows_matrix("h", h, kAny, kAny);
  const float* weights = floats("batch_scale", batch_scale, from.rows);
  float* means = floats("mean", mean, from.cols, Access::write);
  double* to = doubles("value", value, 1, Access::write);
  const int row = code("kind", kind, kPenalties);
  py::gil_scoped_release release;
  cpu::kernels().sparsity_penalty(from, weights, row, weight, target, means, to);
}

void sparsity_penalty_backward(py::object h, py::object batch_scale, int kind, double weight, double target,
                               py::object mean, py::object out) {
  const Matrix from = rows_matrix("h", h, kAny, kAny);
  const float* weights = floats("batch_scale", batch_scale, from.rows);
  const float* means = floats("mean", mean, from.cols);
  const Matrix to = rows_matrix("out", out, from.rows, from.cols, Access::write);
  const int row = code("kind", kind, kPenalties);
  py::gil_scoped_release release;
  cpu::threaded::sparsity_penalty_backward(from, weights, row, weight, target, means, to);
}

void batch_loss(py::object row_loss, py::object batch_scale, double scale, py::object kl, double beta, double free_bits,
                py::object penalty, py::object out) {
  const int64_t n = length("row_loss", row_loss);
  const float* losses = floats("row_loss", row_loss, n);
  const float* weights = floats("batch_scale", batch_scale, n);
  const float* divergence = optional_floats("kl", kl, n);
  const double* more = optional_doubles("penalty", penalty, 1);
  double* to = doubles("out", out, 1, Access::write);
  py::gil_scoped_release release;
  *to = cpu::batch_loss(losses, weights, n, scale, divergence, beta, free_bits, more);
}

void update(int rule, py::object w, py::object g, py::object s0, py::object s1, py::object ema, int64_t n_decay,
            double weight_decay, double h0, double h1, double h2, double lr, double c1, double c2, double clip_scale,
            double ema_decay) {
  constexpr int kSlots[kRules] = {0, 1, 1, 1, 2, 2, 1};
  const int64_t n = length("w", w);
  float* weights = floats("w", w, n, Access::write);
  const float* gradient = floats("g", g, n);
  float* slot0 = optional_floats("s0", s0, n, Access::write);
  float* slot1 = optional_floats("s1", s1, n, Access::write);
  float* average = optional_floats("ema", ema, n, Access::write);
  const int row = code("rule", rule, kRules);
  if ((kSlots[row] > 0 && slot0 == nullptr) || (kSlots[row] > 1 && slot1 == nullptr)) {
    throw py::value_error("rule " + std::to_string(row) + " needs " + std::to_string(kSlots[row]) + " slots");
  }
  const cpu::UpdateRule how{row, weight_decay, h0, h1, h2, ema_decay, n_decay};
  py::gil_scoped_release release;
  cpu::threaded::update(how, {lr, c1, c2, 1.0}, clip_scale, weights, gradient, slot0, slot1, average, n);
}

void permutation(int64_t n, uint64_t seed, uint32_t epoch, py::object out) {
  int64_t* to = integers("out", out, n, Access::write);
  if (n < 0 || n > int64_t(1) << 32) throw py::value_error("n must be in [0, 2^32], but is " + std::to_string(n));
  py::gil_scoped_release release;
  cpu::threaded::permutation(n, seed, epoch, to);
}

}  // namespace

void bind_batch_ops(py::module_& m) {
  using py::arg;
  m.def("gather", &gather, arg("data"), arg("index"), arg("shift"), arg("scale"), arg("factor"), arg("out"),
        "out = (data[index] - shift) * scale in float64, or data[index] * factor.");
  m.def("batch_scale", &batch_scale, arg("sample_weight"), arg("index"), arg("out"), "out = w[index] / sum(w[index]).");
  m.def("corrupt", &corrupt, arg("x"), arg("kind"), arg("level"), arg("low"), arg("high"), arg("seed"), arg("epoch"),
        arg("stream"), arg("rows"), arg("out"), "out = x with addressed noise.");
  m.def("gaussian_latent", &gaussian_latent, arg("moments"), arg("seed"), arg("epoch"), arg("stream"), arg("rows"),
        arg("z"), arg("kl"), "z = mu + exp(logvar / 2) eps; kl per row.");
  m.def("gaussian_latent_backward", &gaussian_latent_backward, arg("moments"), arg("dz"), arg("batch_scale"),
        arg("beta"), arg("free_bits"), arg("seed"), arg("epoch"), arg("stream"), arg("rows"), arg("out"),
        "Derivatives by [mu | logvar].");
  m.def("sparsity_penalty", &sparsity_penalty, arg("h"), arg("batch_scale"), arg("kind"), arg("weight"), arg("target"),
        arg("mean"), arg("value"), "The penalty on a code, and KL's batch means.");
  m.def("sparsity_penalty_backward", &sparsity_penalty_backward, arg("h"), arg("batch_scale"), arg("kind"),
        arg("weight"), arg("target"), arg("mean"), arg("out"), "The penalty's derivative by h.");
  m.def("batch_loss", &batch_loss, arg("row_loss"), arg("batch_scale"), arg("scale"), arg("kl"), arg("beta"),
        arg("free_bits"), arg("penalty"), arg("out"), "The batch's loss, float64.");
  m.def("update", &update, arg("rule"), arg("w"), arg("g"), arg("s0"), arg("s1"), arg("ema"), arg("n_decay"),
        arg("weight_decay"), arg("h0"), arg("h1"), arg("h2"), arg("lr"), arg("c1"), arg("c2"), arg("clip_scale"),
        arg("ema_decay"), "One optimizer step on flat parameters.");
  m.def("permutation", &permutation, arg("n"), arg("seed"), arg("epoch"), arg("out"),
        "out = the epoch's order of n rows.");
}

}  // namespace aefast::bindings
