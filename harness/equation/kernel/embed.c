#include "base/dispatch.h"
#include "base/portable.h"
#include "equation/adapter.h"
#include "model/position.h"

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

/* With the angles that models have. */
static void rope_scaled(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), H = run_dim(r, "heads"), dh = run_dim(r, "head_width");
    const PositionOptions places = {.rope_scaling = run_dim(r, "rope_scaling"),
                                    .trained_length = run_dim(r, "trained_length"),
                                    .asked_length = run_dim(r, "asked_length")};
    float *angles = run_zeros(T * dh);
    position_angles(&places, dh, run_dim(r, "start"), T, angles);
    kernel->embed->rope(1, T, H, dh, angles, 1.0f, run_in(r, "x"), run_out(r, "y"));
    if (run_backward(r))
        kernel->embed->rope(1, T, H, dh, angles, -1.0f, run_cotangent(r, "y"), run_grad(r, "x"));
    free(angles);
}

static void log_scale(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), n = run_dim(r, "heads") * run_dim(r, "head_width");
    const PositionOptions places = {.trained_length = run_dim(r, "trained_length")};
    float *factor = run_zeros(T), *unused = run_zeros(T);
    for (int64_t t = 0; t < T; t++) factor[t] = position_log_scale(&places, run_dim(r, "start") + t + 1);
    kernel->map->groups(T, n, T, 0, run_in(r, "x"), factor, run_out(r, "y"));
    if (run_backward(r))
        kernel->map->groups_backward(T, n, T, 0, run_in(r, "x"), factor, run_out(r, "y"),
                                     run_cotangent(r, "y"), run_grad(r, "x"), unused);
    free(factor);
    free(unused);
}

static const KernelAdapter adapters[] = {{"rope", "embed.rope", rope, 0, 0},
                                         {"rope_scaled", "embed.rope.scaled", rope_scaled, 0, 0},
                                         {"log_scale", "map.groups.log", log_scale, 0, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_embed = {adapters};
