// Running a bound plan. All threads of the team walk through the same stages with a barrier after each; what decides
// the way (losses, norms, the give-up flag) is read by all after the same barrier, so all go the same way.
#include "cpu/program_run.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "cpu/batch.h"

namespace aefast::cpu {

// One run at a time; a run that a fork cut off in the parent's other thread doesn't count in the child.
class Program::Exclusive {
 public:
  explicit Exclusive(Program& program) : program_(program) {
    const uint64_t mine = uint64_t(fork_generation()) + 1;
    uint64_t seen = program.busy_.load();
    do {
      if (seen == mine) throw std::runtime_error("this program is running in another thread; make one for each thread");
    } while (!program.busy_.compare_exchange_weak(seen, mine));
  }
  ~Exclusive() { program_.busy_.store(0); }

 private:
  Program& program_;
};

void Program::run_update(const Step& step, double clip, const Team& team) {
  size_t begin, end;
  panels_.share(team.thread, team.size, &begin, &end);
  for (size_t i = begin; i < end; ++i) {
    const UpdateTile& tile = panels_.tiles()[i];
    kernels_.update(update_->rule, step.scalars, clip, buffers_.params, buffers_.grads, update_->slot0, update_->slot1,
                    update_->ema, tile.begin, tile.end);
    panels_.pack(kernels_, buffers_.params, tile);
  }
  if (!panels_.convolutions()) return;
  team.barrier.wait();  // whose pieces are of other shapes than the tiles
  panels_.pack_convolutions(kernels_, buffers_.params, team.thread, team.size);
}

void Program::pack_all(const Team& team) {
  size_t begin, end;
  panels_.share(team.thread, team.size, &begin, &end);
  for (size_t i = begin; i < end; ++i) panels_.pack(kernels_, buffers_.params, panels_.tiles()[i]);
  panels_.pack_convolutions(kernels_, buffers_.params, team.thread, team.size);
}

void Program::prepare_input(const Feed& feed, int64_t start, int64_t stop, bool wanted) {
  sparse_ = wanted && reads_input_ && SparseInput::suits(feed.data, feed.scaling);
  if (!sparse_) return;
  entries_per_row_ = SparseInput::per_row(feed.data);
  input_.reserve(feed.data, feed.index + start, stop - start, batch_);
}

void Program::check_input_weights(const Team& team) {
  if (!sparse_) return;
  for (const Stage& stage : stages_) {
    for (const BoundCall& call : stage.calls) {
      if (call.op != Op::linear_act || !call.of_input) continue;
      int64_t begin, end;
      team.share(panel_size(kernels_, call.out.cols, call.x.cols), 64, &begin, &end);
      if (!all_finite(call.panels + begin, end - begin)) finite_.store(false, std::memory_order_relaxed);
    }
  }
  team.barrier.wait();
}

void Program::train(Run& run, const Team& team) {
  const int64_t* noise = run.feed.noise_rows != nullptr ? run.feed.noise_rows : run.feed.index;
  if (run.first == 0) {
    pack_all(team);
    team.barrier.wait();
    check_input_weights(team);
  }
  for (int64_t i = run.first; i < run.last; ++i) {
    const double* s = run.scalars + 4 * i;
    const Step step{run.feed.index + i * rows_, noise + i * rows_, rows_, {s[0], s[1], s[2], s[3]}};
    for (const Stage& stage : stages_) run_stage(stage, step, run, team);
    if (run.given_up.load(std::memory_order_relaxed)) {
      if (team.thread == 0) run.result.status = Status::interrupted;
      return;
    }
    const double loss = *loss_;
    double square_norm = 0;
    bool finite = std::isfinite(loss);
    for (const BoundCall* call : normed_) {
      double partials[2];
      sum_norms(call->row_square_norm, call->gradient_rows, partials);
      square_norm += partials[0];
      finite = finite && partials[1] == 0.0;
      if (team.thread == 0) std::copy(partials, partials + 2, call->partials);
    }
    if (team.thread == 0) run.losses[i] = loss;
    if (!finite && run.nonfinite == 0) {
      if (team.thread == 0) run.result.status = Status::nonfinite;
      return;
    }
    if (finite || run.nonfinite == 2) run_update(step, clip_scale(square_norm, run.clip_norm), team);
    if (team.thread == 0) {
      run.result.steps_done = i + 1;
      if (run.prefetch != nullptr) run.prefetch->reached(i + 1);
    }
    team.barrier.wait();
  }
}

void Program::check_feed(const Feed& feed, int64_t start, int64_t stop) const {
  if (gather_cols_ != 0 && feed.data.cols != gather_cols_) {
    throw std::invalid_argument("the plan gathers " + std::to_string(gather_cols_) + " features, but data has " +
                                std::to_string(feed.data.cols));
  }
  if (start < 0 || start > stop || stop > feed.n_index) {
    throw std::out_of_range("rows [" + std::to_string(start) + ", " + std::to_string(stop) + ") of an index of " +
                            std::to_string(feed.n_index));
  }
  check_index(feed.index + start, stop - start, feed.data.rows);
}

void Program::make_scratch(int team) {
  if (scratch_floats_ > 0 && team > scratch_threads_) {
    scratch_ = aligned_floats(team * scratch_floats_);
    scratch_threads_ = team;
  }
}

// A short last batch is no plan of its own, with panels and memory of its own: its rows are the first of these.
void Program::take_rows(int64_t rows) {
  if (rows < 1 || rows > batch_) {
    throw std::invalid_argument("the plan holds " + std::to_string(batch_) + " rows a batch, but got " +
                                std::to_string(rows));
  }
  if (rows == rows_) return;
  rows_ = rows;
  for (Stage& stage : stages_) {
    for (BoundCall& c : stage.calls) {
      for (Matrix* m : {&c.x, &c.out, &c.pre, &c.target, &c.delta, &c.saved, &c.extra, &c.a, &c.moments, &c.z, &c.dz}) {
        if (m->data != nullptr) m->rows = rows;
      }
    }
  }
}

RunResult Program::run_steps(const Feed& feed, int64_t rows, const double* scalars, int64_t n, double* losses,
                             int nonfinite, double clip_norm, int threads, const Interrupted& interrupted) {
  if (update_ == nullptr) throw std::invalid_argument("this plan has no update phase: use run_phases");
  if (rows < 1 || n > feed.n_index / rows) {
    throw std::invalid_argument(std::to_string(n) + " steps of " + std::to_string(rows) + " rows need an index of " +
                                std::to_string(n * rows) + ", but it holds " + std::to_string(feed.n_index));
  }
  check_feed(feed, 0, n * rows);
  Exclusive exclusive(*this);
  take_rows(rows);
  prepare_input(feed, 0, n * rows, nonfinite != 2);  // 2: weights may stop being finite on the way
  finite_.store(true);
  weights_checked_ = false;
  const int most = most_threads(threads);
  make_scratch(most);
  TeamChoice& choice = rows == batch_ ? team_ : short_team_;
  choice.begin(flops_ * double(rows) / double(batch_), most);
  std::optional<Prefetch> prefetch;
  if (feed.prefetch && n > 1) prefetch.emplace(feed.data, feed.index, feed.n_index, rows);
  Run run{feed, interrupted, scalars, losses, 0, 0, nonfinite, clip_norm, prefetch ? &*prefetch : nullptr, insists_};
  while (run.last < n && run.result.status == Status::done) {
    run.first = run.last;
    run.last = run.first + std::min(n - run.first, choice.steps());
    const auto begin = Clock::now();
    parallel(choice.size(), [&](const Team& team) { train(run, team); });
    choice.took(std::chrono::duration<double>(Clock::now() - begin).count(), run.result.steps_done - run.first);
  }
  insists_ = run.result.status == Status::interrupted;
  return run.result;
}

Status Program::run_phases(const Feed& feed, int64_t start, int64_t stop, double beta, bool repack, int threads,
                           const Interrupted& interrupted) {
  check_feed(feed, start, stop);
  const int64_t rows = stop - start;
  if (rows == 0) return Status::done;
  Exclusive exclusive(*this);
  take_rows(rows);
  prepare_input(feed, start, stop, true);
  if (repack) weights_checked_ = false;
  const bool look_at_weights = sparse_ && !weights_checked_;
  if (look_at_weights) {
    weights_checked_ = true;
    finite_.store(true);
  }
  Run run{feed, interrupted};
  const int64_t* noise = feed.noise_rows != nullptr ? feed.noise_rows : feed.index;
  const Step step{feed.index + start, noise + start, rows, {0, 1, 1, beta}};
  const int size = threads_for(flops_ * double(rows) / double(batch_), most_threads(threads));
  make_scratch(size);
  parallel(size, [&](const Team& team) {
    if (repack) {
      pack_all(team);
      team.barrier.wait();
    }
    if (look_at_weights) check_input_weights(team);
    for (const Stage& stage : stages_) run_stage(stage, step, run, team);
    if (team.thread != 0) return;
    for (const BoundCall* call : normed_) sum_norms(call->row_square_norm, call->gradient_rows, call->partials);
  });
  return run.given_up.load() ? Status::interrupted : Status::done;
}

}  // namespace aefast::cpu
