#include "equation/adapter.h"
#include "op/op.h"

static void cross_entropy(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), V = run_dim(r, "vocab");
    Arena arena = {0};
    Tape tape = {&arena, run_backward(r), 0};
    Tensor logits = {T, V, run_in(r, "logits"), run_grad(r, "logits")};
    int32_t *target = run_integers(T, run_in(r, "target")), *best = run_integers(T, run_in(r, "target"));
    run_out(r, "loss")[0] = (float)op_cross_entropy(&tape, &logits, target, 1.0, best);
    for (int64_t i = 0; logits.grad && i < T * V; i++) logits.grad[i] *= run_cotangent(r, "loss")[0];
    free(target);
    free(best);
    arena_free(&arena);
}

static const KernelAdapter adapters[] = {{"cross_entropy", "loss", cross_entropy, 0, 0}, {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_loss = {adapters};
