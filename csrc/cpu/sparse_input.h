// The entries of a batch's sparse rows, for a first layer that reads nothing else of them.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/kernels.h"

namespace aefast::cpu {

// The share of stored elements up to which first layers work on entries (for tests): 0 never, 1 always. Throws
// std::invalid_argument outside [0, 1].
void set_most_stored(double share);

// Whether n floats are: a weight that isn't makes NaN of every zero that meets it, which entries alone don't show.
bool all_finite(const float* values, int64_t n);

class SparseInput {
 public:
  // Whether a first layer on these rows' entries is worth it, and possible: what isn't stored must become +0.
  static bool suits(const Source& source, const Scaling& scaling);

  // Room for every batch of `batch` consecutive rows of index [0, n); throws std::bad_alloc.
  void reserve(const Source& source, const int64_t* index, int64_t n, int64_t batch);

  // Gives rows [begin, end) of the batch `index` their room, behind that of the rows before. Any thread, its own rows.
  void place(const Source& source, const int64_t* index, int64_t begin, int64_t end);

  const Entries& entries() const { return entries_; }

  // Entries per row on average, for whoever weighs work.
  static double per_row(const Source& source) { return double(source.stored) / double(source.rows); }

 private:
  std::vector<int64_t> bounds_;
  std::vector<int32_t> columns_;
  std::vector<float> values_;
  Entries entries_;
};

}  // namespace aefast::cpu
