// How a whole op's work is shared over the pool.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/panels.h"
#include "cpu/pool.h"

namespace aefast::cpu::threaded {

// An element's work in the ops without a matmul, counted as arithmetic for the choice of the number of threads.
constexpr double kFlopsPerElement = 16;
constexpr int64_t kGradientUnit = 8;

inline double elements(Matrix m) { return double(m.rows) * double(m.cols); }

// body(begin, end, scratch) over shares of n items, each thread one, in multiples of `unit`; `scratch`: so many floats
// of the thread's own.
template <class Body>
void split_with_scratch(int64_t n, int64_t unit, double flops, int64_t scratch, Body body) {
  if (n == 0) return;
  const int threads = threads_for(flops, static_cast<int>(std::min<int64_t>(num_threads(), (n + unit - 1) / unit)));
  const int64_t room = (scratch + 15) / 16 * 16;
  const AlignedFloats memory = scratch > 0 ? aligned_floats(threads * room) : nullptr;
  parallel(threads, [&](const Team& team) {
    int64_t begin, end;
    team.share(n, unit, &begin, &end);
    if (begin < end) body(begin, end, memory.get() + team.thread * room);
  });
}

// The same without scratch.
template <class Body>
void split(int64_t n, int64_t unit, double flops, Body body) {
  split_with_scratch(n, unit, flops, 0, [&](int64_t begin, int64_t end, float*) { body(begin, end); });
}

}  // namespace aefast::cpu::threaded
