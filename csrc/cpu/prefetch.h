// Rows of a memory map larger than memory: a thread that runs ahead of the steps and has the system read their pages,
// so that a page fault doesn't stop the arithmetic. It reads the index and addresses; no number depends on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "cpu/kernels.h"

namespace aefast::cpu {

class Prefetch {
 public:
  // For batches of `batch` consecutive rows of index [0, n); all must outlive this object. Where the system gives no
  // thread, or a row's bytes lie too far apart, it does nothing. Where small rows come in no order, the map is advised
  // so meanwhile (MADV_RANDOM; MADV_NORMAL afterwards).
  Prefetch(const Source& source, const int64_t* index, int64_t n, int64_t batch);
  // Waits for the thread, which stops at its next row. In a fork's child there is none to wait for.
  ~Prefetch();
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // So many steps are done.
  void reached(int64_t step);

 private:
  struct State;
  void stop();
  std::unique_ptr<State> state_;
};

}  // namespace aefast::cpu
