// linear_wgrad.cpp with bfloat16 operands; see ops.h.
#define AEFAST_BFLOAT16
#include "cpu/linear_wgrad.cpp"
