#include "base/dispatch.h"
#include "equation/adapter.h"

static void conv(KernelRun *r, int l2) {
    const ConvShape s = {
        1, run_dim(r, "tokens"), run_dim(r, "heads"), run_dim(r, "head_width"), run_dim(r, "taps"), l2};
    const float *x = run_in(r, "x"), *weight = run_in(r, "weight"), *tail = run_in(r, "tail");
    kernel->conv->forward(&s, x, tail, weight, 0, run_out(r, "y"));
    if (!run_backward(r)) return;
    float *workspace = run_scratch(run_size(r, "x"));
    kernel->conv->backward(&s, x, tail, weight, 0, run_cotangent(r, "y"), run_grad(r, "x"),
                           run_grad(r, "tail"), run_grad(r, "weight"), 0, workspace);
    free(workspace);
}
static void conv_silu(KernelRun *r) { conv(r, 0); }
static void conv_silu_l2(KernelRun *r) { conv(r, 1); }

/* With a bias, from zeros. */
static void short_conv(KernelRun *r) {
    const ConvShape s = {1, run_dim(r, "tokens"), 1, run_dim(r, "width"), run_dim(r, "taps"), 0};
    const float *x = run_in(r, "x"), *weight = run_in(r, "weight"), *bias = run_in(r, "bias");
    kernel->conv->forward(&s, x, 0, weight, bias, run_out(r, "y"));
    if (!run_backward(r)) return;
    float *workspace = run_scratch(run_size(r, "x"));
    kernel->conv->backward(&s, x, 0, weight, bias, run_cotangent(r, "y"), run_grad(r, "x"), 0,
                           run_grad(r, "weight"), run_grad(r, "bias"), workspace);
    free(workspace);
}

static const KernelAdapter adapters[] = {{"conv_silu", "conv", conv_silu, 0, 0},
                                         {"conv_silu_l2", "conv+l2", conv_silu_l2, 0, 0},
                                         {"short_conv", "conv+bias", short_conv, 0, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_conv = {adapters};
