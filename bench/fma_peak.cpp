// Independent fused multiply-adds in registers on every thread: prints GFLOP/s. Usage: fma_peak THREADS SECONDS
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(4 * lanes)));
// Two units of latency 4 or 5 need 8 to 10 chains; 12 and the two constants fit into 16 registers.
constexpr int chains = 12, block = 1 << 14;

static long long blocks_until(const std::atomic<bool>& stop) {
  const Lanes a = Lanes{} + 0.999f, b = Lanes{} + 0.001f;
  Lanes acc[chains];
  for (int j = 0; j < chains; ++j) acc[j] = Lanes{} + float(j);
  long long n = 0;
  for (; !stop.load(std::memory_order_relaxed); ++n)
    for (int i = 0; i < block; ++i) {
#pragma GCC unroll 12
      for (int j = 0; j < chains; ++j) acc[j] = acc[j] * a + b;
    }
  Lanes sum{};
  for (int j = 0; j < chains; ++j) sum += acc[j];
  volatile float keep = sum[0];
  (void)keep;
  return n;
}

int main(int argc, char** argv) {
  const int n_threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 0.1;
  std::atomic<bool> stop{false};
  std::atomic<long long> blocks{0};
  std::vector<std::thread> threads;
  const auto start = std::chrono::steady_clock::now();
  for (int t = 0; t < n_threads; ++t) threads.emplace_back([&] { blocks += blocks_until(stop); });
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  for (auto& thread : threads) thread.join();
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%.1f\n", 2.0 * blocks * block * chains * lanes / elapsed / 1e9);
}
