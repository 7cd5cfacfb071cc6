#include "base/dispatch.h"
#include "base/portable.h"
#include "equation/adapter.h"

static void rope(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), H = run_dim(r, "heads"), dh = run_dim(r, "head_width");
    const int64_t start = run_dim(r, "start");
    float *angles = run_zeros(T * dh);
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < dh / 2; i++) {
            double sine, cosine;
            const double turn =
                (double)(start + t) * portable_exp(-2.0 * (double)i / (double)dh * portable_log(1e4));
            portable_sincos(turn, &sine, &cosine);
            angles[t * dh + i] = (float)cosine;
            angles[t * dh + dh / 2 + i] = (float)sine;
        }
    kernel->embed->rope(1, T, H, dh, angles, 1.0f, run_in(r, "x"), run_out(r, "y"));
    if (run_backward(r))
        kernel->embed->rope(1, T, H, dh, angles, -1.0f, run_cotangent(r, "y"), run_grad(r, "x"));
    free(angles);
}

static const KernelAdapter adapters[] = {{"rope", "embed.rope", rope, 0, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_embed = {adapters};
