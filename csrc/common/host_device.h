// AEFAST_HD marks a function that runs on the host and, under a CUDA compiler, on the device.
// AEFAST_FORMULA is AEFAST_HD for the small ones, inlined always: a call would pass vectors through memory.
#pragma once

#if defined(__CUDACC__)
#define AEFAST_HD __host__ __device__
#else
#define AEFAST_HD
#endif

#if defined(__GNUC__)
#define AEFAST_FORMULA AEFAST_HD inline __attribute__((always_inline))
#else
#define AEFAST_FORMULA AEFAST_HD inline
#endif
