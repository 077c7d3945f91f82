#include "cpu/prefetch.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#define AEFAST_HAS_MADVISE
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace aefast::cpu {
namespace {

// Asked for ahead of the step that runs: seconds of reading for a slow disk, little beside the memory of a machine that
// trains on more than it holds.
constexpr int64_t kBytesAhead = 64 << 20;
constexpr int64_t kFewestBatches = 2;
constexpr int64_t kSmallRow = 64 << 10;
constexpr auto kPoll = std::chrono::milliseconds(2);
// A look touches some rows of a batch. After batches that were all in memory, looks come at growing distances; where
// one wasn't, whole batches are asked for until a look finds one in memory again.
constexpr int64_t kRowsPerLook = 16, kBatchesPerLook = 16, kFarthestLook = 64;

int64_t item_size(DType dtype) {
  switch (dtype) {
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
    case DType::f16:
    case DType::i16:
    case DType::u16:
      return 2;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    default:
      return 8;
  }
}

struct Range {
  const char* data;
  int64_t size;
};

// Where a row's bytes stand: one range of a dense row, two of a sparse one.
int ranges(const Source& source, int64_t row, Range (&out)[2]) {
  const int64_t item = item_size(source.dtype);
  if (source.indptr == nullptr) {
    const int64_t reach = (source.cols - 1) * source.col_stride;
    const char* start = source.data + row * source.row_stride;
    out[0] = {start + std::min<int64_t>(reach, 0), std::abs(reach) + item};
    return 1;
  }
  auto stored = [&](auto* starts, int64_t index_size) {
    const int64_t first = std::max<int64_t>(starts[row], 0), last = std::min<int64_t>(starts[row + 1], source.stored);
    const int64_t count = std::max<int64_t>(last - first, 0);
    out[0] = {source.data + first * item, count * item};
    out[1] = {static_cast<const char*>(source.indices) + first * index_size, count * index_size};
  };
  if (source.wide) stored(static_cast<const int64_t*>(source.indptr), 8);
  else stored(static_cast<const int32_t*>(source.indptr), 4);
  return 2;
}

int64_t page_size() {
#if defined(AEFAST_HAS_MADVISE)
  static const int64_t size = sysconf(_SC_PAGESIZE);
  return size;
#else
  return 4096;
#endif
}

// The thread waits until the first page of each page run is there.
void touch(Range range) {
  const int64_t page = page_size();
  for (int64_t at = 0; at < range.size; at += page) (void)*static_cast<const volatile char*>(range.data + at);
  if (range.size > 0) (void)*static_cast<const volatile char*>(range.data + range.size - 1);
}

// The system reads the pages; nobody waits for them, so many are under way at once.
void ask_for(Range range) {
#if defined(AEFAST_HAS_MADVISE)
  if (range.size <= 0) return;
  const auto page = uintptr_t(page_size());
  const uintptr_t first = reinterpret_cast<uintptr_t>(range.data) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(range.data) + uintptr_t(range.size);
  if (madvise(reinterpret_cast<void*>(first), end - first, MADV_WILLNEED) == 0) return;
#endif
  touch(range);
}

// Faults so far that had to read a file: of this thread, where the system tells them apart. -1: not known.
int64_t slow_faults() {
#if defined(AEFAST_HAS_MADVISE)
  rusage usage{};
#if defined(RUSAGE_THREAD)
  if (getrusage(RUSAGE_THREAD, &usage) == 0) return usage.ru_majflt;
#else
  if (getrusage(RUSAGE_SELF, &usage) == 0) return usage.ru_majflt;
#endif
#endif
  return -1;
}

int64_t bytes_per_row(const Source& source) {
  int64_t bytes = source.cols * item_size(source.dtype);
  if (source.indptr != nullptr) {
    bytes = source.stored / std::max<int64_t>(1, source.rows) * (item_size(source.dtype) + (source.wide ? 8 : 4));
  }
  return bytes + page_size();
}

#if defined(AEFAST_HAS_MADVISE)
// All rows' bytes, in whole pages.
void advise_all(const Source& source, int advice) {
  auto advise = [advice](const void* start, int64_t size) {
    const auto page = uintptr_t(page_size());
    const uintptr_t first = reinterpret_cast<uintptr_t>(start) / page * page;
    const uintptr_t end = reinterpret_cast<uintptr_t>(start) + uintptr_t(size);
    if (size > 0) (void)madvise(reinterpret_cast<void*>(first), end - first, advice);
  };
  if (source.indptr != nullptr) {
    advise(source.data, source.stored * item_size(source.dtype));
    advise(source.indices, source.stored * (source.wide ? 8 : 4));
    return;
  }
  Range first[2], last[2];
  ranges(source, 0, first);
  ranges(source, source.rows - 1, last);
  const char* start = std::min(first[0].data, last[0].data);
  advise(start, std::max(first[0].data + first[0].size, last[0].data + last[0].size) - start);
}
#endif

// Rows in no order, each small beside what the system reads around a fault: for every row that the arithmetic comes to
// first, it would read 128 KiB, of which little is wanted soon.
bool scattered(const Source& source, const int64_t* index, int64_t batch) {
  int64_t neighbours = 0;
  for (int64_t b = 1; b < batch; ++b) neighbours += index[b] == index[b - 1] + 1;
  return bytes_per_row(source) <= kSmallRow && neighbours < batch / 2;
}

// A row's bytes are neighbours, or near: pages of a column-major file hold other rows, and are read but once.
bool dense_enough(const Source& source) {
  if (source.indptr != nullptr) return source.stored > 0;
  return source.cols > 0 && std::abs(source.col_stride) <= 4 * item_size(source.dtype);
}

int64_t process() {
#if defined(AEFAST_HAS_MADVISE)
  return getpid();
#else
  return 0;
#endif
}

// Signals go to the threads that were there before.
class SignalsBlocked {
#if defined(AEFAST_HAS_MADVISE)
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
#endif
};

}  // namespace

struct Prefetch::State {
  Source source;
  const int64_t* index;
  int64_t batch, batches, ahead;
  bool advised = false;
  int64_t owner = process();
  std::atomic<int64_t> step{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::thread thread;

  // Until batch `next` may be asked for. False: the run is over.
  bool wait_for(int64_t next) {
    if (next < step.load(std::memory_order_relaxed) + ahead) return !stopping.load(std::memory_order_relaxed);
    std::unique_lock<std::mutex> lock(mutex);
    while (!stopping && next >= step.load(std::memory_order_relaxed) + ahead) wake.wait_for(lock, kPoll);
    return !stopping;
  }

  template <class Action>
  void each_row(int64_t number, int64_t stride, Action action) {
    for (int64_t b = 0; b < batch && !stopping.load(std::memory_order_relaxed); b += stride) {
      const int64_t row = index[number * batch + b];
      if (row < 0 || row >= source.rows) continue;  // beyond the run's steps the index hasn't been checked
      Range found[2];
      const int n = ranges(source, row, found);
      for (int i = 0; i < n; ++i) action(found[i]);
    }
  }

  bool in_memory(int64_t number) {
    const int64_t before = slow_faults();
    each_row(number, std::max<int64_t>(1, batch / kRowsPerLook), touch);
    return before >= 0 && slow_faults() == before;
  }

  void run() {
    int64_t distance = 1, asked = kBatchesPerLook;
    for (int64_t next = 0; next < batches;) {
      if (!wait_for(next)) return;
      next = std::max(next, step.load(std::memory_order_relaxed));  // fallen behind: what is read already is past help
      if (next >= batches) return;
      if (asked >= kBatchesPerLook) {
        if (in_memory(next)) {
          next += distance;
          distance = std::min(kFarthestLook, 2 * distance);
          continue;
        }
        asked = 0;
        distance = 1;
      }
      each_row(next, 1, ask_for);
      ++asked;
      ++next;
    }
  }
};

Prefetch::Prefetch(const Source& source, const int64_t* index, int64_t n, int64_t batch) {
  if (n / batch < 2 || !dense_enough(source)) return;
  const int64_t ahead = std::max(kFewestBatches, kBytesAhead / (batch * bytes_per_row(source)));
  state_ = std::make_unique<State>();
  state_->source = source;
  state_->index = index;
  state_->batch = batch;
  state_->batches = n / batch;
  state_->ahead = ahead;
#if defined(AEFAST_HAS_MADVISE)
  if (scattered(source, index, batch)) {
    advise_all(source, MADV_RANDOM);
    state_->advised = true;
  }
#endif
  try {
    const SignalsBlocked blocked;
    state_->thread = std::thread([state = state_.get()] { state->run(); });
  } catch (const std::system_error&) {
    stop();
  }
}

Prefetch::~Prefetch() { stop(); }

void Prefetch::stop() {
  if (state_ == nullptr) return;
  if (process() != state_->owner) {  // a child has the handle of a thread that it doesn't have
    (void)state_.release();
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  if (state_->thread.joinable()) state_->thread.join();
#if defined(AEFAST_HAS_MADVISE)
  if (state_->advised) advise_all(state_->source, MADV_NORMAL);
#endif
  state_.reset();
}

void Prefetch::reached(int64_t step) {
  if (state_ != nullptr) state_->step.store(step, std::memory_order_relaxed);
}

}  // namespace aefast::cpu
