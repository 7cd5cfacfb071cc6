/* Scans between their step and their gate. */
#include "equation/adapter.h"
#include "op/op.h"

#include <stdio.h>
#include <string.h>

/* The input of that name as rows x cols. */
static Tensor given(KernelRun *r, const char *name, int64_t rows, int64_t cols) {
    return (Tensor){rows, cols, run_in(r, name), run_grad(r, name)};
}

/* b and c of every token side by side, as mixers have them. */
static Tensor *beside(Tape *tape, KernelRun *r, const char *b, const char *c, int64_t rows, int64_t states) {
    Tensor *both = tape_tensor(tape, rows, 2 * states);
    for (int64_t t = 0; t < rows; t++)
        for (int64_t n = 0; n < states; n++) {
            both->data[t * 2 * states + n] = run_in(r, b)[t * states + n];
            both->data[t * 2 * states + states + n] = run_in(r, c)[t * states + n];
        }
    return both;
}
static void apart(KernelRun *r, const Tensor *both, const char *b, const char *c, int64_t states) {
    for (int64_t t = 0; t < both->rows; t++)
        for (int64_t n = 0; n < states; n++) {
            run_grad(r, b)[t * states + n] = both->grad[t * 2 * states + n];
            run_grad(r, c)[t * states + n] = both->grad[t * 2 * states + states + n];
        }
}

static void scan(KernelRun *r, ScanKind kind, const char *b, const char *c, int smooth) {
    const int64_t T = run_dim(r, "tokens"), D = run_dim(r, "channels"), N = run_dim(r, "state");
    const ScanShape shape = {1, T, D, N, 2 * N, kind};
    Arena arena = {0};
    Tape tape = {&arena, run_backward(r), 0};
    Tensor u = given(r, "u", T, D), delta = given(r, "delta", T, D), bias = given(r, "delta_bias", 1, D),
           skip = given(r, "skip", 1, D), z = given(r, "z", T, D), state0 = given(r, "state0", N, D), a,
           *state = &state0, *both = beside(&tape, r, b, c, T, N), *step = op_bias(&tape, &delta, &bias);
    if (kind == SCAN_SELECTIVE) a = given(r, "A", N, D);
    if (smooth) step = op_map(&tape, step, MAP_SOFTPLUS);
    if (!tape.recording) {
        state = tape_tensor(&tape, N, D);
        memcpy(state->data, state0.data, (size_t)(N * D) * sizeof(float));
    }
    const ScanTensors in = {&u, step, kind == SCAN_SELECTIVE ? &a : 0, both, &skip, 0, N};
    Tensor *y = op_scan(&tape, &shape, &in, &state);
    if (run_dim(r, "gated")) y = op_swiglu(&tape, &z, y);
    memcpy(run_out(r, "y"), y->data, (size_t)(T * D) * sizeof(float));
    memcpy(run_out(r, "state"), state->data, (size_t)(N * D) * sizeof(float));
    if (run_backward(r)) {
        memcpy(y->grad, run_cotangent(r, "y"), (size_t)(T * D) * sizeof(float));
        memcpy(state->grad, run_cotangent(r, "state"), (size_t)(N * D) * sizeof(float));
        tape_backward(&tape);
        apart(r, both, b, c, N);
    }
    arena_free(&arena);
}

static void selective_scan(KernelRun *r) { scan(r, SCAN_SELECTIVE, "B", "C", (int)run_dim(r, "softplus")); }
static void longhorn_scan(KernelRun *r) { scan(r, SCAN_LONGHORN, "k", "q", 0); }

static int accepted(const Dims *d, char *message, size_t size) {
    if (dims_get(d, "state") > SCAN_STATES)
        return snprintf(message, size, "the kernel has at most %d states", SCAN_STATES), -1;
    if (dims_get_or(d, "groups", 1) > 1)
        return snprintf(message, size, "the kernel has one group of channels"), -1;
    return 0;
}

static const KernelAdapter adapters[] = {{"selective_scan", "scan", selective_scan, accepted, 0},
                                         {"longhorn_scan", "scan.longhorn", longhorn_scan, accepted, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_scan = {adapters};
