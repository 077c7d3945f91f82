// The stages of a step: rows, block by block or layer by layer, and sums over the batch. A barrier stands after each.
#include <algorithm>
#include <cmath>

#include "cpu/batch.h"
#include "cpu/program_run.h"

namespace aefast::cpu {
namespace {

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

double Program::gradient_flops(const BoundCall& call) const {
  if (call.of_input && sparse()) {
    return kFlopsPerEntry * entries_per_row_ * double(call.delta.rows) + kFlopsPerElement * double(call.a.cols);
  }
  return call.flops * double(call.delta.rows) / double(call.gradient_rows);
}

int64_t Program::gradient_piece(const BoundCall& call) const {
  const int64_t rows = int64_t(kFlopsPerPiece / gradient_flops(call));
  int64_t unit = kPieceUnit;
  // A convolution's pieces read all images anew, which costs little beside their many sums for each pixel.
  if (call.op == Op::conv_wgrad) unit = rows < kernels_.panel_width ? kGradientUnit : kernels_.panel_width;
  return std::max<int64_t>(1, rows / unit) * unit;
}

void Program::run_row_call(const BoundCall& c, const Step& step, const Feed& feed, double total, float* scratch,
                           int64_t begin, int64_t end) {
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
    case Op::conv_act:
      kernels_.conv_act(c.geometry, c.direction, c.x, c.panels, c.bias, c.act, c.out, c.pre, scratch, begin, end);
      break;
    case Op::conv_loss_grad:
    case Op::conv_loss:
      kernels_.conv_loss_grad(c.geometry, c.direction, c.x, c.panels, c.bias, c.act, c.loss, c.target, c.batch_scale,
                              c.scale, c.feature_weight, c.row_loss, c.delta, scratch, begin, end);
      break;
    case Op::conv_dgrad:
      kernels_.conv_dgrad(c.geometry, c.direction, c.delta, c.panels, c.act, c.saved, c.extra, c.out, scratch, begin,
                          end);
      break;
    case Op::pool:
      kernels_.pool(c.geometry, c.x, c.kind, c.out, begin, end);
      break;
    case Op::pool_dgrad:
      kernels_.pool_dgrad(c.geometry, c.delta, c.x, c.kind, c.act, c.saved, c.extra, c.out, begin, end);
      break;
    case Op::upsample:
      kernels_.upsample(c.geometry, c.x, c.out, begin, end);
      break;
    case Op::upsample_dgrad:
      kernels_.upsample_dgrad(c.geometry, c.delta, c.act, c.saved, c.extra, c.out, begin, end);
      break;
    case Op::transpose_rows:
      kernels_.transpose_rows(c.x, c.matrix_rows, c.out, begin, end);
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
  team.share(step.rows, row_unit_, &begin, &end);
  double total = 0;
  if (run.feed.sample_weight != nullptr && stage.calls.front().op == Op::batch_scale) {
    total = total_weight(run.feed.sample_weight, step.index, step.rows);
  }
  if (sparse()) {
    for (const BoundCall& call : stage.calls) {
      if (call.op == Op::gather) input_.place(run.feed.data, step.index, begin, end);
    }
  }
  if (team.size > 1 && step.rows <= kFewRows * team.size) {
    run_layers(stage, step, run, team, total, begin, end);
    return;
  }
  // Blocks of nearly equal size, so that none is a sliver.
  const int64_t blocks = std::max<int64_t>(1, (end - begin + block_rows_ - 1) / block_rows_);
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t from = begin + (end - begin) * i / blocks, to = begin + (end - begin) * (i + 1) / blocks;
    if (from == to) continue;
    for (const BoundCall& call : stage.calls) {
      run_row_call(call, step, run.feed, total, scratch_of(team), from, to);
      if (run.look(team, call.flops * double(to - from))) return;
    }
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
      if (from < to) {
        run_row_call(columns_of(kernels_, call, from, to), step, run.feed, total, scratch_of(team), 0, step.rows);
      }
    } else if (begin < end && !run.given_up.load(std::memory_order_relaxed)) {
      run_row_call(call, step, run.feed, total, scratch_of(team), begin, end);
    }
    run.look(team, call.flops * double(end - begin));  // all go on, to the barriers
    before = by_columns;
  }
}

void Program::run_gradient(const BoundCall& c, float* scratch, int64_t begin, int64_t end) {
  switch (c.op) {
    case Op::conv_wgrad: {
      const bool to_map = c.direction == Direction::forward;
      kernels_.conv_wgrad(c.geometry, to_map ? c.delta : c.a, to_map ? c.a : c.delta, c.dw, c.accumulate,
                          c.row_square_norm, scratch, begin, end);
      break;
    }
    case Op::bias_grad:
      kernels_.channel_sums(c.delta, c.gradient_rows, c.db, c.row_square_norm, begin, end);
      break;
    default:
      if (c.of_input && sparse()) {
        kernels_.linear_wgrad_sparse(c.delta, c.a, input_.entries(), c.dw, c.db, c.accumulate, c.row_square_norm,
                                     scratch, begin, end);
      } else {
        kernels_.linear_wgrad(c.delta, c.a, c.dw, c.db, c.accumulate, c.row_square_norm, scratch, begin, end);
      }
  }
}

void Program::run_reduce(const Stage& stage, const Step& step, Run& run, const Team& team) {
  // Of a step that was given up not all rows have been gathered, and what stands in their place may be of no batch.
  if (run.given_up.load(std::memory_order_relaxed)) return;
  double all = 0;
  for (const BoundCall& call : stage.calls) {
    if (call.gradient_rows != 0) {
      all += gradient_flops(call) * double(call.gradient_rows);
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
    if (call.gradient_rows == 0) continue;
    const double each = gradient_flops(call);
    const int64_t n = call.gradient_rows;
    auto cut = [&](int thread) {
      const double rows = (all * thread / team.size - before) / each;
      const int64_t units = int64_t(std::llround(std::max(0.0, std::min(rows, double(n))) / double(kGradientUnit)));
      return std::min(n, units * kGradientUnit);
    };
    int64_t from = team.thread == 0 ? 0 : cut(team.thread);
    const int64_t end = team.thread + 1 == team.size ? n : cut(team.thread + 1);
    for (const int64_t piece = gradient_piece(call); from < end; from += piece) {
      const int64_t to = std::min(end, from + piece);
      run_gradient(call, scratch_of(team), from, to);
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

}  // namespace aefast::cpu
