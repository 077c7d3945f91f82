#include "cpu/pool.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "cpu/threads.h"

namespace aefast::cpu {
namespace {

// A region's phases are some microseconds apart, so the spin covers them; the yields cover a core shared with others.
constexpr auto kSpin = std::chrono::microseconds(80);
constexpr auto kYield = std::chrono::microseconds(400);
constexpr int kPausesPerLook = 32;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns the first value for which done(value) holds.
template <class T, class Done>
T await(const std::atomic<T>& word, Done done) {
  T value = word.load(std::memory_order_acquire);
  if (done(value)) return value;
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      pause();
      value = word.load(std::memory_order_acquire);
      if (done(value)) return value;
    }
    if (std::chrono::steady_clock::now() - start > kSpin) break;
  }
  while (std::chrono::steady_clock::now() - start < kSpin + kYield) {
    std::this_thread::yield();
    value = word.load(std::memory_order_acquire);
    if (done(value)) return value;
  }
  for (;;) {
    word.wait(value, std::memory_order_acquire);
    value = word.load(std::memory_order_acquire);
    if (done(value)) return value;
  }
}

class Pool {
 public:
  ~Pool() {
    stopping_ = true;
    publish(0);
    for (std::thread& worker : workers_) worker.join();
  }

  // False where another caller's region runs.
  bool try_run(int threads, RegionBody body, void* context) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock) return false;
    threads = grow(threads);
    body_ = body;
    context_ = context;
    barrier_.reset(threads);
    remaining_.store(threads - 1, std::memory_order_relaxed);
    publish(threads);
    body(context, Team{0, threads, barrier_});
    await(remaining_, [](int left) { return left == 0; });
    return true;
  }

  bool idle() {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    return lock.owns_lock();
  }

 private:
  int grow(int threads) {
    try {
      while (static_cast<int>(workers_.size()) < threads - 1) {
        const int id = static_cast<int>(workers_.size()) + 1;
        workers_.emplace_back([this, id, seen = ticket_.load()] { work(id, seen); });
      }
    } catch (const std::system_error&) {  // no more threads to be had: the region runs on those there are
    } catch (const std::bad_alloc&) {
    }
    return std::min(threads, static_cast<int>(workers_.size()) + 1);
  }

  // One word holds the region's number and its size, so that a worker outside the region touches nothing else of it.
  void publish(int threads) {
    ticket_.store((((ticket_.load(std::memory_order_relaxed) >> 12) + 1) << 12) | static_cast<uint32_t>(threads),
                  std::memory_order_release);
    ticket_.notify_all();
  }

  void work(int id, uint32_t seen) {
    for (;;) {
      seen = await(ticket_, [seen](uint32_t ticket) { return ticket != seen; });
      if (stopping_) return;
      const int threads = static_cast<int>(seen & 0xfff);
      if (id >= threads) continue;
      body_(context_, Team{id, threads, barrier_});
      if (remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1) remaining_.notify_all();
    }
  }

  std::mutex mutex_;
  std::vector<std::thread> workers_;
  RegionBody body_ = nullptr;
  void* context_ = nullptr;
  Barrier barrier_;
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<uint32_t> ticket_{0};
  alignas(64) std::atomic<int> remaining_{0};
};

std::atomic<int> g_threads{0};
std::atomic<int> g_limit{0};
std::atomic<double> g_flops_per_thread{1.5e6};
std::atomic<Pool*> g_pool{nullptr};
std::atomic<uint32_t> g_generation{0};

// The child of a fork has none of the pool's threads and maybe a locked mutex: the old pool is left behind, never
// destroyed.
void drop_pool_in_child() {
  g_pool.store(nullptr);
  g_generation.fetch_add(1);
}

// At exit the workers are joined, unless a thread that will never come back (a daemon thread stopped by the
// interpreter) still owns a region.
struct JoinAtExit {
  ~JoinAtExit() {
    Pool* pool = g_pool.exchange(nullptr);
    if (pool != nullptr && pool->idle()) delete pool;
  }
};

Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, drop_pool_in_child);
  static JoinAtExit join_at_exit;
  (void)registered;
  Pool* current = g_pool.load(std::memory_order_acquire);
  if (current == nullptr) {
    auto fresh = std::make_unique<Pool>();
    if (g_pool.compare_exchange_strong(current, fresh.get())) current = fresh.release();
  }
  return *current;
}

// What one thread of the process was given of its processors, and the workers that it keeps to fill them.
struct Share {
  int limit = 0;
  std::unique_ptr<Pool> own;
  uint32_t generation = 0;

  ~Share() { forget_after_fork(); }

  Pool& pool() {
    forget_after_fork();
    if (own == nullptr) own = std::make_unique<Pool>();
    return *own;
  }

  // As with the process's pool: the child of a fork leaves what it has no threads of behind.
  void forget_after_fork() {
    const uint32_t now = g_generation.load();
    if (generation != now) (void)own.release();
    generation = now;
  }
};

thread_local Share t_share;

int unlimited_threads() {
  const int fixed = g_threads.load();
  if (fixed > 0) return fixed;
  // The environment is read once; affinity changed later is taken up by set_num_threads(0).
  const int found = default_num_threads();
  int expected = 0;
  g_threads.compare_exchange_strong(expected, found);
  return g_threads.load();
}

}  // namespace

void Barrier::wait() {
  if (parties_ == 1) return;
  const uint32_t round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    round_.notify_all();
  } else {
    await(round_, [round](uint32_t now) { return now != round; });
  }
}

void Team::share(int64_t n, int64_t grain, int64_t* begin, int64_t* end) const {
  const int64_t units = (n + grain - 1) / grain;
  *begin = std::min(n, units * thread / size * grain);
  *end = std::min(n, units * (thread + 1) / size * grain);
}

void parallel_region(int threads, RegionBody body, void* context) {
  if (threads > 1) {
    if (pool().try_run(threads, body, context)) return;
    if (t_share.limit > 1 && t_share.pool().try_run(threads, body, context)) return;
  }
  Barrier alone;
  body(context, Team{0, 1, alone});
}

int threads_for(double flops, int threads) {
  const double each = flops_per_thread();
  return each > 0 ? std::max(1, static_cast<int>(std::min<double>(threads, flops / each))) : std::max(1, threads);
}

void set_flops_per_thread(double flops) {
  if (!(flops >= 0)) throw std::invalid_argument("flops must be at least 0, but is " + std::to_string(flops));
  g_flops_per_thread.store(flops);
}

double flops_per_thread() { return g_flops_per_thread.load(std::memory_order_relaxed); }

int most_threads(int wanted) {
  int n = wanted > 0 ? wanted : unlimited_threads();
  for (const int limit : {g_limit.load(std::memory_order_relaxed), t_share.limit}) {
    if (limit > 0) n = std::min(n, limit);
  }
  return n;
}

int num_threads() { return most_threads(0); }

void set_num_threads(int n) {
  if (n < 0 || n > 1024) {
    throw std::invalid_argument("the number of threads must be from 1 to 1024 (0: the environment's), but is " +
                                std::to_string(n));
  }
  g_threads.store(n);
}

int process_limit() { return g_limit.load(); }

int process_threads() {
  const int n = unlimited_threads(), limit = process_limit();
  return limit > 0 ? std::min(n, limit) : n;
}

void limit_process(int n) { g_limit.store(std::max(n, 0)); }

int limit_this_thread(int n) {
  if (n < 0) throw std::invalid_argument("a limit must be at least 1 (0: none), but is " + std::to_string(n));
  if (n <= 1) {
    t_share.forget_after_fork();
    t_share.own.reset();
  }
  return std::exchange(t_share.limit, n);
}

uint32_t fork_generation() { return g_generation.load(); }

}  // namespace aefast::cpu
