#include "base/dispatch.h"
#include "equation/adapter.h"

static void qkv(KernelRun *r) {
    static const char *const weight[] = {"wq", "wk", "wv"}, *const output[] = {"q", "k", "v"};
    const int64_t T = run_dim(r, "tokens"), D = run_dim(r, "width");
    const float *x = run_in(r, "x");
    for (int i = 0; i < 3; i++) {
        const float *w = run_in(r, weight[i]), *dy = run_cotangent(r, output[i]);
        kernel->gemm->run(GEMM_NN, T, D, D, x, D, w, D, run_out(r, output[i]), D, 0);
        if (!run_backward(r)) continue;
        kernel->gemm->run(GEMM_NT, T, D, D, dy, D, w, D, run_grad(r, "x"), D, 1);
        kernel->gemm->run(GEMM_TN, D, D, T, x, D, dy, D, run_grad(r, weight[i]), D, 1);
    }
}

static const KernelAdapter adapters[] = {{"qkv", "gemm", qkv, 0, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_gemm = {adapters};
