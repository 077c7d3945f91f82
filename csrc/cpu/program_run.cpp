// Running a bound plan. All threads of the team walk through the same stages with a barrier after each; what decides
// the way (losses, norms, the give-up flag) is read by all after the same barrier, so all go the same way.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "cpu/batch.h"
#include "cpu/prefetch.h"
#include "cpu/program.h"

namespace aefast::cpu {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLookEvery = std::chrono::milliseconds(50);
// Looking at the clock costs 25 ns: once per this much arithmetic (tens of microseconds) is often enough.
constexpr double kFlopsPerLook = 2e6;
// Of a thread's share of a weight gradient, between looks: about 40 ms. A piece of few rows copies its operands for
// little.
constexpr double kFlopsPerPiece = 4e9;
constexpr int64_t kPieceUnit = 48;
// Rows to a thread up to which, and weights from which on, a layer's columns are shared out and not its rows.
constexpr int64_t kFewRows = 16, kLargeLayer = 64 * 1024;
constexpr int64_t kGradientUnit = 8;  // rows of dw that are split no further
// What an entry of a sparse row, and an element of its gradient, cost beside the dense product's arithmetic.
constexpr double kFlopsPerEntry = 6, kFlopsPerElement = 30;

// The output columns [begin, end) of a linear_act or linear_dgrad alone; begin at a panel's edge.
BoundCall columns_of(const Kernels& kernels, const BoundCall& call, int64_t begin, int64_t end) {
  BoundCall part = call;
  part.panels += panel_size(kernels, begin, call.op == Op::linear_act ? call.x.cols : call.delta.cols);
  if (part.bias != nullptr) part.bias += begin;
  for (Matrix* m : {&part.out, &part.pre, &part.saved, &part.extra}) {
    if (m->data == nullptr) continue;
    m->data += begin;
    m->cols = end - begin;
  }
  return part;
}

}  // namespace

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

double Program::row_flops(const BoundCall& call) const {
  if (call.op == Op::bias_grad) return 2.0 * double(call.delta.rows);
  if (call.of_input && sparse()) {
    return kFlopsPerEntry * entries_per_row_ * double(call.delta.rows) + kFlopsPerElement * double(call.a.cols);
  }
  return 2.0 * double(call.delta.rows) * double(call.a.cols + 1);
}

void Program::run_row_call(const BoundCall& c, const Step& step, const Feed& feed, double total, int64_t begin,
                           int64_t end) {
  const NoiseAddress noise{feed.seed, feed.epoch, c.stream, step.noise_rows};
  switch (c.op) {
    case Op::gather:
      if (sparse()) {
        kernels_.gather_entries(feed.data, step.index, feed.scaling, c.out, input_.entries(), begin, end);
        if (!c.of_input) break;
      }
      kernels_.gather(feed.data, step.index, feed.scaling, c.out, begin, end);
      break;
    case Op::batch_scale:
      batch_scale(feed.sample_weight, step.index, step.rows, total, c.batch_scale, begin, end);
      break;
    case Op::corrupt:
      kernels_.corrupt(c.x, c.kind, c.level, c.low, c.high, noise, c.out, begin, end);
      break;
    case Op::linear_act:
      if (c.of_input && sparse()) {
        kernels_.linear_act_sparse(input_.entries(), c.x.cols, c.panels, c.bias, c.act, c.out, c.pre, begin, end);
      } else {
        kernels_.linear_act(c.x, c.panels, c.bias, c.act, c.out, c.pre, begin, end);
      }
      break;
    case Op::linear_loss_grad:
    case Op::linear_loss:
      kernels_.linear_loss_grad(c.x, c.panels, c.bias, c.act, c.loss, c.target, c.batch_scale, c.scale,
                                c.feature_weight, c.row_loss, c.delta, begin, end);
      break;
    case Op::linear_dgrad:
      kernels_.linear_dgrad(c.delta, c.panels, c.act, c.saved, c.extra, c.out, begin, end);
      break;
    case Op::gaussian_latent:
      kernels_.gaussian_latent(c.moments, noise, c.z, c.kl, begin, end);
      break;
    case Op::gaussian_latent_backward:
      kernels_.gaussian_latent_backward(c.moments, c.dz, c.batch_scale, step.scalars.beta, c.free_bits, noise, c.out,
                                        begin, end);
      break;
    case Op::sparsity_penalty_backward:
      kernels_.sparsity_penalty_backward(c.x, c.batch_scale, c.kind, c.weight, c.target_mean, c.mean, c.out, begin,
                                         end);
      break;
    default:
      break;  // the constructor lets no other op into a rows stage
  }
}

void Program::run_rows(const Stage& stage, const Step& step, Run& run, const Team& team) {
  int64_t begin, end;
  team.share(step.rows, 4, &begin, &end);
  double total = 0;
  if (run.feed.sample_weight != nullptr && stage.calls.front().op == Op::batch_scale) {
    total = total_weight(run.feed.sample_weight, step.index, step.rows);
  }
  if (sparse()) {
    for (const BoundCall& call : stage.calls) {
      if (call.op == Op::gather) input_.place(run.feed.data, step.index, begin, end);
    }
  }
  const double flops_per_row = flops_ / double(batch_);
  if (team.size > 1 && step.rows <= kFewRows * team.size) {
    run_layers(stage, step, run, team, total, begin, end);
    run.look(team, flops_per_row * double(end - begin));
    return;
  }
  // Blocks of nearly equal size, so that none is a sliver.
  const int64_t blocks = std::max<int64_t>(1, (end - begin + block_rows_ - 1) / block_rows_);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t from = begin + (end - begin) * i / blocks, to = begin + (end - begin) * (i + 1) / blocks;
    if (from == to) continue;
    for (const BoundCall& call : stage.calls) run_row_call(call, step, run.feed, total, from, to);
    if (run.look(team, flops_per_row * double(to - from))) return;
  }
}

// With few rows to a thread all would read all the weights, each for its few rows: a large layer's columns are shared
// out instead, with a barrier before and after. The others go on by rows.
void Program::run_layers(const Stage& stage, const Step& step, Run& run, const Team& team, double total, int64_t begin,
                         int64_t end) {
  bool before = false;
  for (const BoundCall& call : stage.calls) {
    const bool multiplies = call.op == Op::linear_act || call.op == Op::linear_dgrad;
    const int64_t depth = call.op == Op::linear_act ? call.x.cols : call.delta.cols;
    const bool by_columns = multiplies && depth * call.out.cols >= kLargeLayer && !(call.of_input && sparse());
    if (&call != &stage.calls.front() && (before || by_columns)) team.barrier.wait();
    if (by_columns) {
      int64_t from, to;
      team.share(call.out.cols, kernels_.panel_width, &from, &to);
      if (from < to) run_row_call(columns_of(kernels_, call, from, to), step, run.feed, total, 0, step.rows);
    } else if (begin < end) {
      run_row_call(call, step, run.feed, total, begin, end);
    }
    before = by_columns;
  }
}

void Program::run_reduce(const Stage& stage, const Step& step, Run& run, const Team& team) {
  // Of a step that was given up not all rows have been gathered, and what stands in their place may be of no batch.
  if (run.given_up.load(std::memory_order_relaxed)) return;
  double all = 0;
  for (const BoundCall& call : stage.calls) {
    if (call.op == Op::linear_wgrad || call.op == Op::bias_grad) {
      all += row_flops(call) * double(call.delta.cols);
    } else if (team.thread == team.size - 1) {
      if (call.op == Op::sparsity_penalty) {
        kernels_.sparsity_penalty(call.x, call.batch_scale, call.kind, call.weight, call.target_mean, call.mean,
                                  call.value);
      } else {
        *call.value = batch_loss(call.row_loss, call.batch_scale, step.rows, call.scale, call.kl, step.scalars.beta,
                                 call.free_bits, call.penalty);
      }
    }
  }
  // The rows of all gradients stand in one line, cut into equal work.
  double before = 0;
  for (const BoundCall& call : stage.calls) {
    if (call.op != Op::linear_wgrad && call.op != Op::bias_grad) continue;
    const double each = row_flops(call);
    const int64_t n = call.delta.cols;
    auto cut = [&](int thread) {
      const double rows = (all * thread / team.size - before) / each;
      const int64_t units = int64_t(std::llround(std::max(0.0, std::min(rows, double(n))) / double(kGradientUnit)));
      return std::min(n, units * kGradientUnit);
    };
    int64_t from = team.thread == 0 ? 0 : cut(team.thread);
    const int64_t end = team.thread + 1 == team.size ? n : cut(team.thread + 1);
    const int64_t piece = std::max<int64_t>(1, int64_t(kFlopsPerPiece / each) / kPieceUnit) * kPieceUnit;
    for (; from < end; from += piece) {
      const int64_t to = std::min(end, from + piece);
      float* scratch = scratch_.get() + team.thread * kernels_.gradient_scratch;
      if (call.of_input && sparse()) {
        kernels_.linear_wgrad_sparse(call.delta, call.a, input_.entries(), call.dw, call.db, call.accumulate,
                                     call.row_square_norm, scratch, from, to);
      } else {
        kernels_.linear_wgrad(call.delta, call.a, call.dw, call.db, call.accumulate, call.row_square_norm, scratch,
                              from, to);
      }
      if (run.look(team, each * double(to - from))) return;
    }
    before += each * double(n);
  }
}

void Program::run_stage(const Stage& stage, const Step& step, Run& run, const Team& team) {
  if (stage.kind == Stage::Kind::rows) run_rows(stage, step, run, team);
  else run_reduce(stage, step, run, team);
  team.barrier.wait();
}

void Program::run_update(const Step& step, double clip, const Team& team) {
  size_t begin, end;
  panels_.share(team.thread, team.size, &begin, &end);
  for (size_t i = begin; i < end; ++i) {
    const UpdateTile& tile = panels_.tiles()[i];
    kernels_.update(update_->rule, step.scalars, clip, buffers_.params, buffers_.grads, update_->slot0, update_->slot1,
                    update_->ema, tile.begin, tile.end);
    panels_.pack(kernels_, buffers_.params, tile);
  }
}

void Program::pack_all(const Team& team) {
  size_t begin, end;
  panels_.share(team.thread, team.size, &begin, &end);
  for (size_t i = begin; i < end; ++i) panels_.pack(kernels_, buffers_.params, panels_.tiles()[i]);
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
    const Step step{run.feed.index + i * batch_, noise + i * batch_, batch_, {s[0], s[1], s[2], s[3]}};
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
      sum_norms(call->row_square_norm, call->delta.cols, partials);
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
  if (!rows_only_ && team > scratch_threads_) {
    scratch_ = aligned_floats(team * kernels_.gradient_scratch);
    scratch_threads_ = team;
  }
}

RunResult Program::run_steps(const Feed& feed, const double* scalars, int64_t n, double* losses, int nonfinite,
                             double clip_norm, int threads, const Interrupted& interrupted) {
  if (update_ == nullptr) throw std::invalid_argument("this plan has no update phase: use run_phases");
  if (n > feed.n_index / batch_) {
    throw std::invalid_argument(std::to_string(n) + " steps of " + std::to_string(batch_) + " rows need an index of " +
                                std::to_string(n * batch_) + ", but it holds " + std::to_string(feed.n_index));
  }
  check_feed(feed, 0, n * batch_);
  Exclusive exclusive(*this);
  prepare_input(feed, 0, n * batch_, nonfinite != 2);  // 2: weights may stop being finite on the way
  finite_.store(true);
  weights_checked_ = false;
  const int most = most_threads(threads);
  make_scratch(most);
  team_.begin(flops_, most);
  std::optional<Prefetch> prefetch;
  if (feed.prefetch && n > 1) prefetch.emplace(feed.data, feed.index, feed.n_index, batch_);
  Run run{feed, interrupted, scalars, losses, 0, 0, nonfinite, clip_norm, prefetch ? &*prefetch : nullptr, insists_};
  while (run.last < n && run.result.status == Status::done) {
    run.first = run.last;
    run.last = run.first + std::min(n - run.first, team_.steps());
    const auto begin = Clock::now();
    parallel(team_.size(), [&](const Team& team) { train(run, team); });
    team_.took(std::chrono::duration<double>(Clock::now() - begin).count(), run.result.steps_done - run.first);
  }
  insists_ = run.result.status == Status::interrupted;
  return run.result;
}

Status Program::run_phases(const Feed& feed, int64_t start, int64_t stop, double beta, bool repack, int threads,
                           const Interrupted& interrupted) {
  check_feed(feed, start, stop);
  const int64_t rows = stop - start;
  if (rows > batch_ || (!rows_only_ && rows != batch_)) {
    throw std::invalid_argument("the plan holds " + std::to_string(batch_) + " rows a batch, but got " +
                                std::to_string(rows));
  }
  if (rows == 0) return Status::done;
  Exclusive exclusive(*this);
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
  const int size = threads_for(flops_, most_threads(threads));
  make_scratch(size);
  parallel(size, [&](const Team& team) {
    if (repack) {
      pack_all(team);
      team.barrier.wait();
    }
    if (look_at_weights) check_input_weights(team);
    for (const Stage& stage : stages_) run_stage(stage, step, run, team);
    if (team.thread != 0) return;
    for (const BoundCall* call : normed_) sum_norms(call->row_square_norm, call->delta.cols, call->partials);
  });
  return run.given_up.load() ? Status::interrupted : Status::done;
}

}  // namespace aefast::cpu
