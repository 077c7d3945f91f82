#include "cpu/team_choice.h"

#include <algorithm>

#include "cpu/pool.h"

namespace aefast::cpu {
namespace {

// Steps of more arithmetic than this (a few milliseconds) gain from every thread, busy machine or not.
constexpr double kSurelyShared = 4e8;
constexpr double kShortest = 0.008, kLongest = 1.0;  // seconds of a settled stretch
constexpr double kExploration = 0.01;                // of the stretch before
constexpr double kPiece = 0.05;                      // of a stretch, after which the clock is read
constexpr double kGlimpse = 0.0005;                  // seconds that an exploration takes at least
constexpr double kBetter = 0.93;                     // of the time a step: what it takes to change
constexpr double kSecondsPerFlop = 2e-11;            // before anything is measured

}  // namespace

void TeamChoice::begin(double flops, int threads) {
  const double each = flops_per_thread();
  if (flops == flops_ && threads == threads_ && each == flops_per_thread_) return;
  flops_ = flops;
  threads_ = threads;
  flops_per_thread_ = each;
  const int guess = threads_for(flops, threads);
  ladder_.assign(1, guess);
  if (flops <= kSurelyShared && each > 0) {
    for (int size = 1; size < threads; size *= 2) ladder_.push_back(size);
    ladder_.push_back(threads);
    std::sort(ladder_.begin(), ladder_.end());
    ladder_.erase(std::unique(ladder_.begin(), ladder_.end()), ladder_.end());
  }
  per_step_.assign(ladder_.size(), 0.0);
  settle(int(std::find(ladder_.begin(), ladder_.end(), guess) - ladder_.begin()));
}

void TeamChoice::settle(int rung) {
  settled_ = rung;
  exploring_ = false;
  patience_ = left_ = kShortest;
}

int64_t TeamChoice::steps() const {
  if (!adapts()) return INT64_MAX;
  const double known = per_step_[std::size_t(settled_)], each = known > 0 ? known : flops_ * kSecondsPerFlop + 1e-6;
  return std::max<int64_t>(1, int64_t(std::min(left_, kPiece) / each));
}

void TeamChoice::took(double seconds, int64_t steps) {
  if (!adapts() || steps < 1) return;
  per_step_[std::size_t(exploring_ ? candidate_ : settled_)] = seconds / double(steps);
  left_ -= seconds;
  if (left_ > 0) return;  // a run ended before the stretch did
  if (!exploring_) return explore();
  if (per_step_[std::size_t(candidate_)] < kBetter * per_step_[std::size_t(settled_)]) return settle(candidate_);
  exploring_ = false;
  patience_ = left_ = std::min(kLongest, 2 * patience_);
}

// The neighbours take turns; at an end of the ladder there is one.
void TeamChoice::explore() {
  direction_ = -direction_;
  if (settled_ + direction_ < 0 || settled_ + direction_ >= int(ladder_.size())) direction_ = -direction_;
  candidate_ = settled_ + direction_;
  exploring_ = true;
  left_ = std::max(kGlimpse, kExploration * patience_);
}

}  // namespace aefast::cpu
