// Reading a plan: descriptions in, stages of bound calls out.
#include "cpu/program.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

#include "cpu/binder.h"
#include "cpu/dispatch.h"
#include "cpu/geometry.h"

namespace aefast::cpu {
namespace {

// The rows of a block and all their activations should stay in a core's L2 cache through a phase, unless the weights
// don't fit there: each block reads all of them from beyond, and activations of more rows are the smaller evil.
constexpr int64_t kBlockFloats = 192 * 1024, kSmallWeights = 64 * 1024;
constexpr int64_t kMinBlock = 48, kMaxBlock = 240, kBlockUnit = 24;
// Images of a block where a dense layer's weights come from beyond L2 for each block.
constexpr int64_t kFewestRows = 8;
constexpr int64_t kRowUnit = 4;  // rows that are shared out together; images one by one

const std::set<std::string> kWritten = {"out", "pre", "row_loss", "dw", "db", "partials", "z", "kl", "mean", "value"};

// The elements of one space that an argument reaches.
struct Reach {
  std::string space;
  int64_t begin, end;
  bool written;

  bool conflicts(const Reach& other) const {
    return (written || other.written) && space == other.space && begin < other.end && other.begin < end;
  }
};

std::vector<Reach> reaches(const CallDescription& call) {
  std::vector<Reach> all;
  for (const auto& [name, ref] : call.args) {
    const bool reads_mean = name == "mean" && call.op != "sparsity_penalty";
    const bool reads_kl = name == "kl" && call.op != "gaussian_latent";
    const bool reads_row_loss = name == "row_loss" && call.op == "batch_loss";
    const bool written = kWritten.count(name) != 0 && !reads_mean && !reads_kl && !reads_row_loss;
    const int64_t last = (ref.rows - 1) * ref.row_stride + (ref.cols - 1) * ref.col_stride;
    all.push_back({ref.space, ref.offset, ref.offset + last + 1, written});
  }
  return all;
}

bool on_one_thread(const CallDescription& call) { return call.op == "sparsity_penalty" || call.op == "batch_loss"; }

// Splits a reduce phase where a call needs an earlier one's result: a tied weight's gradient has two parts. Calls that
// one thread runs in order need no barrier between them.
std::vector<std::vector<CallDescription>> levels(const std::vector<CallDescription>& calls) {
  std::vector<std::vector<CallDescription>> result;
  std::vector<size_t> level(calls.size(), 0);
  for (size_t i = 0; i < calls.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      bool conflict = false;
      for (const Reach& a : reaches(calls[i]))
        for (const Reach& b : reaches(calls[j])) conflict = conflict || a.conflicts(b);
      const bool in_order = on_one_thread(calls[i]) && on_one_thread(calls[j]);
      if (conflict) level[i] = std::max(level[i], level[j] + (in_order ? 0 : 1));
    }
    if (result.size() <= level[i]) result.resize(level[i] + 1);
    result[level[i]].push_back(calls[i]);
  }
  return result;
}

}  // namespace

Program::Program(const PlanDescription& plan, FlatBuffers buffers)
    : kernels_(cpu::kernels(plan.compute)),
      batch_(plan.batch),
      rows_(plan.batch),
      arena_size_(plan.arena_size),
      stats_size_(plan.stats_size),
      buffers_(buffers) {
  if (batch_ < 1 || arena_size_ < 0 || stats_size_ < 0) throw std::invalid_argument("plan: sizes must be positive");
  arena_ = aligned_floats(arena_size_);
  stats_ = std::make_unique<double[]>(size_t(stats_size_ + 1));
  std::vector<CallDescription> leading;  // batch_scale: a row call but for the sum, which every thread takes for itself
  for (const PhaseDescription& phase : plan.phases) {
    if (update_ != nullptr) throw std::invalid_argument("plan: the update must be the last phase");
    if (phase.kind == "update") {
      if (phase.calls.size() != 1) throw std::invalid_argument("plan: the update phase must hold one call");
      update_ = std::make_unique<BoundCall>(bind(*this, buffers_, phase.calls[0]));
    } else if (phase.kind == "rows") {
      Stage stage{Stage::Kind::rows, {}};
      for (const CallDescription& call : leading) stage.calls.push_back(bind(*this, buffers_, call));
      leading.clear();
      for (const CallDescription& call : phase.calls) stage.calls.push_back(bind(*this, buffers_, call));
      stages_.push_back(std::move(stage));
    } else if (phase.kind == "reduce") {
      rows_only_ = false;
      std::vector<CallDescription> rest;
      for (const CallDescription& call : phase.calls) (call.op == "batch_scale" ? leading : rest).push_back(call);
      for (const auto& level : levels(rest)) {
        Stage stage{Stage::Kind::reduce, {}};
        for (const CallDescription& call : level) stage.calls.push_back(bind(*this, buffers_, call));
        stages_.push_back(std::move(stage));
      }
    } else {
      throw std::invalid_argument("plan: unknown phase kind '" + phase.kind + "'");
    }
  }
  if (!leading.empty()) throw std::invalid_argument("plan: batch_scale must come before a rows phase");
  for (const Stage& stage : stages_) {
    for (const BoundCall& call : stage.calls) {
      const bool reduces = call.gradient_rows != 0 || call.op == Op::sparsity_penalty || call.op == Op::batch_loss;
      if (reduces != (stage.kind == Stage::Kind::reduce) || call.op == Op::update) {
        throw std::invalid_argument("plan: a call stands in a phase of the wrong kind");
      }
    }
  }
  if (update_ != nullptr && loss_ == nullptr) throw std::invalid_argument("plan: an update needs a batch_loss");
  mark_input();

  int64_t n_norms = 0;
  for (Stage& stage : stages_)
    for (BoundCall& call : stage.calls)
      if (call.partials != nullptr) n_norms += call.gradient_rows;
  row_norms_ = std::make_unique<double[]>(size_t(n_norms + 1));
  n_norms = 0;
  for (Stage& stage : stages_) {
    for (BoundCall& call : stage.calls) {
      if (call.partials == nullptr) continue;
      call.row_square_norm = row_norms_.get() + n_norms;
      n_norms += call.gradient_rows;
      normed_.push_back(&call);
    }
  }
  panels_.plan_tiles(kernels_, buffers_.n_flat);
  choose_blocks();
}

void Program::choose_blocks() {
  int64_t widest = 0, fewest = 1;  // what passes from one call to the next, a row
  scratch_floats_ = rows_only_ ? 0 : kernels_.gradient_scratch;
  for (const Stage& stage : stages_) {
    for (const BoundCall& c : stage.calls) {
      const bool dense = c.op == Op::linear_act || c.op == Op::linear_dgrad || c.op == Op::linear_loss_grad;
      if (dense && c.flops >= 2.0 * double(kSmallWeights)) fewest = kFewestRows;
      if (c.geometry.groups == 0) continue;  // no op of images
      if (c.flops != 0) scratch_floats_ = std::max(scratch_floats_, kernels_.conv_scratch(c.geometry));
      widest = std::max(widest, image_size(c.geometry) + map_size(c.geometry));
    }
  }
  scratch_floats_ = (scratch_floats_ + 15) / 16 * 16;
  if (widest > 0) {
    block_rows_ = std::min(kMaxBlock, std::max(fewest, kBlockFloats / widest));
    return;
  }
  row_unit_ = kRowUnit;
  const int64_t fitting = kBlockFloats / std::max<int64_t>(1, arena_size_ / batch_) / kBlockUnit * kBlockUnit;
  const bool small = buffers_.n_flat <= kSmallWeights;
  block_rows_ = small ? std::min(kMaxBlock, std::max(kMinBlock, fitting)) : kMaxBlock;
}

void Program::mark_input() {
  if (kernels_.linear_act_sparse == nullptr) return;
  BoundCall* gather = nullptr;
  for (Stage& stage : stages_) {
    for (BoundCall& call : stage.calls) {
      if (call.op != Op::gather) continue;
      if (gather != nullptr) return;
      gather = &call;
    }
  }
  if (gather == nullptr) return;
  const float* rows = gather->out.data;
  for (Stage& stage : stages_) {
    for (BoundCall& c : stage.calls) {
      const bool acts = c.op == Op::linear_act && c.x.data == rows,
                 learns = c.op == Op::linear_wgrad && c.a.data == rows;
      if (acts || learns) c.of_input = true;
      reads_input_ = reads_input_ || acts;
      bool others = learns;  // of a delta that isn't finite
      for (const float* read : {acts ? nullptr : c.x.data, c.a.data, c.target.data, c.delta.data, c.saved.data,
                                c.extra.data, c.moments.data, c.dz.data}) {
        others = others || read == rows;
      }
      gather->of_input = gather->of_input || others;
    }
  }
}

}  // namespace aefast::cpu
