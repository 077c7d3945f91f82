// Whole ops on caller's memory: weights packed for the call, rows or tiles split over the pool. Any size >= 1 (0 rows:
// nothing).
#pragma once

#include <cstdint>

#include "cpu/kernels.h"

namespace aefast::cpu::threaded {

void gather(Source source, const int64_t* index, Scaling scaling, Matrix out);
void batch_scale(const double* sample_weight, const int64_t* index, int64_t n, float* out);
void corrupt(Matrix x, int kind, double level, double low, double high, NoiseAddress noise, Matrix out);
void linear_act(Matrix x, Matrix w, const float* bias, int act, Matrix out, Matrix pre, Compute compute);
// x sparse: from its entries alone, or spread out where that is faster or a weight isn't finite.
void linear_act(Source x, Matrix w, const float* bias, int act, Matrix out, Matrix pre);
// delta.data == nullptr: the loss only.
void linear_loss_grad(Matrix h, Matrix w, const float* bias, int act, int loss, Matrix target, const float* batch_scale,
                      double scale, const float* feature_weight, float* row_loss, Matrix delta, Compute compute);
void linear_dgrad(Matrix delta, Matrix w, int act, Matrix saved, Matrix extra, Matrix out, Compute compute);
// partials may be null.
void linear_wgrad(Matrix delta, Matrix a, Matrix dw, float* db, bool accumulate, double* partials, Compute compute);
// db (n,) of a delta (B, pixels n).
void bias_grad(Matrix delta, int64_t n, float* db, double* partials);
void gaussian_latent(Matrix moments, NoiseAddress noise, Matrix z, float* kl);
void gaussian_latent_backward(Matrix moments, Matrix dz, const float* batch_scale, double beta, double free_bits,
                              NoiseAddress noise, Matrix out);
void sparsity_penalty_backward(Matrix h, const float* batch_scale, int kind, double weight, double target,
                               const float* mean, Matrix out);
void update(UpdateRule rule, StepScalars scalars, double clip_scale, float* w, const float* g, float* slot0,
            float* slot1, float* ema, int64_t n);
void permutation(int64_t n, uint64_t seed, uint32_t epoch, int64_t* out);

}  // namespace aefast::cpu::threaded
