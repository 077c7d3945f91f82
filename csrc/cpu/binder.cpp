#include "cpu/binder.h"

#include <set>
#include <stdexcept>

namespace aefast::cpu {
namespace {

[[noreturn]] void fail(const std::string& op, const std::string& what) {
  throw std::invalid_argument("plan, op " + op + ": " + what);
}

const std::map<std::string, Op> kOps = {
    {"gather", Op::gather},
    {"batch_scale", Op::batch_scale},
    {"corrupt", Op::corrupt},
    {"linear_act", Op::linear_act},
    {"linear_loss_grad", Op::linear_loss_grad},
    {"linear_loss", Op::linear_loss},
    {"linear_dgrad", Op::linear_dgrad},
    {"linear_wgrad", Op::linear_wgrad},
    {"bias_grad", Op::bias_grad},
    {"gaussian_latent", Op::gaussian_latent},
    {"gaussian_latent_backward", Op::gaussian_latent_backward},
    {"sparsity_penalty", Op::sparsity_penalty},
    {"sparsity_penalty_backward", Op::sparsity_penalty_backward},
    {"batch_loss", Op::batch_loss},
    {"update", Op::update},
};

}  // namespace

class Binder {
 public:
  Binder(Program& program, const FlatBuffers& buffers, const CallDescription& call)
      : program_(program), buffers_(buffers), call_(call) {}

  BoundCall bind() {
    const auto found = kOps.find(call_.op);
    if (found == kOps.end()) fail(call_.op, "unknown op");
    BoundCall b{};
    b.op = found->second;
    fill(b);
    for (const auto& [name, ref] : call_.args)
      if (!taken_.count(name)) fail(call_.op, "takes no argument " + name);
    for (const auto& [name, value] : call_.attrs)
      if (!taken_.count(name)) fail(call_.op, "takes no attribute " + name);
    return b;
  }

 private:
  void fill(BoundCall& b) {
    switch (b.op) {
      case Op::gather:
        b.out = rows("out");
        if (program_.gather_cols_ != 0 && program_.gather_cols_ != b.out.cols)
          fail(call_.op, "one data set has one width");
        program_.gather_cols_ = b.out.cols;
        break;
      case Op::batch_scale:
        b.batch_scale = per_row("out");
        break;
      case Op::corrupt:
        b.x = rows("x");
        b.out = rows("out", b.x.cols);
        b.kind = code("kind", 3);
        b.level = attr("level"), b.low = attr("low"), b.high = attr("high");
        b.stream = int64_t(attr("stream"));
        break;
      case Op::linear_act:
        b.x = rows("x");
        b.out = rows("out");
        weight(b, b.x.cols, b.out.cols);
        b.pre = rows("pre", b.out.cols, true);
        b.act = code("act", 9);
        break;
      case Op::linear_loss_grad:
        b.batch_scale = per_row("batch_scale");
        b.scale = attr("scale");
        b.delta = rows("delta");
        [[fallthrough]];
      case Op::linear_loss:
        b.x = rows("h");
        b.target = rows("target", b.op == Op::linear_loss ? -1 : b.delta.cols);
        weight(b, b.x.cols, b.target.cols);
        b.feature_weight = vector("feature_weight", b.target.cols, true);
        b.row_loss = per_row("row_loss");
        b.act = code("act", 9);
        b.loss = code("loss", 4);
        break;
      case Op::linear_dgrad: {
        b.delta = rows("delta");
        b.out = rows("out");
        b.panels = panels(b.delta.cols, b.out.cols, true);
        b.extra = rows("extra", b.out.cols, true);
        b.saved = rows("saved", b.out.cols, true);
        b.act = code("act", 9);
        if (b.act != 0 && b.saved.data == nullptr) fail(call_.op, "an activation's derivative needs saved");
        program_.flops_ += 2.0 * double(program_.batch_) * double(b.delta.cols) * double(b.out.cols);
        break;
      }
      case Op::linear_wgrad:
        b.delta = rows("delta");
        b.a = rows("a");
        b.dw = matrix("dw", b.delta.cols, b.a.cols, false);
        b.db = vector("db", b.delta.cols, true);
        b.accumulate = attr("accumulate") != 0;
        partials(b);
        program_.flops_ += 2.0 * double(program_.batch_) * double(b.delta.cols) * double(b.a.cols);
        break;
      case Op::bias_grad:
        b.delta = rows("delta");
        b.db = vector("db", b.delta.cols);
        b.a = b.delta;
        b.a.cols = 0;
        b.dw = Matrix{b.db, b.delta.cols, 0, 1, 1};
        partials(b);
        break;
      case Op::gaussian_latent:
        b.z = rows("z");
        b.moments = rows("moments", 2 * b.z.cols);
        b.kl = per_row("kl", true);
        b.stream = int64_t(attr("stream"));
        break;
      case Op::gaussian_latent_backward:
        b.dz = rows("dz");
        b.moments = rows("moments", 2 * b.dz.cols);
        b.out = rows("out", 2 * b.dz.cols);
        b.batch_scale = per_row("batch_scale");
        b.free_bits = attr("free_bits");
        b.stream = int64_t(attr("stream"));
        break;
      case Op::sparsity_penalty:
        b.value = stats("value", 1);
        penalty(b);
        break;
      case Op::sparsity_penalty_backward:
        b.out = rows("out");
        penalty(b);
        break;
      case Op::batch_loss:
        b.row_loss = per_row("row_loss");
        b.batch_scale = per_row("batch_scale");
        b.kl = per_row("kl", true);
        b.penalty = stats("penalty", 1, true);
        b.value = stats("out", 1);
        b.scale = attr("scale");
        b.free_bits = attr("free_bits");
        program_.loss_ = b.value;
        break;
      case Op::update:
        update(b);
        break;
    }
  }

  void update(BoundCall& b) {
    const int64_t n = buffers_.n_flat;
    vector("w", n);
    vector("g", n);
    b.slot0 = vector("s0", n, true);
    b.slot1 = vector("s1", n, true);
    b.ema = vector("ema", n, true);
    b.rule.rule = code("rule", 7);
    b.rule.n_decay = int64_t(attr("n_decay"));
    b.rule.weight_decay = attr("weight_decay");
    b.rule.h0 = attr("h0"), b.rule.h1 = attr("h1"), b.rule.h2 = attr("h2");
    b.rule.ema_decay = attr("ema_decay");
    constexpr int kSlots[] = {0, 1, 1, 1, 2, 2, 1};
    if ((b.slot0 != nullptr) + (b.slot1 != nullptr) < kSlots[b.rule.rule]) fail(call_.op, "the rule needs more slots");
  }

  void penalty(BoundCall& b) {
    b.x = rows("h", b.op == Op::sparsity_penalty ? -1 : b.out.cols);
    b.batch_scale = per_row("batch_scale");
    b.mean = vector("mean", b.x.cols);
    b.kind = code("kind", 3);
    b.weight = attr("weight");
    b.target_mean = attr("target");
  }

  void partials(BoundCall& b) { b.partials = stats("partials", 2, true); }

  void weight(BoundCall& b, int64_t fan_in, int64_t fan_out) {
    b.panels = panels(fan_out, fan_in, false);
    b.bias = vector("b", fan_out);
    program_.flops_ += 2.0 * double(program_.batch_) * double(fan_in) * double(fan_out);
  }

  const float* panels(int64_t fan_out, int64_t fan_in, bool transposed) {
    const Matrix w = matrix("w", fan_out, fan_in, false);
    if (call_.args.at("w").space != "params") fail(call_.op, "w must lie in params");
    return program_.panels_.want(program_.kernels_, w, call_.args.at("w").offset, transposed);
  }

  const Ref* find(const char* name, bool optional) {
    taken_.insert(name);
    const auto found = call_.args.find(name);
    if (found != call_.args.end()) return &found->second;
    if (!optional) fail(call_.op, std::string("misses the argument ") + name);
    return nullptr;
  }

  // The first float of a ref that lies inside its space.
  float* resolve(const char* name, const Ref& ref) {
    float* base = nullptr;
    int64_t size = buffers_.n_flat;
    if (ref.space == "arena") base = program_.arena_.get(), size = program_.arena_size_;
    else if (ref.space == "params") base = buffers_.params;
    else if (ref.space == "grads") base = buffers_.grads;
    else if (ref.space == "slot0") base = buffers_.slot0;
    else if (ref.space == "slot1") base = buffers_.slot1;
    else if (ref.space == "ema") base = buffers_.ema;
    if (base == nullptr) fail(call_.op, std::string(name) + " lies in '" + ref.space + "', which isn't there");
    inside(name, ref, size);
    return base + ref.offset;
  }

  void inside(const char* name, const Ref& ref, int64_t size) {
    const int64_t last = ref.offset + (ref.rows - 1) * ref.row_stride + (ref.cols - 1) * ref.col_stride;
    if (ref.rows < 1 || ref.cols < 1 || ref.offset < 0 || ref.row_stride < 0 || ref.col_stride < 0 || last >= size) {
      fail(call_.op, std::string(name) + " reaches beyond '" + ref.space + "'");
    }
  }

  Matrix matrix(const char* name, int64_t n_rows, int64_t n_cols, bool optional) {
    const Ref* ref = find(name, optional);
    if (ref == nullptr) return {};
    if (ref->rows != n_rows || (n_cols >= 0 && ref->cols != n_cols)) {
      fail(call_.op, std::string(name) + " is " + std::to_string(ref->rows) + " x " + std::to_string(ref->cols) +
                         ", but must be " + std::to_string(n_rows) + " x " +
                         (n_cols >= 0 ? std::to_string(n_cols) : "any"));
    }
    return {resolve(name, *ref), ref->rows, ref->cols, ref->row_stride, ref->col_stride};
  }

  // A (batch, cols) matrix; cols -1: any.
  Matrix rows(const char* name, int64_t cols = -1, bool optional = false) {
    const Matrix m = matrix(name, program_.batch_, cols, optional);
    if (m.data != nullptr && m.col_stride != 1) fail(call_.op, std::string(name) + " must have unit column stride");
    return m;
  }

  float* vector(const char* name, int64_t n, bool optional = false) {
    const Matrix m = matrix(name, 1, n, optional);
    if (m.data != nullptr && m.col_stride != 1) fail(call_.op, std::string(name) + " must be contiguous");
    return m.data;
  }

  float* per_row(const char* name, bool optional = false) { return vector(name, program_.batch_, optional); }

  double* stats(const char* name, int64_t n, bool optional = false) {
    const Ref* ref = find(name, optional);
    if (ref == nullptr) return nullptr;
    if (ref->space != "stats" || ref->rows != 1 || ref->cols != n)
      fail(call_.op, std::string(name) + " must lie in stats");
    inside(name, *ref, program_.stats_size_);
    return program_.stats_.get() + ref->offset;
  }

  double attr(const char* name) {
    taken_.insert(name);
    const auto found = call_.attrs.find(name);
    if (found == call_.attrs.end()) fail(call_.op, std::string("misses the attribute ") + name);
    return found->second;
  }

  int code(const char* name, int count) {
    const int value = int(attr(name));
    if (value < 0 || value >= count) fail(call_.op, std::string(name) + " has no row " + std::to_string(value));
    return value;
  }

  Program& program_;
  const FlatBuffers& buffers_;
  const CallDescription& call_;
  std::set<std::string> taken_;
};

BoundCall bind(Program& program, const FlatBuffers& buffers, const CallDescription& call) {
  return Binder(program, buffers, call).bind();
}

}  // namespace aefast::cpu
