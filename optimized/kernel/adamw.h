#pragma once
#include <stdint.h>

/* AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, algorithm 2):
 *   g = scale gradient;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   w -= rate ((m correction1) / (sqrt(v correction2) + eps) + decay w)
 * All arrays n floats; correction_i = 1 / (1 - b_i^step). Tested against the same formulas in double. */
typedef struct {
    float rate, b1, b2, eps, decay, correction1, correction2, scale;
} AdamwStep;

struct adamw_kernel {
    void (*update)(int64_t n, const AdamwStep *step, const float *gradient, float *w, float *m, float *v);
};
