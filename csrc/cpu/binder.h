// One call of a plan, resolved: checked pointers instead of names and offsets.
#pragma once

#include "cpu/program.h"

namespace aefast::cpu {

// Complains, with std::invalid_argument, about arguments and attributes that are missing, don't fit the memory, or that
// nothing takes. Asks the program's panels for the packed weights that the call reads, and counts its arithmetic.
BoundCall bind(Program& program, const FlatBuffers& buffers, const CallDescription& call);

}  // namespace aefast::cpu
