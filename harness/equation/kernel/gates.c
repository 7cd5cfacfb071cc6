#include "base/dispatch.h"
#include "equation/adapter.h"

/* The kernel gives 1 - alpha. */
static void gates(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), H = run_dim(r, "heads"), n = T * H;
    const GateKind kind = run_dim(r, "gate") ? GATE_HARD : GATE_SIGMOID;
    const GateShape s = {T, H, 1, 1, kind, 1, 1, run_in(r, "theta_max")[0]};
    float *keep = run_zeros(n), *alpha = run_out(r, "alpha");
    kernel->gates->forward(&s, run_in(r, "z"), keep, run_out(r, "theta"), run_out(r, "eta"));
    for (int64_t i = 0; i < n; i++) alpha[i] = 1.0f - keep[i];
    if (run_backward(r)) {
        const float *dalpha = run_cotangent(r, "alpha");
        for (int64_t i = 0; i < n; i++) keep[i] = -dalpha[i];
        kernel->gates->backward(&s, 0.0f, run_in(r, "z"), keep, run_cotangent(r, "theta"),
                                run_cotangent(r, "eta"), run_grad(r, "z"));
    }
    free(keep);
}

static const KernelAdapter adapters[] = {{"gates", "gates", gates, 0, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_gates = {adapters};
