// Which instruction sets this build has and this machine can run, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace aefast::cpu {

// Built in and runnable here, the preferred first; the emulated ones, where built, come last.
std::vector<std::string> available_isas();

// The table in use: AEFAST_ISA's, else the preferred one; decided at the first call.
// Throws std::invalid_argument where AEFAST_ISA names a set that isn't available.
const Kernels& kernels(Compute compute = Compute::float32);

// Changes the table in use; programs keep the one they were made with. Throws std::invalid_argument as above.
void set_isa(const std::string& name);

}  // namespace aefast::cpu
