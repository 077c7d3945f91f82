// Which instruction sets this build has and this machine can run, and the one in use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace aefast::cpu {

// What CPUID and XGETBV say: words of 32 bits by leaf (leaf7_1: subleaf 1 of leaf 7; extended: 0x80000001) and
// register, and the mask of the registers that the operating system saves.
struct Cpuid {
  uint32_t leaf1_c = 0, leaf7_b = 0, leaf7_1_a = 0, extended_c = 0;
  uint64_t xcr0 = 0;
};
struct Features {
  bool avx2 = false, avx512 = false, avx512bf16 = false;
};
Features features(const Cpuid& words);

// Built in and runnable here, the preferred first; the emulated ones, where built, come last.
std::vector<std::string> available_isas();

// The table in use: AEFAST_ISA's, else the preferred one; decided at the first call.
// Throws std::invalid_argument where AEFAST_ISA names a set that isn't available.
const Kernels& kernels(Compute compute = Compute::float32);

// Changes the table in use; programs keep the one they were made with. Throws std::invalid_argument as above.
void set_isa(const std::string& name);

}  // namespace aefast::cpu
