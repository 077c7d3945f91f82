// What the engine does once a batch or a run, in plain sequential code: the same bits for every thread count.
#pragma once

#include <cstdint>

#include "cpu/kernels.h"

namespace aefast::cpu {

// Sum over the batch of the sample weights, float64.
double total_weight(const double* sample_weight, const int64_t* index, int64_t n);

// out[b] = w_b / total for rows [begin, end); no weights count 1 of n each; a total that isn't positive makes zeros.
void batch_scale(const double* sample_weight, const int64_t* index, int64_t n, double total, float* out, int64_t begin,
                 int64_t end);

// scale * sum_b s_b row_loss_b + beta * sum_b s_b max(kl_b, free_bits) + penalty; kl and penalty may be null.
double batch_loss(const float* row_loss, const float* batch_scale, int64_t n, double scale, const float* kl,
                  double beta, double free_bits, const double* penalty);

// partials = [sum of n row norms, 1 if that isn't finite else 0]. A float32's square is far inside float64's range, so
// the sum is finite exactly where every element is.
void sum_norms(const double* row_square_norm, int64_t n, double* partials);

// min(1, clip_norm / (norm + 1e-6)); clip_norm 0 doesn't clip; a NaN stays one.
double clip_scale(double square_norm, double clip_norm);

// Throws std::out_of_range where an index isn't in [0, rows).
void check_index(const int64_t* index, int64_t n, int64_t rows);

}  // namespace aefast::cpu
