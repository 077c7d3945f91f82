// channel_sums: the bias gradient. Sums over a row's pixels in blocks, then over the rows in order, float32: the errors
// grow with the rows and PIXELS, not with all pixels of the batch. With one pixel a row these are the sums of
// linear_wgrad's db. NumPy: db = delta.reshape(-1, channels).sum(0); square_norm = db ** 2
#include "cpu/linear.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

constexpr int64_t PIXELS = 256;  // of a block, at most

// Channels channel + W v, v < vectors, the last of them with `lanes`: a chain of sums each, so several at a time.
template <int vectors>
AEFAST_INLINE void sum_channels(Matrix delta, int64_t channels, float* db, int64_t channel, int lanes) {
  const int64_t pixels = delta.cols / channels, part = even_part(pixels, PIXELS);
  auto read = [&](const float* p, int v) __attribute__((always_inline)) {
    return v + 1 < vectors || lanes == W ? load(p + v * W) : load(p + v * W, lanes);
  };
  F total[vectors];
  AEFAST_UNROLL for (int v = 0; v < vectors; ++v) total[v] = F(0.0);
  for (int64_t b = 0; b < delta.rows; ++b) {
    const float* p = delta.data + b * delta.row_stride + channel;
    for (int64_t first = 0; first < pixels; first += part) {
      const int64_t count = smaller(part, pixels - first);
      F sum[vectors];
      AEFAST_UNROLL for (int v = 0; v < vectors; ++v) sum[v] = read(p, v);
      p += channels;
      for (int64_t i = 1; i < count; ++i, p += channels) {
        AEFAST_UNROLL for (int v = 0; v < vectors; ++v) sum[v] = sum[v] + read(p, v);
      }
      AEFAST_UNROLL for (int v = 0; v < vectors; ++v) total[v] = total[v] + sum[v];
    }
  }
  AEFAST_UNROLL for (int v = 0; v + 1 < vectors; ++v) store(db + channel + v * W, total[v]);
  store(db + channel + (vectors - 1) * W, total[vectors - 1], lanes);
}

// Fewer channels than lanes, several pixels a row: W pixels are `channels` vectors, in which lane l of vector v always
// holds channel (v W + l) % channels.
void sum_few_channels(Matrix delta, int64_t channels, float* db, int64_t begin, int64_t end) {
  const int64_t period = channels * W, part = even_part(delta.cols / channels, PIXELS * W) * channels;
  float total[W] = {};
  for (int64_t b = 0; b < delta.rows; ++b) {
    const float* row = delta.data + b * delta.row_stride;
    for (int64_t first = 0; first < delta.cols; first += part) {
      const int64_t stop = smaller(delta.cols, first + part);
      F sum[W];
      for (int64_t v = 0; v < channels; ++v) sum[v] = F(0.0);
      int64_t i = first;
      for (; i + period <= stop; i += period) {
        for (int64_t v = 0; v < channels; ++v) sum[v] = sum[v] + load(row + i + v * W);
      }
      for (int64_t v = 0; i < stop; ++v, i += W) sum[v] = sum[v] + load(row + i, int(smaller(W, stop - i)));
      float block[W] = {};
      for (int64_t v = 0, channel = 0; v < channels; ++v) {
        float lane[W];
        store(lane, sum[v]);
        for (int l = 0; l < W; ++l) {
          block[channel] += lane[l];
          channel = channel + 1 == channels ? 0 : channel + 1;
        }
      }
      for (int64_t c = 0; c < channels; ++c) total[c] += block[c];
    }
  }
  for (int64_t c = begin; c < end; ++c) db[c] = total[c];
}

}  // namespace

void channel_sums(Matrix delta, int64_t channels, float* db, double* square_norm, int64_t begin, int64_t end) {
  if (channels < W && delta.cols > channels) {
    sum_few_channels(delta, channels, db, begin, end);
  } else {
    int64_t c = begin;
    for (; end - c >= 8 * W; c += 8 * W) sum_channels<8>(delta, channels, db, c, W);
    for (; end - c > W; c += 2 * W) sum_channels<2>(delta, channels, db, c, int(smaller(W, end - c - W)));
    if (c < end) sum_channels<1>(delta, channels, db, c, int(end - c));
  }
  if (!square_norm) return;
  for (int64_t c = begin; c < end; ++c) square_norm[c] = double(db[c]) * double(db[c]);
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
