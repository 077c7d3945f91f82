#include "cpu/sparse_input.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace aefast::cpu {
namespace {

// Of a data set's elements that are stored; with more, the dense product is the faster one. See csrc/README.md.
std::atomic<double> g_most_stored{0.15};

int64_t length(const Source& source, int64_t row) {
  auto of = [&](auto* starts) {
    const int64_t first = std::max<int64_t>(starts[row], 0), last = std::min<int64_t>(starts[row + 1], source.stored);
    return std::max<int64_t>(0, last - first);
  };
  return source.wide ? of(static_cast<const int64_t*>(source.indptr)) : of(static_cast<const int32_t*>(source.indptr));
}

}  // namespace

void set_most_stored(double share) {
  if (!(share >= 0 && share <= 1)) {
    throw std::invalid_argument("share must be in [0, 1], but is " + std::to_string(share));
  }
  g_most_stored.store(share);
}

bool all_finite(const float* values, int64_t n) {
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) finite &= std::fabs(values[i]) <= std::numeric_limits<float>::max();
  return finite;
}

bool SparseInput::suits(const Source& source, const Scaling& scaling) {
  if (source.indptr == nullptr || source.cols > INT32_MAX) return false;
  const double most = g_most_stored.load(std::memory_order_relaxed);
  if (most == 0 || double(source.stored) > most * double(source.rows) * double(source.cols)) return false;
  if (scaling.shift == nullptr) return true;
  for (int64_t j = 0; j < source.cols; ++j) {
    if (scaling.shift[j] != 0 || !(scaling.scale[j] > 0) || !std::isfinite(scaling.scale[j])) return false;
  }
  return true;
}

void SparseInput::reserve(const Source& source, const int64_t* index, int64_t n, int64_t batch) {
  int64_t most = 0;
  for (int64_t i = 0; i < n; i += batch) {
    int64_t sum = 0;
    for (int64_t b = i; b < std::min(n, i + batch); ++b) sum += length(source, index[b]);
    most = std::max(most, sum);
  }
  if (int64_t(bounds_.size()) < 2 * batch) bounds_.resize(size_t(2 * batch));
  if (int64_t(columns_.size()) < most) {
    values_.resize(size_t(most));
    columns_.resize(size_t(most));
  }
  entries_ = {bounds_.data(), bounds_.data() + batch, columns_.data(), values_.data()};
}

void SparseInput::place(const Source& source, const int64_t* index, int64_t begin, int64_t end) {
  // The arrays are the caller's: whatever they hold by now, nothing is placed beyond the room.
  const int64_t room = int64_t(columns_.size());
  int64_t at = 0;
  for (int64_t b = 0; b < end; ++b) {
    const int64_t next = std::min(room, at + length(source, index[b]));
    if (b >= begin) {
      entries_.begin[b] = at;
      entries_.end[b] = next;
    }
    at = next;
  }
}

}  // namespace aefast::cpu
