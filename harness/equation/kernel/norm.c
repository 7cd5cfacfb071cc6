#include "base/dispatch.h"
#include "equation/adapter.h"

/* z: the gate, or NULL. */
static void norm(KernelRun *r, NormShape s, const char *input, const char *output, const char *z) {
    const float *x = run_in(r, input), *gain = run_in(r, "gain"), *gate = z ? run_in(r, z) : 0;
    kernel->norm->forward(&s, x, gain, gate, run_out(r, output));
    if (!run_backward(r)) return;
    float *workspace = run_scratch(norm_workspace(&s, !!z));
    kernel->norm->backward(&s, x, gain, gate, run_cotangent(r, output), run_grad(r, input),
                           run_grad(r, "gain"), z ? run_grad(r, z) : 0, workspace);
    free(workspace);
}

static void rms_norm(KernelRun *r) {
    norm(r, (NormShape){run_dim(r, "tokens"), 1, run_dim(r, "width"), 0, 0, 0, NORM_EPS}, "x", "y", 0);
}
static void norm_gate(KernelRun *r) {
    norm(r,
         (NormShape){run_dim(r, "tokens"), run_dim(r, "heads"), run_dim(r, "head_width"), 0, 0, 0, NORM_EPS},
         "y", "o", "z");
}

static void head_norm(KernelRun *r) {
    const int64_t gate = run_dim(r, "gate");
    norm(r,
         (NormShape){run_dim(r, "tokens"), run_dim(r, "heads"), run_dim(r, "head_width"), 1,
                     (int)run_dim(r, "centred"), gate == 2, run_in(r, "eps")[0]},
         "y", "o", gate ? "z" : 0);
}

static const KernelAdapter adapters[] = {{"rms_norm", "norm", rms_norm, 0, 0},
                                         {"norm_gate", "norm+gate", norm_gate, 0, 0},
                                         {"head_norm", "norm.heads", head_norm, 0, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_norm = {adapters};
