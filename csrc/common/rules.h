// Optimizer updates: one definition each, element-wise, for float, double and vector types. Notation as in
// aefast/optimizers.py.
#pragma once

#include "common/formulas.h"

namespace aefast {

// What a rule needs of one step, broadcast once: 1 - h0 and 1 - h1 are taken in float64 before narrowing.
template <class V>
struct RuleScalars {
  V lr, h0, h1, h2, one_minus_h0, one_minus_h1, c1, c2;
  AEFAST_HD RuleScalars(double lr_, double h0_, double h1_, double h2_, double c1_, double c2_)
      : lr(lr_), h0(h0_), h1(h1_), h2(h2_), one_minus_h0(1.0 - h0_), one_minus_h1(1.0 - h1_), c1(c1_), c2(c2_) {}
};

// step(w, g, s0, s1, k): new values in place. `slots` says how many of s0, s1 exist;
// `decoupled` weight decay shrinks w before the step, coupled decay adds to g.
struct Sgd {
  static constexpr int slots = 0;
  static constexpr bool decoupled = false;
  template <class V>
  static AEFAST_FORMULA void step(V& w, V g, V&, V&, const RuleScalars<V>& k) {
    w = fma(-k.lr, g, w);
  }
};

struct Momentum {
  static constexpr int slots = 1;
  static constexpr bool decoupled = false;
  template <class V>
  static AEFAST_FORMULA void step(V& w, V g, V& s0, V&, const RuleScalars<V>& k) {
    s0 = fma(k.h0, s0, g);
    w = fma(-k.lr, s0, w);
  }
};

struct Nesterov {
  static constexpr int slots = 1;
  static constexpr bool decoupled = false;
  template <class V>
  static AEFAST_FORMULA void step(V& w, V g, V& s0, V&, const RuleScalars<V>& k) {
    s0 = fma(k.h0, s0, g);
    w = fma(-k.lr, fma(k.h0, s0, g), w);
  }
};

struct RmsProp {
  static constexpr int slots = 1;
  static constexpr bool decoupled = false;
  template <class V>
  static AEFAST_FORMULA void step(V& w, V g, V& s0, V&, const RuleScalars<V>& k) {
    s0 = fma(k.h0, s0, k.one_minus_h0 * (g * g));
    w = w - k.lr * g / (sqrt(s0) + k.h2);
  }
};

struct Adam {
  static constexpr int slots = 2;
  static constexpr bool decoupled = false;
  template <class V>
  static AEFAST_FORMULA void step(V& w, V g, V& s0, V& s1, const RuleScalars<V>& k) {
    s0 = fma(k.h0, s0, k.one_minus_h0 * g);
    s1 = fma(k.h1, s1, k.one_minus_h1 * (g * g));
    w = w - k.lr * (s0 * k.c1) / (sqrt(s1 * k.c2) + k.h2);
  }
};

struct AdamW : Adam {
  static constexpr bool decoupled = true;
};

struct Lion {
  static constexpr int slots = 1;
  static constexpr bool decoupled = true;
  template <class V>
  static AEFAST_FORMULA void step(V& w, V g, V& s0, V&, const RuleScalars<V>& k) {
    w = fma(-k.lr, sign(fma(k.h0, s0, k.one_minus_h0 * g)), w);
    s0 = fma(k.h1, s0, k.one_minus_h1 * g);
  }
};

// The rule's row number (aefast/optimizers.py) -> its type.
template <class Visitor>
AEFAST_HD inline void visit_rule(int code, Visitor&& visitor) {
  switch (code) {
    case 1:
      return visitor(Momentum{});
    case 2:
      return visitor(Nesterov{});
    case 3:
      return visitor(RmsProp{});
    case 4:
      return visitor(Adam{});
    case 5:
      return visitor(AdamW{});
    case 6:
      return visitor(Lion{});
    default:
      return visitor(Sgd{});
  }
}

}  // namespace aefast
