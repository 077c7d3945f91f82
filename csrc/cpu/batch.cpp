#include "cpu/batch.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace aefast::cpu {

double total_weight(const double* sample_weight, const int64_t* index, int64_t n) {
  double total = 0;
  for (int64_t b = 0; b < n; ++b) total += sample_weight[index[b]];
  return total;
}

void batch_scale(const double* sample_weight, const int64_t* index, int64_t n, double total, float* out, int64_t begin,
                 int64_t end) {
  if (sample_weight == nullptr) {
    std::fill(out + begin, out + end, static_cast<float>(1.0 / static_cast<double>(n)));
    return;
  }
  for (int64_t b = begin; b < end; ++b) {
    out[b] = total > 0 ? static_cast<float>(sample_weight[index[b]] / total) : 0.0f;
  }
}

double batch_loss(const float* row_loss, const float* batch_scale, int64_t n, double scale, const float* kl,
                  double beta, double free_bits, const double* penalty) {
  double total = 0;
  for (int64_t b = 0; b < n; ++b) total += double(batch_scale[b]) * double(row_loss[b]);
  total *= scale;
  if (kl != nullptr) {
    double divergence = 0;
    // Written so that a NaN of kl stays one.
    for (int64_t b = 0; b < n; ++b)
      divergence += double(batch_scale[b]) * (kl[b] < free_bits ? free_bits : double(kl[b]));
    total += beta * divergence;
  }
  return penalty != nullptr ? total + *penalty : total;
}

void sum_norms(const double* row_square_norm, int64_t n, double* partials) {
  constexpr int kLanes = 8;  // hide the adds' latency; part of the result's definition
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += row_square_norm[i + lane];
  for (int lane = 0; i < n; ++i, ++lane) lanes[lane] += row_square_norm[i];
  double total = 0;
  for (double lane : lanes) total += lane;
  partials[0] = total;
  partials[1] = std::isfinite(total) ? 0.0 : 1.0;
}

double clip_scale(double square_norm, double clip_norm) {
  if (!(clip_norm > 0)) return 1.0;
  const double norm = std::sqrt(square_norm);
  return std::isnan(norm) ? norm : std::min(1.0, clip_norm / (norm + 1e-6));
}

void check_index(const int64_t* index, int64_t n, int64_t rows) {
  int64_t low = 0, high = 0;
  for (int64_t i = 0; i < n; ++i) {
    low = std::min(low, index[i]);
    high = std::max(high, index[i]);
  }
  if (n > 0 && (low < 0 || high >= rows)) {
    throw std::out_of_range("index must be in [0, " + std::to_string(rows) + "), but holds " +
                            std::to_string(low < 0 ? low : high));
  }
}

}  // namespace aefast::cpu
