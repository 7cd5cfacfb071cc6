#pragma once
#include <stdint.h>

/* Matrix product, eq 1 and every projection: C = op(A) op(B), or C += with accumulate.
 *
 *   GEMM_NN  A is M x K (row stride lda), B is K x N (ldb)
 *   GEMM_NT  A is M x K,                  B is N x K
 *   GEMM_TN  A is K x M,                  B is K x N
 *   C is M x N (ldc); all row-major, lda etc. in floats. Outputs may not overlap inputs.
 *
 * Cost: 2 M N K flop. Determinism: every element of C is one chain of fused multiply-adds over ascending k,
 * starting from 0 (or from C), whatever the tiling, the number of threads or the instruction set.
 * Reference: qkv in reference/attention.c and the plain sums of reference/layers.c. */
typedef enum { GEMM_NN, GEMM_NT, GEMM_TN } GemmForm;

struct gemm_kernel {
    void (*run)(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                int64_t ldb, float *C, int64_t ldc, int accumulate);
};
