#pragma once
#include "kernel/gemm.h"

/* Matrix product in bf16: C = op(A) op(B), or C += with accumulate; arguments as in kernel/gemm.h, all in float32. A and B
 * are rounded to bf16 (nearest or even) where they are read; sums are float32.
 *
 * Cost: 2 M N K flop. Determinism: every element of C is, for every 32 terms k in turn, with the last ones filled up by
 * products of +0,
 *     e = 0; e = fma(a, b, e) over the 16 even k;  o = 0; o = fma(a, b, o) over the 16 odd k;  C = C + (e + o)
 * from 0 (or from C), with denormal inputs and results taken as 0: the order of TDPBF16PS, whatever the tiling, the number of
 * threads or the instruction set. Runs in the flush mode of base/work.h, which it takes itself when it is called outside.
 * Reference: bf16_product in reference/bf16.c. */
struct bf16_kernel {
    void (*run)(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                int64_t ldb, float *C, int64_t ldc, int accumulate);
};
