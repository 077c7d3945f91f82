// The ops of the contract by name.
#pragma once

#include <string>

#include "cpu/program.h"

namespace aefast::cpu {

// For convolutions with the direction of the product.
struct NamedOp {
  Op op;
  Direction direction = Direction::forward;
};

// Null where there is none.
const NamedOp* find_op(const std::string& name);

}  // namespace aefast::cpu
