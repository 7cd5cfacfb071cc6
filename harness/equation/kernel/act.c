#include "equation/adapter.h"
#include "op/op.h"

#include <string.h>

static void swiglu(KernelRun *r) {
    const int64_t n = run_size(r, "a");
    const float *a = run_in(r, "a"), *b = run_in(r, "b");
    kernel->act->swiglu(n, a, b, run_out(r, "y"));
    if (!run_backward(r)) return;
    kernel->act->swiglu_backward(n, a, b, run_cotangent(r, "y"), run_grad(r, "a"), run_grad(r, "b"));
}

static void titans_gate(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), H = run_dim(r, "heads"), D = H * run_dim(r, "head_width");
    const size_t bytes = (size_t)(T * D) * sizeof(float);
    Arena arena = {0};
    Tape tape = {&arena, run_backward(r), 0};
    Tensor y = {T, D, run_in(r, "y"), run_grad(r, "y")}, m = {T, D, run_in(r, "m"), run_grad(r, "m")};
    Tensor gain_y = {1, D, run_in(r, "gain_y"), run_grad(r, "gain_y")};
    Tensor gain_m = {1, D, run_in(r, "gain_m"), run_grad(r, "gain_m")};
    Tensor *left = op_norm(&tape, &y, &gain_y, 0, H), *right = op_norm(&tape, &m, &gain_m, 0, H);
    Tensor *o = op_gate(&tape, left, right);
    memcpy(run_out(r, "o"), o->data, bytes);
    if (run_backward(r)) {
        memcpy(o->grad, run_cotangent(r, "o"), bytes);
        tape_backward(&tape);
    }
    arena_free(&arena);
}

static const KernelAdapter adapters[] = {
    {"swiglu", "act", swiglu, 0, 0}, {"titans_gate", "act.gate", titans_gate, 0, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_act = {adapters};
