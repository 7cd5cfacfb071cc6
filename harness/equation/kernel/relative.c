#include "base/dispatch.h"
#include "base/parallel.h"
#include "equation/adapter.h"

static void relative_attention(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), S = run_dim(r, "keys"), H = run_dim(r, "heads");
    const RelativeShape s = {1, H, run_dim(r, "head_width"), T, S, S, S};
    const RelativeInput in = {run_in(r, "q"), run_in(r, "p"), run_in(r, "k"), run_in(r, "v"), run_in(r, "r")};
    float *statistics = run_scratch(2 * H * T), *y = run_out(r, "y");
    float *workspace = run_scratch(parallel_threads() * kernel->relative->workspace_floats(&s));
    kernel->relative->forward(&s, &in, y, statistics, workspace);
    if (run_backward(r)) {
        const RelativeGradient grad = {run_grad(r, "q"), run_grad(r, "p"), run_grad(r, "k"), run_grad(r, "v"),
                                       run_grad(r, "r")};
        kernel->relative->backward(&s, &in, y, statistics, run_cotangent(r, "y"), &grad, workspace);
    }
    free(statistics);
    free(workspace);
}

static int queries_have_keys(const Dims *d, char *message, size_t size) {
    if (dims_get(d, "keys") >= dims_get(d, "tokens")) return 0;
    return snprintf(message, size, "keys must be at least tokens"), -1;
}

static const KernelAdapter adapters[] = {
    {"relative_attention", "relative", relative_attention, queries_have_keys, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_relative = {adapters};
