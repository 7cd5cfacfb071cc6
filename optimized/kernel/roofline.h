#pragma once
#include <stdint.h>

/* What the machine can do with this instruction set, to measure kernels against.
 *   fma    rounds x 12 x 16 fused multiply-adds (2 flop each) in registers; returns a number so that nothing is
 *          optimised away
 *   copy   n floats from x to y: 8 n bytes of traffic */
struct roofline_kernel {
    float (*fma)(int64_t rounds);
    void (*copy)(int64_t n, const float *x, float *y);
};
enum { ROOFLINE_FLOP = 12 * 16 * 2 }; /* of one round */
