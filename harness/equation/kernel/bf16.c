#include "base/dispatch.h"
#include "equation/adapter.h"

#include <string.h>

/* Backward as op/gemm.c: the cotangent is rounded in turn. */
static void bf16_product(KernelRun *r) {
    const int64_t M = run_dim(r, "rows"), K = run_dim(r, "depth"), N = run_dim(r, "columns");
    const size_t bytes = (size_t)(M * N) * sizeof(float);
    const float *a = run_in(r, "a"), *b = run_in(r, "b");
    memcpy(run_out(r, "y"), run_in(r, "c"), bytes);
    kernel->bf16->run(GEMM_NN, M, N, K, a, K, b, N, run_out(r, "y"), N, 1);
    memcpy(run_out(r, "bits"), run_out(r, "y"), bytes);
    if (!run_backward(r)) return;
    const float *dy = run_cotangent(r, "y");
    kernel->bf16->run(GEMM_NT, M, K, N, dy, N, b, N, run_grad(r, "a"), K, 1);
    kernel->bf16->run(GEMM_TN, K, N, M, a, K, dy, N, run_grad(r, "b"), N, 1);
    memcpy(run_grad(r, "c"), dy, bytes);
}

static const KernelAdapter adapters[] = {{"bf16_product", "bf16", bf16_product, 0, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_bf16 = {adapters};
