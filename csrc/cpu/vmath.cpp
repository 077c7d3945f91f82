// The functions of vmath.h over arrays, for the accuracy tests.
#include "cpu/vmath.h"

#include "cpu/linear.h"
#include "cpu/ops.h"

namespace aefast::cpu::AEFAST_ISA_NS {
namespace {

template <class Function>
void map(const float* x, float* out, int64_t n, Function function) {
  for_each_vector(n, [&](int64_t i, int lanes, auto extent) __attribute__((always_inline)) {
    store_lanes(out + i, function(load_lanes(x + i, lanes, extent)), lanes, extent);
  });
}

AEFAST_INLINE F sin_turns(F u) {
  F sine, cosine;
  sincos_turns(u, sine, cosine);
  return sine;
}

AEFAST_INLINE F cos_turns(F u) {
  F sine, cosine;
  sincos_turns(u, sine, cosine);
  return cosine;
}

}  // namespace

#define AEFAST_MAP(name)     \
  case VectorFunction::name: \
    return map(x, out, n, [](F v) __attribute__((always_inline)) { return name(v); })

void vector_math(VectorFunction function, const float* x, float* out, int64_t n) {
  switch (function) {
    AEFAST_MAP(exp);
    AEFAST_MAP(exp_nonpositive);
    AEFAST_MAP(expm1);
    AEFAST_MAP(log);
    AEFAST_MAP(log1p);
    AEFAST_MAP(tanh);
    AEFAST_MAP(exp_minus_half_square);
    AEFAST_MAP(normal_cdf);
    AEFAST_MAP(sin_turns);
    AEFAST_MAP(cos_turns);
  }
}

#undef AEFAST_MAP

}  // namespace aefast::cpu::AEFAST_ISA_NS
