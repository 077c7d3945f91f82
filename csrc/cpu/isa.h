// One instruction set per translation unit group: the build defines AEFAST_ISA_<name>; everything lives in namespace
// aefast::cpu::AEFAST_ISA_NS, so that the same sources compile once per set into one module without sharing a symbol.
// AEFAST_SIMDE beside it compiles a set's own source through SIMD Everywhere, as the set <name>_simde (simd_simde.h).
// These translation units use no std:: algorithms or containers: their inline copies could be picked for another set's
// code.
#pragma once

#include <stdint.h>

#if defined(AEFAST_ISA_avx512bf16) && defined(AEFAST_SIMDE)
#define AEFAST_ISA avx512bf16_simde
#elif defined(AEFAST_ISA_avx512) && defined(AEFAST_SIMDE)
#define AEFAST_ISA avx512_simde
#elif defined(AEFAST_ISA_avx2)
#define AEFAST_ISA avx2
#elif defined(AEFAST_ISA_avx512)
#define AEFAST_ISA avx512
#elif defined(AEFAST_ISA_avx512bf16)
#define AEFAST_ISA avx512bf16
#elif defined(AEFAST_ISA_neon)
#define AEFAST_ISA neon
#elif defined(AEFAST_ISA_avx512_emulated)
#define AEFAST_ISA avx512_emulated
#elif defined(AEFAST_ISA_baseline)
#define AEFAST_ISA baseline
#else
#error "define AEFAST_ISA_<name>, see isa.h"
#endif

#define AEFAST_JOIN_(a, b) a##b
#define AEFAST_JOIN(a, b) AEFAST_JOIN_(a, b)
#define AEFAST_QUOTE_(a) #a
#define AEFAST_QUOTE(a) AEFAST_QUOTE_(a)
#define AEFAST_ISA_NS AEFAST_JOIN(isa_, AEFAST_ISA)
#define AEFAST_ISA_NAME AEFAST_QUOTE(AEFAST_ISA)

#define AEFAST_INLINE inline __attribute__((always_inline))
#define AEFAST_UNROLL _Pragma("GCC unroll 32")
