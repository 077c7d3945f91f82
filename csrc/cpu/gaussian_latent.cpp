// gaussian_latent: the variational code. moments = [mu | logvar], each L wide; the noise is drawn again in the backward
// pass. NumPy: z = mu + exp(logvar / 2) * eps; kl = 0.5 * (mu**2 + exp(logvar) - 1 - logvar).sum(1) backward: dmu = dz
// + c * mu; dlogvar = 0.5 * dz * eps * exp(logvar / 2) + 0.5 * c * (exp(logvar) - 1)
#include "common/formulas.h"
#include "cpu/linear.h"
#include "cpu/noise.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

// NaN stays.
AEFAST_INLINE F bounded(F logvar) { return min(F(kLogvarMax), logvar); }

// Summed in float64 lane by lane; expm1 keeps the digits where logvar is near 0.
float divergence(const float* mu, const float* logvar, int64_t n) {
  D low(0.0), high(0.0);
  for_each_vector(n, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
    F m = load_lanes(mu + j, lanes, extent), v = bounded(load_lanes(logvar + j, lanes, extent));
    F term = fma(m, m, expm1(v) - v);  // zero in the missing lanes
    low = low + widen_low(term);
    high = high + widen_high(term);
  });
  return float(0.5 * (sum_lanes(low) + sum_lanes(high)));
}

// Calls body(column, lanes, extent, eps) over a row's latents.
template <class Body>
AEFAST_INLINE void for_each_noise(const NoiseAddress& noise, int64_t b, int64_t n, Body&& body) {
  float eps[NOISE];
  if (noise.stream < 0) {
    for (int l = 0; l < NOISE; ++l) eps[l] = 0.0f;
  }
  for (int64_t first = 0; first < n; first += NOISE) {
    if (noise.stream >= 0) fill_normal(noise, noise_row(noise, b), first, eps);
    int64_t count = n - first < NOISE ? n - first : NOISE;
    for_each_vector(count, [&](int64_t j, int lanes, auto extent)
                               __attribute__((always_inline)) { body(first + j, lanes, extent, load(eps + j)); });
  }
}

}  // namespace

void gaussian_latent(Matrix moments, NoiseAddress noise, Matrix z, float* kl, int64_t begin, int64_t end) {
  const int64_t n = z.cols;
  for (int64_t b = begin; b < end; ++b) {
    const float* mu = moments.data + b * moments.row_stride;
    const float* logvar = mu + n;
    float* out = z.data + b * z.row_stride;
    for_each_noise(noise, b, n, [&](int64_t j, int lanes, auto extent, F eps) __attribute__((always_inline)) {
      F spread = exp(F(0.5) * bounded(load_lanes(logvar + j, lanes, extent)));
      store_lanes(out + j, fma(spread, eps, load_lanes(mu + j, lanes, extent)), lanes, extent);
    });
    if (kl) kl[b] = divergence(mu, logvar, n);
  }
}

void gaussian_latent_backward(Matrix moments, Matrix dz, const float* batch_scale, double beta, double free_bits,
                              NoiseAddress noise, Matrix out, int64_t begin, int64_t end) {
  const int64_t n = dz.cols;
  for (int64_t b = begin; b < end; ++b) {
    const float* mu = moments.data + b * moments.row_stride;
    const float* logvar = mu + n;
    const float* upstream = dz.data + b * dz.row_stride;
    float* dmu = out.data + b * out.row_stride;
    float* dlogvar = dmu + n;
    bool active = free_bits <= 0.0 || double(divergence(mu, logvar, n)) > free_bits;
    F c(active ? beta * double(batch_scale[b]) : 0.0);
    F half(0.5);
    for_each_noise(noise, b, n, [&](int64_t j, int lanes, auto extent, F eps) __attribute__((always_inline)) {
      F m = load_lanes(mu + j, lanes, extent), v = bounded(load_lanes(logvar + j, lanes, extent));
      F d = load_lanes(upstream + j, lanes, extent);
      store_lanes(dmu + j, fma(c, m, d), lanes, extent);
      F reparameterised = (half * d) * (eps * exp(half * v));
      store_lanes(dlogvar + j, fma(half * c, expm1(v), reparameterised), lanes, extent);
    });
  }
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
