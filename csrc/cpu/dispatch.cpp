#include "cpu/dispatch.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace aefast::cpu {

// Instruction sets that this build leaves out.
#ifndef AEFAST_HAVE_baseline
const Kernels* kernels_baseline() { return nullptr; }
#endif
#ifndef AEFAST_HAVE_avx2
const Kernels* kernels_avx2() { return nullptr; }
#endif
#ifndef AEFAST_HAVE_avx512
const Kernels* kernels_avx512() { return nullptr; }
#endif
#ifndef AEFAST_HAVE_avx512bf16
const Kernels* kernels_avx512bf16() { return nullptr; }
#endif
#ifndef AEFAST_HAVE_neon
const Kernels* kernels_neon() { return nullptr; }
#endif
#ifndef AEFAST_HAVE_avx512_emulated
const Kernels* kernels_avx512_emulated() { return nullptr; }
#endif
#ifndef AEFAST_HAVE_avx512_simde
const Kernels* kernels_avx512_simde() { return nullptr; }
#endif
#ifndef AEFAST_HAVE_avx512bf16_simde
const Kernels* kernels_avx512bf16_simde() { return nullptr; }
#endif

// Every feature that a set's compiler flags allow is asked for by itself: AMD's and Intel's processors come with
// different ones.
Features features(const Cpuid& words) {
  auto all = [](uint32_t word, std::initializer_list<int> bits) {
    for (int bit : bits)
      if (!(word >> bit & 1)) return false;
    return true;
  };
  constexpr int kSSE3 = 0, kSSSE3 = 9, kFMA = 12, kCX16 = 13, kSSE41 = 19, kSSE42 = 20, kMOVBE = 22, kPOPCNT = 23,
                kOSXSAVE = 27, kAVX = 28, kF16C = 29;
  constexpr int kBMI1 = 3, kAVX2 = 5, kBMI2 = 8, kAVX512F = 16, kAVX512DQ = 17, kAVX512CD = 28, kAVX512BW = 30,
                kAVX512VL = 31;
  constexpr int kAVX512BF16 = 5, kLAHF = 0, kLZCNT = 5;
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6;  // XCR0: the system saves xmm and ymm; also masks and all of zmm
  Features found;
  found.avx2 = (words.xcr0 & kYmm) == kYmm &&
               all(words.leaf1_c, {kOSXSAVE, kAVX, kFMA, kSSE3, kSSSE3, kSSE41, kSSE42, kPOPCNT}) &&
               all(words.leaf7_b, {kAVX2});
  // x86-64-v4 takes in v3's BMI, LZCNT and MOVBE.
  found.avx512 = found.avx2 && (words.xcr0 & kZmm) == kZmm && all(words.leaf1_c, {kF16C, kMOVBE, kCX16}) &&
                 all(words.extended_c, {kLAHF, kLZCNT}) &&
                 all(words.leaf7_b, {kBMI1, kBMI2, kAVX512F, kAVX512DQ, kAVX512CD, kAVX512BW, kAVX512VL});
  found.avx512bf16 = found.avx512 && all(words.leaf7_1_a, {kAVX512BF16});
  return found;
}

namespace {

Cpuid read_cpuid() {
  Cpuid words;
#if defined(__x86_64__)
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d)) words.leaf1_c = c;
  if (words.leaf1_c >> 27 & 1) {  // without OSXSAVE, XGETBV is an invalid instruction
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    words.xcr0 = uint64_t(high) << 32 | low;
  }
  uint32_t subleaves = 0;
  if (__get_cpuid_count(7, 0, &subleaves, &b, &c, &d)) words.leaf7_b = b;
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) words.leaf7_1_a = a;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) words.extended_c = c;
#endif
  return words;
}

std::vector<const Kernels*> available() {
  static const Features found = features(read_cpuid());
  std::vector<const Kernels*> tables;
  // A set's own function makes its table, so it is only called where the processor can run it.
  auto add = [&](bool runs, const Kernels* (*make)()) {
    if (const Kernels* table = runs ? make() : nullptr) tables.push_back(table);
  };
  add(found.avx512bf16, kernels_avx512bf16);
  add(found.avx512, kernels_avx512);
  add(found.avx2, kernels_avx2);
  add(true, kernels_neon);  // part of every aarch64 processor
  add(true, kernels_baseline);
  add(found.avx2, kernels_avx512_emulated);
  add(found.avx2, kernels_avx512_simde);
  add(found.avx2, kernels_avx512bf16_simde);
  return tables;
}

const Kernels* find(const std::string& name, const char* source) {
  std::string known;
  for (const Kernels* table : available()) {
    if (name == table->name) return table;
    known += (known.empty() ? "" : ", ") + std::string(table->name);
  }
  throw std::invalid_argument(std::string(source) + " asks for the instruction set '" + name +
                              "', but this build and machine have: " + known);
}

std::atomic<const Kernels*> g_current{nullptr};

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Kernels* table : available()) names.emplace_back(table->name);
  return names;
}

const Kernels& kernels(Compute compute) {
  const Kernels* current = g_current.load(std::memory_order_acquire);
  if (current == nullptr) {
    const char* wanted = std::getenv("AEFAST_ISA");
    current = wanted != nullptr && *wanted != '\0' ? find(wanted, "AEFAST_ISA") : available().front();
    g_current.store(current, std::memory_order_release);
  }
  return compute == Compute::bfloat16 ? *current->bfloat16 : *current;
}

void set_isa(const std::string& name) { g_current.store(find(name, "set_isa"), std::memory_order_release); }

}  // namespace aefast::cpu
