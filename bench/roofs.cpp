// What moving data and waiting for each other costs: prints {"barrier_us": x, "bandwidth": [[bytes, GB/s], ...]}.
// Usage: roofs THREADS
// Bandwidth is that of an optimizer's pass over `bytes` in all: four arrays read, three of them written.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// All threads spin until the last one has come; every wait has a number.
struct Barrier {
  explicit Barrier(int n) : n_threads(n) {}
  void wait() {
    const int mine = turn.load(std::memory_order_relaxed);
    if (come.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads) {
      come.store(0, std::memory_order_relaxed);
      turn.store(mine + 1, std::memory_order_release);
    } else {
      // Where threads outnumber free cores, spinning for good would wait for the scheduler's next tick.
      for (int spins = 0; turn.load(std::memory_order_acquire) == mine;)
        if (++spins > 10000) std::this_thread::yield();
    }
  }
  const int n_threads;
  std::atomic<int> come{0}, turn{0};
};

template <typename Work>
static void on_all(int n_threads, Work work) {
  std::vector<std::thread> threads;
  for (int t = 0; t < n_threads; ++t) threads.emplace_back(work, t);
  for (auto& thread : threads) thread.join();
}

static double barrier_us(int n_threads) {
  constexpr int waits = 2000;
  double best = 1e9;
  Barrier barrier(n_threads);
  on_all(n_threads, [&](int t) {
    for (int round = 0; round < 7; ++round) {
      barrier.wait();
      const auto start = Clock::now();
      for (int i = 0; i < waits; ++i) barrier.wait();
      if (const double us = since(start) / waits * 1e6; t == 0 && us < best) best = us;
    }
  });
  return best;
}

static double gigabytes_a_second(int n_threads, long bytes) {
  const long n = bytes / 16 / n_threads;
  double best = 0;
  Barrier barrier(n_threads);
  on_all(n_threads, [&](int t) {
    std::vector<float> p(n, 1.0f), g(n, 1.0f), m(n, 0.0f), v(n, 0.0f);
    const long passes = 1 + (1L << 25) / (bytes + 1);
    for (int round = 0; round < 5; ++round) {
      barrier.wait();
      const auto start = Clock::now();
      for (long pass = 0; pass < passes; ++pass) {
        float *pp = p.data(), *gg = g.data(), *mm = m.data(), *vv = v.data();
#pragma GCC ivdep
        for (long i = 0; i < n; ++i) {
          mm[i] = 0.9f * mm[i] + gg[i];
          vv[i] = 0.99f * vv[i] + gg[i];
          pp[i] -= 1e-6f * mm[i] + vv[i] * 1e-6f;
        }
      }
      barrier.wait();
      // Seven transfers of four bytes an element.
      const double rate = 28.0 * n * n_threads * passes / since(start) / 1e9;
      if (t == 0 && rate > best) best = rate;
    }
    volatile float keep = p[0] + m[n - 1];
    (void)keep;
  });
  return best;
}

int main(int argc, char** argv) {
  const int n_threads = argc > 1 ? std::atoi(argv[1]) : 1;
  std::printf("{\"barrier_us\": %.4f, \"bandwidth\": [", n_threads > 1 ? barrier_us(n_threads) : 0.0);
  const long sizes[] = {1L << 16, 1L << 18, 1L << 20, 1L << 22, 1L << 24, 1L << 26, 1L << 28};
  for (long bytes : sizes)
    std::printf("%s[%ld, %.1f]", bytes == sizes[0] ? "" : ", ", bytes, gigabytes_a_second(n_threads, bytes));
  std::printf("]}\n");
}
