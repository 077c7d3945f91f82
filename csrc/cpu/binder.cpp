#include "cpu/binder.h"

#include "cpu/arguments.h"
#include "cpu/geometry.h"
#include "cpu/op_names.h"

namespace aefast::cpu {
namespace {

constexpr int kActivations = 9, kLosses = 4, kCodes = 3, kPools = 2, kRules = 7;
constexpr int kSlots[kRules] = {0, 1, 1, 1, 2, 2, 1};

}  // namespace

class Binder {
 public:
  Binder(Program& program, const FlatBuffers& buffers, const CallDescription& call)
      : program_(program),
        spaces_{program.arena_.get(), program.arena_size_, program.stats_.get(),
                program.stats_size_,  program.batch_,      buffers},
        args_(spaces_, call) {
    const NamedOp* found = find_op(call.op);
    if (found == nullptr) args_.fail("unknown op");
    call_.op = found->op;
    call_.direction = found->direction;
  }

  BoundCall bind() {
    fill(call_);
    args_.expect_no_others();
    program_.flops_ += call_.flops * double(program_.batch_);
    return call_;
  }

 private:
  void fill(BoundCall& b) {
    switch (b.op) {
      case Op::gather:
        b.out = args_.rows("out");
        if (program_.gather_cols_ != 0 && program_.gather_cols_ != b.out.cols) args_.fail("one data set has one width");
        program_.gather_cols_ = b.out.cols;
        break;
      case Op::batch_scale:
        b.batch_scale = args_.per_row("out");
        break;
      case Op::corrupt:
        b.x = args_.rows("x");
        b.out = args_.rows("out", b.x.cols);
        b.kind = args_.code("kind", kCodes);
        b.level = args_.attr("level"), b.low = args_.attr("low"), b.high = args_.attr("high");
        b.stream = args_.integer("stream");
        break;
      case Op::linear_act:
        b.x = args_.rows("x");
        b.out = args_.rows("out");
        weight(b, b.x.cols, b.out.cols, false);
        activation(b, b.out.cols);
        break;
      case Op::conv_act:
        convolution(b);
        b.x = args_.rows("x", source(b.geometry, b.direction).size);
        b.out = args_.rows("out", target(b.geometry, b.direction).size);
        activation(b, target(b.geometry, b.direction).channels);
        break;
      case Op::linear_loss_grad:
      case Op::linear_loss:
        b.x = args_.rows("h");
        b.target = args_.rows("target");
        weight(b, b.x.cols, b.target.cols, false);
        loss(b, b.target.cols, b.op == Op::linear_loss_grad);
        break;
      case Op::conv_loss_grad:
      case Op::conv_loss:
        convolution(b);
        b.x = args_.rows("h", source(b.geometry, b.direction).size);
        b.target = args_.rows("target", target(b.geometry, b.direction).size);
        loss(b, target(b.geometry, b.direction).channels, b.op == Op::conv_loss_grad);
        break;
      case Op::linear_dgrad:
        b.delta = args_.rows("delta");
        b.out = args_.rows("out");
        weight(b, b.out.cols, b.delta.cols, true);
        slope(b);
        break;
      case Op::conv_dgrad:
        convolution(b);
        b.delta = args_.rows("delta", source(b.geometry, b.direction).size);
        b.out = args_.rows("out", target(b.geometry, b.direction).size);
        slope(b);
        break;
      case Op::linear_wgrad:
        b.delta = args_.rows("delta");
        b.a = args_.rows("a");
        b.dw = args_.matrix("dw", b.delta.cols, b.a.cols);
        b.db = args_.vector("db", b.delta.cols, true);
        b.accumulate = args_.attr("accumulate") != 0;
        gradient(b, b.delta.cols, 2.0 * double(b.delta.cols) * double(b.a.cols + 1));
        break;
      case Op::conv_wgrad:
        geometry(b, check);
        b.delta = args_.rows("delta", target(b.geometry, b.direction).size);
        b.a = args_.rows("a", source(b.geometry, b.direction).size);
        b.dw = args_.matrix("dw", b.geometry.out_channels, weight_columns(b.geometry));
        if (b.dw.cols > 1 && b.dw.col_stride != 1) args_.fail("dw must have unit column stride");
        b.accumulate = args_.attr("accumulate") != 0;
        gradient(b, b.geometry.out_channels, product_flops(b.geometry));
        break;
      case Op::bias_grad:
        b.delta = args_.rows("delta");
        b.db = args_.vector("db", args_.length("db"));
        if (b.delta.cols % args_.length("db") != 0) args_.fail("delta must have a multiple of db's columns");
        gradient(b, args_.length("db"), 2.0 * double(b.delta.cols));
        break;
      case Op::pool:
        geometry(b, check_pool);
        b.x = args_.rows("x", image_size(b.geometry));
        b.out = args_.rows("out", map_size(b.geometry));
        b.kind = args_.code("kind", kPools);
        break;
      case Op::pool_dgrad:
        geometry(b, check_pool);
        b.delta = args_.rows("delta", map_size(b.geometry));
        b.x = args_.rows("x", image_size(b.geometry));
        b.out = args_.rows("out", image_size(b.geometry));
        b.kind = args_.code("kind", kPools);
        slope(b);
        break;
      case Op::upsample:
        geometry(b, check_upsample);
        b.x = args_.rows("x", map_size(b.geometry));
        b.out = args_.rows("out", image_size(b.geometry));
        break;
      case Op::upsample_dgrad:
        geometry(b, check_upsample);
        b.delta = args_.rows("delta", image_size(b.geometry));
        b.out = args_.rows("out", map_size(b.geometry));
        slope(b);
        break;
      case Op::transpose_rows:
        b.x = args_.rows("x");
        b.out = args_.rows("out", b.x.cols);
        b.matrix_rows = args_.integer("n");
        if (b.matrix_rows < 1 || b.x.cols % b.matrix_rows != 0) args_.fail("n must divide x's columns");
        break;
      case Op::gaussian_latent:
        b.z = args_.rows("z");
        b.moments = args_.rows("moments", 2 * b.z.cols);
        b.kl = args_.per_row("kl", true);
        b.stream = args_.integer("stream");
        break;
      case Op::gaussian_latent_backward:
        b.dz = args_.rows("dz");
        b.moments = args_.rows("moments", 2 * b.dz.cols);
        b.out = args_.rows("out", 2 * b.dz.cols);
        b.batch_scale = args_.per_row("batch_scale");
        b.free_bits = args_.attr("free_bits");
        b.stream = args_.integer("stream");
        break;
      case Op::sparsity_penalty:
        b.value = args_.stats("value", 1);
        penalty(b, -1);
        break;
      case Op::sparsity_penalty_backward:
        b.out = args_.rows("out");
        penalty(b, b.out.cols);
        break;
      case Op::batch_loss:
        b.row_loss = args_.per_row("row_loss");
        b.batch_scale = args_.per_row("batch_scale");
        b.kl = args_.per_row("kl", true);
        b.penalty = args_.stats("penalty", 1, true);
        b.value = args_.stats("out", 1);
        b.scale = args_.attr("scale");
        b.free_bits = args_.attr("free_bits");
        program_.loss_ = b.value;
        break;
      case Op::update:
        update(b);
        break;
    }
  }

  // What several ops have in common ------------------------------------------------------------------------------

  void activation(BoundCall& b, int64_t biases) {
    b.bias = args_.vector("b", biases);
    b.pre = args_.rows("pre", b.out.cols, true);
    b.act = args_.code("act", kActivations);
  }

  void loss(BoundCall& b, int64_t biases, bool gradient) {
    b.bias = args_.vector("b", biases);
    b.feature_weight = args_.vector("feature_weight", b.target.cols, true);
    b.row_loss = args_.per_row("row_loss");
    b.act = args_.code("act", kActivations);
    b.loss = args_.code("loss", kLosses);
    if (!gradient) return;
    b.batch_scale = args_.per_row("batch_scale");
    b.scale = args_.attr("scale");
    b.delta = args_.rows("delta", b.target.cols);
  }

  void slope(BoundCall& b) {
    b.extra = args_.rows("extra", b.out.cols, true);
    b.saved = args_.rows("saved", b.out.cols, true);
    b.act = args_.code("act", kActivations);
    if (b.act != 0 && b.saved.data == nullptr) args_.fail("an activation's derivative needs saved");
  }

  void gradient(BoundCall& b, int64_t rows, double flops) {
    b.partials = args_.stats("partials", 2, true);
    b.gradient_rows = rows;
    b.flops = flops;
  }

  void penalty(BoundCall& b, int64_t cols) {
    b.x = args_.rows("h", cols);
    b.batch_scale = args_.per_row("batch_scale");
    b.mean = args_.vector("mean", b.x.cols);
    b.kind = args_.code("kind", kCodes);
    b.weight = args_.attr("weight");
    b.target_mean = args_.attr("target");
  }

  void weight(BoundCall& b, int64_t fan_in, int64_t fan_out, bool turned) {
    const Matrix w = args_.matrix("w", fan_out, fan_in);
    b.panels = program_.panels_.want(program_.kernels_, w, args_.offset_in_params("w"), turned);
    b.flops = 2.0 * double(fan_in) * double(fan_out);
  }

  void convolution(BoundCall& b) {
    geometry(b, check);
    const int64_t columns = weight_columns(b.geometry);
    const Matrix w = args_.matrix("w", b.geometry.out_channels, columns);
    if ((w.rows > 1 && w.row_stride != columns) || (w.cols > 1 && w.col_stride != 1)) {
      args_.fail("w must be a whole dense matrix, row-major");
    }
    b.panels = program_.panels_.want(program_.kernels_, b.geometry, b.direction, args_.offset_in_params("w"));
    b.flops = product_flops(b.geometry);
  }

  void geometry(BoundCall& b, void (*fits)(const Geometry&)) {
    b.geometry = args_.geometry();
    fits(b.geometry);
  }

  void update(BoundCall& b) {
    const int64_t n = spaces_.flat.n_flat;
    args_.vector("w", n);
    args_.vector("g", n);
    b.slot0 = args_.vector("s0", n, true);
    b.slot1 = args_.vector("s1", n, true);
    b.ema = args_.vector("ema", n, true);
    b.rule.rule = args_.code("rule", kRules);
    b.rule.n_decay = args_.integer("n_decay");
    b.rule.weight_decay = args_.attr("weight_decay");
    b.rule.h0 = args_.attr("h0"), b.rule.h1 = args_.attr("h1"), b.rule.h2 = args_.attr("h2");
    b.rule.ema_decay = args_.attr("ema_decay");
    if ((b.slot0 != nullptr) + (b.slot1 != nullptr) < kSlots[b.rule.rule]) args_.fail("the rule needs more slots");
  }

  Program& program_;
  const Spaces spaces_;
  Arguments args_;
  BoundCall call_{};
};

BoundCall bind(Program& program, const FlatBuffers& buffers, const CallDescription& call) {
  return Binder(program, buffers, call).bind();
}

}  // namespace aefast::cpu
