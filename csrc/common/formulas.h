// Activations and losses: one definition each, for float, double and vector types, on host and device.
// A type used here has the names of scalar.h in its namespace, operators, and a constructor from double.
// Vector translation units instantiate these with their own vector types only, so that no symbol is shared between
// instruction sets.
#pragma once

#include "common/scalar.h"

namespace aefast {

// A code's log variance counts as no larger than this (aefast/regularizers.py says why).
constexpr double kLogvarMax = 10.0;

template <class V>
AEFAST_FORMULA V sigmoid(V z) {
  V e = exp_nonpositive(-abs(z));
  return select(z >= V(0.0), V(1.0), e) / (V(1.0) + e);
}

template <class V>
AEFAST_FORMULA V sign(V x) {  // sign(0) = 0, NaN stays
  return select(x > V(0.0), V(1.0), select(x < V(0.0), V(-1.0), x));
}

// value(z) is the activation; derivative(s) its slope from the saved value s: the output, or z itself where
// `saves_input`.
struct Identity {
  static constexpr bool saves_input = false;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return z;
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V) {
    return V(1.0);
  }
};

struct Relu {
  static constexpr bool saves_input = false;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return max(V(0.0), z);
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V h) {
    return select(h > V(0.0), V(1.0), V(0.0));
  }
};

struct LeakyRelu {
  static constexpr bool saves_input = false;
  static constexpr double slope = 0.01;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return select(z > V(0.0), z, z * V(slope));
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V h) {
    return select(h > V(0.0), V(1.0), V(slope));
  }
};

struct Elu {  // alpha = 1
  static constexpr bool saves_input = false;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return select(z > V(0.0), z, expm1(z));
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V h) {
    return select(h > V(0.0), V(1.0), h + V(1.0));
  }
};

struct Gelu {  // z Phi(z), exact
  static constexpr bool saves_input = true;
  static constexpr double inverse_sqrt_2pi = 0.39894228040143268;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return select(z < V(-1e18), V(0.0) * max(V(-1e18), z), z * normal_cdf(z));  // -inf * 0 is the limit 0
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V z) {
    V bounded = min(V(1e18), max(V(-1e18), z));
    return fma(bounded * V(inverse_sqrt_2pi), exp_minus_half_square(bounded), normal_cdf(bounded));
  }
};

struct Silu {  // z sigmoid(z)
  static constexpr bool saves_input = true;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return max(V(-1e18), z) * sigmoid(z);
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V z) {
    V s = sigmoid(z);
    V bounded = min(V(1e18), max(V(-1e18), z));
    return s * fma(bounded, V(1.0) - s, V(1.0));
  }
};

struct Tanh {
  static constexpr bool saves_input = false;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return tanh(z);
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V h) {
    return V(1.0) - h * h;
  }
};

struct Sigmoid {
  static constexpr bool saves_input = false;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return sigmoid(z);
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V h) {
    return h * (V(1.0) - h);
  }
};

struct Softplus {
  static constexpr bool saves_input = false;
  template <class V>
  static AEFAST_FORMULA V value(V z) {
    return max(V(0.0), z) + log1p(exp_nonpositive(-abs(z)));
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V h) {
    return -expm1(-h);
  }
};

// The activation's row number (aefast/activations.py) -> its type: calls visitor(Relu{}) and so on.
template <class Visitor>
AEFAST_HD inline void visit_activation(int code, Visitor&& visitor) {
  switch (code) {
    case 1:
      return visitor(Relu{});
    case 2:
      return visitor(LeakyRelu{});
    case 3:
      return visitor(Elu{});
    case 4:
      return visitor(Gelu{});
    case 5:
      return visitor(Silu{});
    case 6:
      return visitor(Tanh{});
    case 7:
      return visitor(Sigmoid{});
    case 8:
      return visitor(Softplus{});
    default:
      return visitor(Identity{});
  }
}

// Losses. at(z, t): the loss of the pre-activation z under target t, and its derivative by z.
struct SquaredError {
  template <class V>
  static AEFAST_FORMULA V value(V e) {
    return e * e;
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V e) {
    return e + e;
  }
};

struct AbsoluteError {
  template <class V>
  static AEFAST_FORMULA V value(V e) {
    return abs(e);
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V e) {
    return sign(e);
  }
};

struct HuberLoss {  // threshold 1
  template <class V>
  static AEFAST_FORMULA V value(V e) {
    V a = abs(e);
    return select(a <= V(1.0), V(0.5) * e * e, a - V(0.5));
  }
  template <class V>
  static AEFAST_FORMULA V derivative(V e) {
    return min(V(1.0), max(V(-1.0), e));
  }
};

template <class Error, class Activation>
struct ReconstructionLoss {
  template <class V>
  static AEFAST_FORMULA void at(V z, V t, V& loss, V& slope) {
    V r = Activation::value(z);
    V e = r - t;
    loss = Error::value(e);
    slope = Error::derivative(e) * Activation::derivative(Activation::saves_input ? z : r);
  }
  template <class V>
  static AEFAST_FORMULA V value(V z, V t) {
    return Error::value(Activation::value(z) - t);
  }
};

struct BinaryCrossEntropy {  // on the logits of a sigmoid: max(z, 0) - z t + log(1 + exp(-|z|))
  template <class V>
  static AEFAST_FORMULA V from_exponential(V z, V t, V e) {
    return max(V(0.0), z) - z * t + log1p(e);
  }
  template <class V>
  static AEFAST_FORMULA void at(V z, V t, V& loss, V& slope) {
    V e = exp_nonpositive(-abs(z));
    loss = from_exponential(z, t, e);
    slope = select(z >= V(0.0), V(1.0), e) / (V(1.0) + e) - t;
  }
  template <class V>
  static AEFAST_FORMULA V value(V z, V t) {
    return from_exponential(z, t, exp_nonpositive(-abs(z)));
  }
};

// (loss row, activation row) -> visitor(ReconstructionLoss<...>{}) or visitor(BinaryCrossEntropy{}).
template <class Visitor>
struct LossVisitor {
  Visitor& visitor;
  int loss;
  template <class Activation>
  AEFAST_HD void operator()(Activation) const {
    switch (loss) {
      case 2:
        return visitor(ReconstructionLoss<AbsoluteError, Activation>{});
      case 3:
        return visitor(ReconstructionLoss<HuberLoss, Activation>{});
      default:
        return visitor(ReconstructionLoss<SquaredError, Activation>{});
    }
  }
};

template <class Visitor>
AEFAST_HD inline void visit_loss(int loss, int activation, Visitor&& visitor) {
  if (loss == 1) return visitor(BinaryCrossEntropy{});
  visit_activation(activation, LossVisitor<Visitor>{visitor, loss});
}

}  // namespace aefast
