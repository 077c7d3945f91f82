#include "cpu/threaded.h"

#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "common/philox.h"
#include "cpu/batch.h"
#include "cpu/dispatch.h"
#include "cpu/sparse_input.h"
#include "cpu/split.h"

namespace aefast::cpu::threaded {
namespace {

constexpr double kFlopsPerNoise = 64;
constexpr double kFlopsWorthPacking = 4e6;  // getting the memory costs some 10 us
constexpr int64_t kRowUnit = 4;
constexpr int64_t kFlatUnit = 64;

// Panels of w (n, k), packed by all threads.
AlignedFloats pack(const Kernels& k, Matrix w) {
  AlignedFloats panels = aligned_floats(panel_size(k, w.rows, w.cols));
  const int64_t n = (w.rows + k.panel_width - 1) / k.panel_width;
  split(n, 1, kFlopsPerElement * elements(w), [&](int64_t begin, int64_t end) { k.pack(w, panels.get(), begin, end); });
  return panels;
}

}  // namespace

void gather(Source source, const int64_t* index, Scaling scaling, Matrix out) {
  const Kernels& k = kernels();
  split(out.rows, kRowUnit, kFlopsPerElement * elements(out),
        [&](int64_t begin, int64_t end) { k.gather(source, index, scaling, out, begin, end); });
}

void batch_scale(const double* sample_weight, const int64_t* index, int64_t n, float* out) {
  const double total = sample_weight != nullptr ? total_weight(sample_weight, index, n) : 0;
  cpu::batch_scale(sample_weight, index, n, total, out, 0, n);
}

void corrupt(Matrix x, int kind, double level, double low, double high, NoiseAddress noise, Matrix out) {
  const Kernels& k = kernels();
  split(out.rows, kRowUnit, kFlopsPerNoise * elements(out),
        [&](int64_t begin, int64_t end) { k.corrupt(x, kind, level, low, high, noise, out, begin, end); });
}

void linear_act(Matrix x, Matrix w, const float* bias, int act, Matrix out, Matrix pre, Compute compute) {
  const Kernels& k = kernels(compute);
  const AlignedFloats panels = pack(k, w);
  split(x.rows, kRowUnit, 2 * elements(w) * double(x.rows),
        [&](int64_t begin, int64_t end) { k.linear_act(x, panels.get(), bias, act, out, pre, begin, end); });
}

void linear_act(Source x, Matrix w, const float* bias, int act, Matrix out, Matrix pre) {
  const Kernels& k = kernels();
  if (x.rows == 0) return;
  std::vector<int64_t> index(size_t(x.rows), 0);
  std::iota(index.begin(), index.end(), 0);
  const AlignedFloats panels = pack(k, w);
  if (!SparseInput::suits(x, {}) || !all_finite(panels.get(), panel_size(k, w.rows, w.cols))) {
    const std::unique_ptr<float[]> rows(new float[size_t(x.rows * x.cols)]);
    const Matrix dense{rows.get(), x.rows, x.cols, x.cols, 1};
    gather(x, index.data(), {}, dense);
    return linear_act(dense, w, bias, act, out, pre, Compute::float32);
  }
  SparseInput input;
  input.reserve(x, index.data(), x.rows, x.rows);
  input.place(x, index.data(), 0, x.rows);
  const std::unique_ptr<float[]> spare(new float[size_t(x.cols)]);
  k.gather_entries(x, index.data(), {}, {spare.get(), x.rows, x.cols, 0, 1}, input.entries(), 0, x.rows);
  split(x.rows, kRowUnit, 2 * double(x.stored) * double(w.rows), [&](int64_t begin, int64_t end) {
    k.linear_act_sparse(input.entries(), w.cols, panels.get(), bias, act, out, pre, begin, end);
  });
}

void linear_loss_grad(Matrix h, Matrix w, const float* bias, int act, int loss, Matrix target, const float* batch_scale,
                      double scale, const float* feature_weight, float* row_loss, Matrix delta, Compute compute) {
  const Kernels& k = kernels(compute);
  const AlignedFloats panels = pack(k, w);
  split(h.rows, kRowUnit, 2 * elements(w) * double(h.rows), [&](int64_t begin, int64_t end) {
    k.linear_loss_grad(h, panels.get(), bias, act, loss, target, batch_scale, scale, feature_weight, row_loss, delta,
                       begin, end);
  });
}

void linear_dgrad(Matrix delta, Matrix w, int act, Matrix saved, Matrix extra, Matrix out, Compute compute) {
  const Kernels& k = kernels(compute);
  const AlignedFloats panels = pack(k, {w.data, w.cols, w.rows, w.col_stride, w.row_stride});
  split(delta.rows, kRowUnit, 2 * elements(w) * double(delta.rows),
        [&](int64_t begin, int64_t end) { k.linear_dgrad(delta, panels.get(), act, saved, extra, out, begin, end); });
}

void linear_wgrad(Matrix delta, Matrix a, Matrix dw, float* db, bool accumulate, double* partials, Compute compute) {
  const Kernels& k = kernels(compute);
  const int64_t n = delta.cols;
  std::unique_ptr<double[]> norms(partials != nullptr ? new double[size_t(n)] : nullptr);
  const double flops = 2.0 * double(a.cols + 1) * elements(delta);
  split(n, kGradientUnit, flops, [&](int64_t begin, int64_t end) {
    // No exception may leave a thread of the pool: without memory it goes unpacked, as a small product does.
    const std::unique_ptr<float[]> scratch(
        flops > kFlopsWorthPacking ? new (std::nothrow) float[size_t(k.gradient_scratch)] : nullptr);
    k.linear_wgrad(delta, a, dw, db, accumulate, norms.get(), scratch.get(), begin, end);
  });
  if (partials != nullptr) sum_norms(norms.get(), n, partials);
}

void bias_grad(Matrix delta, int64_t n, float* db, double* partials) {
  const Kernels& k = kernels();
  std::unique_ptr<double[]> norms(partials != nullptr ? new double[size_t(n)] : nullptr);
  split(n, kGradientUnit, 2 * elements(delta),
        [&](int64_t begin, int64_t end) { k.channel_sums(delta, n, db, norms.get(), begin, end); });
  if (partials != nullptr) sum_norms(norms.get(), n, partials);
}

void gaussian_latent(Matrix moments, NoiseAddress noise, Matrix z, float* kl) {
  const Kernels& k = kernels();
  split(z.rows, kRowUnit, kFlopsPerNoise * elements(z),
        [&](int64_t begin, int64_t end) { k.gaussian_latent(moments, noise, z, kl, begin, end); });
}

void gaussian_latent_backward(Matrix moments, Matrix dz, const float* batch_scale, double beta, double free_bits,
                              NoiseAddress noise, Matrix out) {
  const Kernels& k = kernels();
  split(out.rows, kRowUnit, kFlopsPerNoise * elements(out), [&](int64_t begin, int64_t end) {
    k.gaussian_latent_backward(moments, dz, batch_scale, beta, free_bits, noise, out, begin, end);
  });
}

void sparsity_penalty_backward(Matrix h, const float* batch_scale, int kind, double weight, double target,
                               const float* mean, Matrix out) {
  const Kernels& k = kernels();
  split(out.rows, kRowUnit, kFlopsPerElement * elements(out), [&](int64_t begin, int64_t end) {
    k.sparsity_penalty_backward(h, batch_scale, kind, weight, target, mean, out, begin, end);
  });
}

void update(UpdateRule rule, StepScalars scalars, double clip_scale, float* w, const float* g, float* slot0,
            float* slot1, float* ema, int64_t n) {
  const Kernels& k = kernels();
  split(n, kFlatUnit, kFlopsPerElement * double(n),
        [&](int64_t begin, int64_t end) { k.update(rule, scalars, clip_scale, w, g, slot0, slot1, ema, begin, end); });
}

void permutation(int64_t n, uint64_t seed, uint32_t epoch, int64_t* out) {
  const Kernels& k = kernels();
  const Shuffle order = make_shuffle(uint64_t(n), seed, epoch);
  split(n, kFlatUnit, kFlopsPerNoise * double(n),
        [&](int64_t begin, int64_t end) { k.shuffle(order, out, begin, end); });
}

}  // namespace aefast::cpu::threaded
