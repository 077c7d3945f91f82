// A plan bound to memory: runs training steps without Python. The plan is read once, at construction, into calls with
// resolved pointers; afterwards nothing is allocated.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/panels.h"
#include "cpu/pool.h"
#include "cpu/sparse_input.h"
#include "cpu/team_choice.h"

namespace aefast::cpu {

// The plan as it comes in; offsets and strides in elements.
struct Ref {
  std::string space;
  int64_t offset = 0, rows = 0, cols = 0, row_stride = 0, col_stride = 1;
};
struct CallDescription {
  std::string op;
  std::map<std::string, Ref> args;  // absent arguments aren't in it
  std::map<std::string, double> attrs;
};
struct PhaseDescription {
  std::string kind;
  std::vector<CallDescription> calls;
};
struct PlanDescription {
  int64_t batch = 0, arena_size = 0, stats_size = 0;
  Compute compute = Compute::float32;
  std::vector<PhaseDescription> phases;
};

// The flat buffers outside the program, n_flat floats each; absent ones are null.
struct FlatBuffers {
  float *params = nullptr, *grads = nullptr, *slot0 = nullptr, *slot1 = nullptr, *ema = nullptr;
  int64_t n_flat = 0;
};

// What a run reads.
struct Feed {
  Source data;
  const int64_t* index = nullptr;
  const int64_t* noise_rows = nullptr;  // as long as index; its own for a null
  int64_t n_index = 0;
  const double* sample_weight = nullptr;
  Scaling scaling;
  uint64_t seed = 0;
  uint32_t epoch = 0;
  bool prefetch = false;  // run_steps: have rows to come read from their file; see prefetch.h
};

enum class Op {
  gather,
  batch_scale,
  corrupt,
  linear_act,
  linear_loss_grad,
  linear_loss,
  linear_dgrad,
  linear_wgrad,
  conv_act,
  conv_loss_grad,
  conv_loss,
  conv_dgrad,
  conv_wgrad,
  pool,
  pool_dgrad,
  upsample,
  upsample_dgrad,
  transpose_rows,
  bias_grad,
  gaussian_latent,
  gaussian_latent_backward,
  sparsity_penalty,
  sparsity_penalty_backward,
  batch_loss,
  update,
};

// One op with its pointers. Which fields are set follows from the op.
struct BoundCall {
  Op op;
  Matrix x, out, pre, target, delta, saved, extra, a, dw, moments, z, dz;
  const float *panels = nullptr, *bias = nullptr, *feature_weight = nullptr;
  float *batch_scale = nullptr, *row_loss = nullptr, *kl = nullptr, *db = nullptr, *mean = nullptr;
  float *slot0 = nullptr, *slot1 = nullptr, *ema = nullptr;
  double *partials = nullptr, *value = nullptr;
  const double* penalty = nullptr;
  double* row_square_norm = nullptr;
  int act = 0, loss = 0, kind = 0;
  bool accumulate = false;
  bool of_input = false;  // gather: others too read its rows; linear_act, linear_wgrad: they read the gathered rows
  double scale = 1, level = 0, low = 0, high = 0, weight = 0, target_mean = 0, free_bits = 0;
  int64_t stream = -1, matrix_rows = 1;
  UpdateRule rule;
  Geometry geometry{};
  Direction direction = Direction::forward;
  double flops = 0;           // of the product, a batch row
  int64_t gradient_rows = 0;  // rows of dw, or elements of db alone
};

// Calls between two barriers.
struct Stage {
  enum class Kind { rows, reduce } kind;
  std::vector<BoundCall> calls;
};

enum class Status : int { done = 0, nonfinite = 1, interrupted = 2 };
struct RunResult {
  int64_t steps_done;
  Status status;
};

class Program {
 public:
  // Throws std::invalid_argument where the plan doesn't fit the memory or names something unknown.
  Program(const PlanDescription& plan, FlatBuffers buffers);

  // Asked about every 50 ms by the calling thread; true gives up the step before its update and ends the run.
  using Interrupted = std::function<bool()>;

  // n steps, one batch of `rows` of feed.index each, at most the plan's. scalars (n, 4) = [lr, c1, c2, beta]; losses
  // (n,) written. nonfinite: 0 stops before the update of a step that isn't finite, 1 leaves its update out, 2 goes on.
  // threads 0: the default.
  RunResult run_steps(const Feed& feed, int64_t rows, const double* scalars, int64_t n, double* losses, int nonfinite,
                      double clip_norm, int threads, const Interrupted& interrupted);

  // Every phase but the update on rows index[start, stop). `repack` false: the parameters haven't changed since the
  // last run.
  Status run_phases(const Feed& feed, int64_t start, int64_t stop, double beta, bool repack, int threads,
                    const Interrupted& interrupted);

  float* arena() { return arena_.get(); }
  double* stats() { return stats_.get(); }
  int64_t batch() const { return batch_; }
  int64_t arena_size() const { return arena_size_; }
  int64_t stats_size() const { return stats_size_; }
  double flops() const { return flops_; }
  const char* isa() const { return kernels_.name; }

 private:
  friend class Binder;
  struct Run;
  struct Step;
  class Exclusive;

  void run_stage(const Stage& stage, const Step& step, Run& run, const Team& team);
  void run_rows(const Stage& stage, const Step& step, Run& run, const Team& team);
  void run_layers(const Stage& stage, const Step& step, Run& run, const Team& team, double total, int64_t begin,
                  int64_t end);
  void run_reduce(const Stage& stage, const Step& step, Run& run, const Team& team);
  void run_row_call(const BoundCall& call, const Step& step, const Feed& feed, double total, float* scratch,
                    int64_t begin, int64_t end);
  void run_update(const Step& step, double clip, const Team& team);
  void pack_all(const Team& team);
  void choose_blocks();
  void take_rows(int64_t rows);
  void train(Run& run, const Team& team);
  void check_feed(const Feed& feed, int64_t start, int64_t stop) const;
  void make_scratch(int team);  // room for each thread of a team so large
  float* scratch_of(const Team& team) { return scratch_.get() + team.thread * scratch_floats_; }
  int64_t gradient_piece(const BoundCall& call) const;  // rows between two looks
  void mark_input();                                    // after binding: who reads the gathered rows
  // Where the run's first layer works on entries: looks for weights of it that aren't finite, a share per thread.
  void check_input_weights(const Team& team);
  void prepare_input(const Feed& feed, int64_t start, int64_t stop, bool wanted);
  bool sparse() const { return sparse_ && finite_.load(std::memory_order_relaxed); }
  void run_gradient(const BoundCall& call, float* scratch, int64_t begin, int64_t end);
  double gradient_flops(const BoundCall& call) const;  // of a row of it

  const Kernels& kernels_;
  int64_t batch_ = 0, rows_ = 0, arena_size_ = 0, stats_size_ = 0, gather_cols_ = 0;
  FlatBuffers buffers_;
  AlignedFloats arena_, scratch_;
  int scratch_threads_ = 0;
  int64_t scratch_floats_ = 0;  // of a thread
  std::unique_ptr<double[]> stats_, row_norms_;
  Panels panels_;
  std::vector<Stage> stages_;             // all but the update
  std::unique_ptr<BoundCall> update_;     // null: an inference plan
  std::vector<const BoundCall*> normed_;  // calls with partials
  const double* loss_ = nullptr;
  double flops_ = 0;
  int64_t block_rows_ = 1, row_unit_ = 1;
  bool rows_only_ = true;
  TeamChoice team_, short_team_;  // for whole batches and for shorter ones
  // The last run was interrupted: one that goes on does at least a step, or signals that come faster than steps would
  // stop it for good.
  bool insists_ = false;
  bool reads_input_ = false, sparse_ = false;  // a first layer reads gathered rows; this run, their entries alone
  bool weights_checked_ = false;               // the packed weights of that layer, by an earlier run
  SparseInput input_;
  double entries_per_row_ = 0;
  std::atomic<bool> finite_{true};
  std::atomic<uint64_t> busy_{0};
};

}  // namespace aefast::cpu
