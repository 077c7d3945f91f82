// What the stages of a run share.
#pragma once

#include <algorithm>
#include <chrono>

#include "cpu/prefetch.h"
#include "cpu/program.h"

namespace aefast::cpu {

using Clock = std::chrono::steady_clock;
constexpr auto kLookEvery = std::chrono::milliseconds(50);
// Looking at the clock costs 25 ns: once per this much arithmetic (tens of microseconds) is often enough.
constexpr double kFlopsPerLook = 2e6;

struct Program::Step {
  const int64_t* index;
  const int64_t* noise_rows;
  int64_t rows;
  StepScalars scalars;
};

struct Program::Run {
  const Feed& feed;
  const Interrupted& interrupted;
  const double* scalars = nullptr;
  double* losses = nullptr;
  int64_t first = 0, last = 0;  // the steps of this stretch
  int nonfinite = 0;
  double clip_norm = 0;
  Prefetch* prefetch = nullptr;
  bool insists = false;  // the first step isn't given up
  std::atomic<bool> given_up{false};
  // Of the calling thread alone.
  RunResult result{0, Status::done};
  double flops_since_look = 0;
  Clock::time_point last_look = Clock::now();

  // Counts work; now and then thread 0 asks whether to give up. True: leave out the rest of the step.
  bool look(const Team& team, double flops) {
    if (team.thread == 0 && (flops_since_look += flops) > kFlopsPerLook) {
      flops_since_look = 0;
      const auto now = Clock::now();
      if (now - last_look > kLookEvery) {
        last_look = now;
        if (!(insists && result.steps_done == 0) && interrupted && interrupted())
          given_up.store(true, std::memory_order_relaxed);
      }
    }
    return given_up.load(std::memory_order_relaxed);
  }
};

}  // namespace aefast::cpu
