// Whole image ops on caller's memory: weights packed for the call, rows, or rows of dw, split over the pool. Geometries
// must have been checked (geometry.h). Any number of rows (0: nothing).
#pragma once

#include "cpu/kernels.h"

namespace aefast::cpu::threaded {

// w (out_channels, K) with unit column stride in all of them. `direction` is the product's.
void conv_act(const Geometry& geometry, Direction direction, Matrix x, Matrix w, const float* bias, int act, Matrix out,
              Matrix pre, Compute compute);
// delta.data == nullptr: the loss only.
void conv_loss_grad(const Geometry& geometry, Direction direction, Matrix h, Matrix w, const float* bias, int act,
                    int loss, Matrix target, const float* batch_scale, double scale, const float* feature_weight,
                    float* row_loss, Matrix delta, Compute compute);
void conv_dgrad(const Geometry& geometry, Direction direction, Matrix delta, Matrix w, int act, Matrix saved,
                Matrix extra, Matrix out, Compute compute);
// partials may be null.
void conv_wgrad(const Geometry& geometry, Matrix map, Matrix image, Matrix dw, bool accumulate, double* partials,
                Compute compute);

void pool(const Geometry& geometry, Matrix x, int kind, Matrix out);
void pool_dgrad(const Geometry& geometry, Matrix delta, Matrix x, int kind, int act, Matrix saved, Matrix extra,
                Matrix out);
void upsample(const Geometry& geometry, Matrix x, Matrix out);
void upsample_dgrad(const Geometry& geometry, Matrix delta, int act, Matrix saved, Matrix extra, Matrix out);
void transpose_rows(Matrix x, int64_t n, Matrix out);

}  // namespace aefast::cpu::threaded
