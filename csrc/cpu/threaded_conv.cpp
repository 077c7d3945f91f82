#include "cpu/threaded_conv.h"

#include <memory>

#include "cpu/batch.h"
#include "cpu/dispatch.h"
#include "cpu/geometry.h"
#include "cpu/split.h"

namespace aefast::cpu::threaded {
namespace {

// The kernels' packed form of w, packed by all threads.
AlignedFloats pack(const Kernels& k, const Geometry& g, Direction direction, Matrix w) {
  AlignedFloats dense;
  if (w.row_stride != w.cols) {
    dense = aligned_floats(w.rows * w.cols);
    for (int64_t n = 0; n < w.rows; ++n) {
      std::copy_n(w.data + n * w.row_stride, w.cols, dense.get() + n * w.cols);
    }
  }
  const float* from = dense != nullptr ? dense.get() : w.data;
  AlignedFloats panels = aligned_floats(k.conv_panels(g, direction));
  split(k.conv_pack_units(g, direction), 1, kFlopsPerElement * elements(w),
        [&](int64_t begin, int64_t end) { k.conv_pack(g, direction, from, panels.get(), begin, end); });
  return panels;
}

// body(begin, end, scratch) over batch rows of a product: an image's work is worth a share of its own.
template <class Body>
void split_rows(const Kernels& k, const Geometry& g, int64_t rows, Body body) {
  split_with_scratch(rows, 1, product_flops(g) * double(rows), k.conv_scratch(g), body);
}

}  // namespace

void conv_act(const Geometry& g, Direction direction, Matrix x, Matrix w, const float* bias, int act, Matrix out,
              Matrix pre, Compute compute) {
  const Kernels& k = kernels(compute);
  const AlignedFloats panels = pack(k, g, direction, w);
  split_rows(k, g, x.rows, [&](int64_t begin, int64_t end, float* scratch) {
    k.conv_act(g, direction, x, panels.get(), bias, act, out, pre, scratch, begin, end);
  });
}

void conv_loss_grad(const Geometry& g, Direction direction, Matrix h, Matrix w, const float* bias, int act, int loss,
                    Matrix target, const float* batch_scale, double scale, const float* feature_weight, float* row_loss,
                    Matrix delta, Compute compute) {
  const Kernels& k = kernels(compute);
  const AlignedFloats panels = pack(k, g, direction, w);
  split_rows(k, g, h.rows, [&](int64_t begin, int64_t end, float* scratch) {
    k.conv_loss_grad(g, direction, h, panels.get(), bias, act, loss, target, batch_scale, scale, feature_weight,
                     row_loss, delta, scratch, begin, end);
  });
}

void conv_dgrad(const Geometry& g, Direction direction, Matrix delta, Matrix w, int act, Matrix saved, Matrix extra,
                Matrix out, Compute compute) {
  const Kernels& k = kernels(compute);
  const AlignedFloats panels = pack(k, g, direction, w);
  split_rows(k, g, delta.rows, [&](int64_t begin, int64_t end, float* scratch) {
    k.conv_dgrad(g, direction, delta, panels.get(), act, saved, extra, out, scratch, begin, end);
  });
}

void conv_wgrad(const Geometry& g, Matrix map, Matrix image, Matrix dw, bool accumulate, double* partials,
                Compute compute) {
  const Kernels& k = kernels(compute);
  const int64_t n = g.out_channels;
  const std::unique_ptr<double[]> norms(partials != nullptr ? new double[size_t(n)] : nullptr);
  split_with_scratch(n, kGradientUnit, product_flops(g) * double(map.rows), k.conv_scratch(g),
                     [&](int64_t begin, int64_t end, float* scratch) {
                       k.conv_wgrad(g, map, image, dw, accumulate, norms.get(), scratch, begin, end);
                     });
  if (partials != nullptr) sum_norms(norms.get(), n, partials);
}

void pool(const Geometry& g, Matrix x, int kind, Matrix out) {
  const Kernels& k = kernels();
  split(x.rows, 1, kFlopsPerElement * elements(x),
        [&](int64_t begin, int64_t end) { k.pool(g, x, kind, out, begin, end); });
}

void pool_dgrad(const Geometry& g, Matrix delta, Matrix x, int kind, int act, Matrix saved, Matrix extra, Matrix out) {
  const Kernels& k = kernels();
  split(out.rows, 1, kFlopsPerElement * elements(out),
        [&](int64_t begin, int64_t end) { k.pool_dgrad(g, delta, x, kind, act, saved, extra, out, begin, end); });
}

void upsample(const Geometry& g, Matrix x, Matrix out) {
  const Kernels& k = kernels();
  split(x.rows, 1, kFlopsPerElement * elements(out),
        [&](int64_t begin, int64_t end) { k.upsample(g, x, out, begin, end); });
}

void upsample_dgrad(const Geometry& g, Matrix delta, int act, Matrix saved, Matrix extra, Matrix out) {
  const Kernels& k = kernels();
  split(out.rows, 1, kFlopsPerElement * elements(delta),
        [&](int64_t begin, int64_t end) { k.upsample_dgrad(g, delta, act, saved, extra, out, begin, end); });
}

void transpose_rows(Matrix x, int64_t n, Matrix out) {
  const Kernels& k = kernels();
  split(x.rows, 1, kFlopsPerElement * elements(x),
        [&](int64_t begin, int64_t end) { k.transpose_rows(x, n, out, begin, end); });
}

}  // namespace aefast::cpu::threaded
