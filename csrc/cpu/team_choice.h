// How many threads a program's steps get. The model of threads_for makes the first guess; what decides is measured on
// the way, since the worth of a thread depends on who else wants the cores. No bit of a result depends on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace aefast::cpu {

// Steps run in stretches. Most of them settle on the best team so far; in between a short one explores the next smaller
// or larger team. As long as nothing changes, explorations get rarer: from every 8 ms to every second.
class TeamChoice {
 public:
  // Before a run: steps of `flops` on at most `threads` threads. What an earlier run of the same kind learned stays.
  void begin(double flops, int threads);

  int size() const { return ladder_[std::size_t(exploring_ ? candidate_ : settled_)]; }
  int64_t steps() const;  // of the next stretch, at least 1
  void took(double seconds, int64_t steps);

 private:
  bool adapts() const { return ladder_.size() > 1; }
  void settle(int rung);
  void explore();

  double flops_ = 0, flops_per_thread_ = 0;
  int threads_ = 0;
  std::vector<int> ladder_{1};    // team sizes to choose from, ascending
  std::vector<double> per_step_;  // seconds, as last measured; 0: not yet
  int settled_ = 0, candidate_ = 0, direction_ = 1;
  bool exploring_ = false;
  double patience_ = 0, left_ = 0;  // seconds between two explorations, and until the next or of this one
};

}  // namespace aefast::cpu
