// The process's thread pool: persistent workers, one parallel region at a time, a spinning barrier inside it. A thread
// that was given a share of the processors (limit_this_thread) starts workers of its own where that pool is busy. Work
// is split statically by the callers; no result may depend on the number of threads.
#pragma once

#include <atomic>
#include <cstdint>

namespace aefast::cpu {

// Threads of a region: those wanted (0: set_num_threads, else AEFAST_NUM_THREADS, OMP_NUM_THREADS, affinity and cgroup
// quota), but no more than the limits of the process and of the calling thread.
int most_threads(int wanted);
int num_threads();  // most_threads(0)
// n >= 1 fixes the default; 0 goes back to the environment's. Throws std::invalid_argument below 0.
void set_num_threads(int n);

// The process's limit, which threadpoolctl sets and puts back; 0: none. process_threads: the number in force, whatever
// the calling thread's own limit.
void limit_process(int n);
int process_limit();
int process_threads();
// The calling thread's; 0: none. The one before.
int limit_this_thread(int n);

// Waits by spinning, then yielding, then sleeping, so that a short wait costs no system call and a long one no core.
class Barrier {
 public:
  void reset(int parties) { parties_ = parties; }
  void wait();

 private:
  int parties_ = 1;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> round_{0};
};

// What one thread of a region sees.
struct Team {
  int thread;
  int size;
  Barrier& barrier;

  // This thread's share [begin, end) of n items, cut at multiples of `grain`.
  void share(int64_t n, int64_t grain, int64_t* begin, int64_t* end) const;
};

// Runs body(context, team) once on each of at most `threads` threads (the caller is thread 0) and returns when all are
// done. Fewer threads run it where the system refuses more. Where the pool is busy with another caller's region, the
// caller runs it alone, or with workers of its own if it has a limit of its own: so callers together never multiply.
using RegionBody = void (*)(void* context, const Team& team);
void parallel_region(int threads, RegionBody body, void* context);

template <class Function>
void parallel(int threads, Function&& function) {
  parallel_region(
      threads, [](void* context, const Team& team) { (*static_cast<Function*>(context))(team); }, &function);
}

// How many of `threads` this much arithmetic is worth: a small step is faster on one thread than a barrier between two.
int threads_for(double flops, int threads);
// Arithmetic worth one more thread; 0 makes every step use all threads (for tests). Throws std::invalid_argument below
// 0.
void set_flops_per_thread(double flops);
double flops_per_thread();

// Counts forks: state left behind by the parent's other threads is told by an older generation.
uint32_t fork_generation();

}  // namespace aefast::cpu
