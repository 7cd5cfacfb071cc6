#pragma once
/* Whether what a row times is right: the same kernel on the same instruction set, with as many threads and as large, on
 * seeded numbers, against the reference in double. */
#include "kernel/gemm.h"

/* Forward: the largest |kernel - reference| of an output over its largest number. Gradient: <grad, s> against
 * <cotangent, J s>, J s by complex step, s the signs of the kernel's gradient: what is wrong cannot cancel; over
 * <grad, s>. bound: what equation/oracle.h allows; 0: not judged. */
typedef struct {
    double error, bound;
} Judged;

/* kernel: that of an adapter (equation/adapter.h), at dimensions as in "tokens=8 width=4". Inputs but gates are scaled by
 * 2^-shrink. Stops the program where there is no such kernel or dimension. */
Judged judge_kernel(const char *kernel, int gradient, int shrink, const char *dims);

/* A product against sums in double: run(form, M, N, K, ..) on these operands, C from 0. */
typedef void (*Product)(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                        const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate);
Judged judge_product(Product run, GemmForm form, int64_t M, int64_t N, int64_t K, const float *a,
                     const float *b);
