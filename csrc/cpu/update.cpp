// update: one pass over the flat parameters: clip scale, weight decay, the rule, the average. Formulas in
// common/rules.h. NumPy: g = g * clip_scale (+ weight_decay * w); w, slots = rule(w, g, slots); ema = ema_decay * ema +
// (1 - ema_decay) * w
#include "common/rules.h"
#include "cpu/linear.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

struct Buffers {
  float* w;
  const float* g;
  float *slot0, *slot1, *ema;
};

// Elements [begin, end), all on one side of the decay boundary.
template <class Rule>
void step(const Buffers& buffers, const RuleScalars<F>& scalars, double clip_scale, double decay, double shrink,
          double ema_decay, int64_t begin, int64_t end) {
  const F clip(clip_scale), added(decay), kept(shrink), ema_kept(ema_decay), ema_new(1.0 - ema_decay);
  // Copies that no store can change: else every vector reads all of them again.
  const Buffers p = buffers;
  const RuleScalars<F> k = scalars;
  for_each_vector(end - begin, [&](int64_t j, int lanes, auto extent) __attribute__((always_inline)) {
    int64_t i = begin + j;
    F w = load_lanes(p.w + i, lanes, extent), g = load_lanes(p.g + i, lanes, extent) * clip;
    F s0(0.0), s1(0.0);
    if (Rule::slots > 0) s0 = load_lanes(p.slot0 + i, lanes, extent);
    if (Rule::slots > 1) s1 = load_lanes(p.slot1 + i, lanes, extent);
    if (Rule::decoupled) {
      w = w * kept;
    } else {
      g = fma(added, w, g);
    }
    Rule::step(w, g, s0, s1, k);
    store_lanes(p.w + i, w, lanes, extent);
    if (Rule::slots > 0) store_lanes(p.slot0 + i, s0, lanes, extent);
    if (Rule::slots > 1) store_lanes(p.slot1 + i, s1, lanes, extent);
    if (p.ema) {
      store_lanes(p.ema + i, fma(ema_kept, load_lanes(p.ema + i, lanes, extent), ema_new * w), lanes, extent);
    }
  });
}

}  // namespace

void update(UpdateRule rule, StepScalars scalars, double clip_scale, float* w, const float* g, float* slot0,
            float* slot1, float* ema, int64_t begin, int64_t end) {
  RuleScalars<F> k(scalars.lr, rule.h0, rule.h1, rule.h2, scalars.c1, scalars.c2);
  Buffers buffers{w, g, slot0, slot1, ema};
  int64_t boundary = rule.n_decay < begin ? begin : rule.n_decay < end ? rule.n_decay : end;
  visit_rule(rule.rule, [&](auto row) {
    using Rule = decltype(row);
    step<Rule>(buffers, k, clip_scale, rule.weight_decay, 1.0 - scalars.lr * rule.weight_decay, rule.ema_decay, begin,
               boundary);
    step<Rule>(buffers, k, clip_scale, 0.0, 1.0, rule.ema_decay, boundary, end);
  });
}

}  // namespace aefast::cpu::AEFAST_ISA_NS
