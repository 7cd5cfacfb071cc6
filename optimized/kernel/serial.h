#pragma once
/* The matrix product on the calling thread alone, for kernels that share out their work themselves; one per
 * instruction set. Arguments and order of summation as in kernel/gemm.h. */
#include "kernel/gemm.h"
#include "vec/vec.h"

#define gemm_serial KERNEL(gemm_serial)
void gemm_serial(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                 int64_t ldb, float *C, int64_t ldc, int accumulate);
