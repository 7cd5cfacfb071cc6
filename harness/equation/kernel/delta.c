#include "base/dispatch.h"
#include "base/parallel.h"
#include "equation/adapter.h"

#include <math.h>
#include <string.h>

/* The kernel behind arrays: n decays as factors, and l2-normed keys, are made here from what the equation has. */
static float *exponentials(int64_t n, const float *g) {
    float *y = run_scratch(n);
    kernel->map->forward(MAP_EXP, n, g, y);
    return y;
}

static void delta_run(KernelRun *r, const DeltaShape *s, const DeltaInput *in, const DeltaGradient *d) {
    const int64_t state = s->batch * s->heads * s->keys * s->values;
    float *snapshots = run_scratch(state * delta_chunks(s)),
          *partial = run_scratch(kernel->delta->partial_floats(s)),
          *workspace = run_scratch(parallel_threads() * kernel->delta->workspace_floats(s));
    memcpy(run_out(r, "state"), run_in(r, "state0"), (size_t)state * sizeof(float));
    kernel->delta->forward(s, in, run_out(r, "state"), run_out(r, "o"), run_backward(r) ? snapshots : 0,
                           workspace);
    if (run_backward(r)) {
        memcpy(run_grad(r, "state0"), run_cotangent(r, "state"), (size_t)state * sizeof(float));
        kernel->delta->backward(s, in, snapshots, run_cotangent(r, "o"), d, run_grad(r, "state0"), partial,
                                workspace);
    }
    free(snapshots);
    free(partial);
    free(workspace);
}

static void general_delta_rule(KernelRun *r) {
    const int64_t K = run_dim(r, "key_width"), rate = run_dim(r, "rate"), n = run_size(r, "g");
    const DeltaShape s = {1,
                          run_dim(r, "tokens"),
                          run_dim(r, "heads"),
                          run_dim(r, "key_heads"),
                          K,
                          run_dim(r, "value_width"),
                          run_dim(r, "decay_columns"),
                          run_dim(r, "rate_columns"),
                          (DeltaRemoval)run_dim(r, "removal"),
                          run_dim(r, "scaled") ? 1.0f / sqrtf((float)K) : 1.0f};
    float *decay = exponentials(n, run_in(r, "g")), *d_decay = run_zeros(n);
    const DeltaInput in = {
        run_in(r, "q"), run_in(r, "k"), run_in(r, "v"), decay, rate ? run_in(r, "beta") : 0,
        run_in(r, "a"), run_in(r, "b")};
    DeltaGradient d = {0};
    if (run_backward(r))
        d = (DeltaGradient){run_grad(r, "q"),    run_grad(r, "k"), run_grad(r, "v"), d_decay,
                            run_grad(r, "beta"), run_grad(r, "a"), run_grad(r, "b")};
    delta_run(r, &s, &in, &d);
    if (run_backward(r)) kernel->map->backward(MAP_EXP, n, run_in(r, "g"), d_decay, run_grad(r, "g"));
    free(decay);
    free(d_decay);
}

static int general_delta_rule_accepts(const Dims *d, char *message, size_t size) {
    return dims_get(d, "normalise")
           ? snprintf(message, size, "keys are normed by another kernel, in the layers around the rule"),
           -1 : 0;
}

static const KernelAdapter adapters[] = {
    {"general_delta_rule", "delta", general_delta_rule, general_delta_rule_accepts, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_delta = {adapters};
