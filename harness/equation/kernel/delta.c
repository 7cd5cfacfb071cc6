#include "base/dispatch.h"
#include "base/parallel.h"
#include "equation/adapter.h"
#include "op/op.h"

#include <math.h>
#include <string.h>

/* Decays as factors: n of them from their logarithms. */
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

/* q or k, l2-normed as the layers around the rule do it, and back: dx, the gradient of the normed rows, becomes that of
 * the input `name`. */
static NormShape unit_shape(const KernelRun *r) {
    const int64_t K = run_dim(r, "key_width");
    return (NormShape){run_dim(r, "tokens") * run_dim(r, "key_heads"), 1, K, 1, 0, 0, 1e-6f / (float)K};
}
static float *unit_gain(const KernelRun *r) {
    const int64_t K = run_dim(r, "key_width");
    float *gain = run_zeros(K);
    for (int64_t i = 0; i < K; i++) gain[i] = 1.0f / sqrtf((float)K);
    return gain;
}
static float *unit(const KernelRun *r, const char *name) {
    const NormShape shape = unit_shape(r);
    float *gain = unit_gain(r), *y = run_scratch(run_size(r, name));
    kernel->norm->forward(&shape, run_in(r, name), gain, 0, y);
    free(gain);
    return y;
}
static void unit_backward(const KernelRun *r, const char *name, const float *dy) {
    const NormShape shape = unit_shape(r);
    float *gain = unit_gain(r), *workspace = run_scratch(norm_workspace(&shape, 0));
    kernel->norm->backward(&shape, run_in(r, name), gain, 0, dy, run_grad(r, name), 0, 0, workspace);
    free(gain);
    free(workspace);
}

static void general_delta_rule(KernelRun *r) {
    const int normed = (int)run_dim(r, "normalise");
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
    float *q = normed ? unit(r, "q") : 0, *k = normed ? unit(r, "k") : 0, *dq = run_zeros(run_size(r, "q")),
          *dk = run_zeros(run_size(r, "k"));
    const DeltaInput in = {normed ? q : run_in(r, "q"),
                           normed ? k : run_in(r, "k"),
                           run_in(r, "v"),
                           decay,
                           rate ? run_in(r, "beta") : 0,
                           run_in(r, "a"),
                           run_in(r, "b")};
    DeltaGradient d = {0};
    if (run_backward(r))
        d = (DeltaGradient){normed ? dq : run_grad(r, "q"),
                            normed ? dk : run_grad(r, "k"),
                            run_grad(r, "v"),
                            d_decay,
                            run_grad(r, "beta"),
                            run_grad(r, "a"),
                            run_grad(r, "b")};
    delta_run(r, &s, &in, &d);
    if (run_backward(r)) kernel->map->backward(MAP_EXP, n, run_in(r, "g"), d_decay, run_grad(r, "g"));
    if (normed && run_backward(r)) {
        unit_backward(r, "q", dq);
        unit_backward(r, "k", dk);
    }
    float *const all[] = {decay, d_decay, q, k, dq, dk};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The kernel has memory and momentum of a head side by side, the equation one after the other. */
static void states_join(const KernelRun *r, const float *S, const float *M, float *both) {
    const int64_t matrix = run_dim(r, "key_width") * run_dim(r, "value_width");
    for (int64_t h = 0; h < run_dim(r, "heads"); h++) {
        memcpy(both + 2 * h * matrix, S + h * matrix, (size_t)matrix * sizeof(float));
        memcpy(both + (2 * h + 1) * matrix, M + h * matrix, (size_t)matrix * sizeof(float));
    }
}
static void states_part(const KernelRun *r, const float *both, float *S, float *M) {
    const int64_t matrix = run_dim(r, "key_width") * run_dim(r, "value_width");
    for (int64_t h = 0; h < run_dim(r, "heads"); h++) {
        memcpy(S + h * matrix, both + 2 * h * matrix, (size_t)matrix * sizeof(float));
        memcpy(M + h * matrix, both + (2 * h + 1) * matrix, (size_t)matrix * sizeof(float));
    }
}

static void momentum_delta_rule(KernelRun *r) {
    const int64_t K = run_dim(r, "key_width"), H = run_dim(r, "heads"), n = run_size(r, "beta"),
                  state = run_size(r, "state0");
    const DeltaShape s = {1,         run_dim(r, "tokens"),
                          H,         H,
                          K,         run_dim(r, "value_width"),
                          0,         0,
                          DELTA_KEY, run_dim(r, "scaled") ? 1.0f / sqrtf((float)K) : 1.0f};
    float *keep = exponentials(n, run_in(r, "log_alpha")), *carry = exponentials(n, run_in(r, "log_mu")),
          *d_keep = run_zeros(n), *d_carry = run_zeros(n), *both = run_scratch(2 * state),
          *d_both = run_zeros(2 * state), *snapshots = run_scratch(momentum_snapshot_floats(&s)),
          *partial = run_scratch(kernel->momentum->partial_floats(&s)),
          *workspace = run_scratch(parallel_threads() * kernel->momentum->workspace_floats(&s));
    const MomentumInput in = {run_in(r, "q"), run_in(r, "k"), run_in(r, "p"),    run_in(r, "v"),
                              keep,           carry,          run_in(r, "beta"), run_in(r, "eta")};
    states_join(r, run_in(r, "state0"), run_in(r, "momentum0"), both);
    kernel->momentum->forward(&s, &in, both, run_out(r, "o"), run_backward(r) ? snapshots : 0, workspace);
    states_part(r, both, run_out(r, "state"), run_out(r, "momentum"));
    if (run_backward(r)) {
        const MomentumGradient d = {
            run_grad(r, "q"), run_grad(r, "k"), run_grad(r, "p"),    run_grad(r, "v"),
            d_keep,           d_carry,          run_grad(r, "beta"), run_grad(r, "eta")};
        states_join(r, run_cotangent(r, "state"), run_cotangent(r, "momentum"), d_both);
        kernel->momentum->backward(&s, &in, snapshots, run_cotangent(r, "o"), &d, d_both, partial, workspace);
        states_part(r, d_both, run_grad(r, "state0"), run_grad(r, "momentum0"));
        kernel->map->backward(MAP_EXP, n, run_in(r, "log_alpha"), d_keep, run_grad(r, "log_alpha"));
        kernel->map->backward(MAP_EXP, n, run_in(r, "log_mu"), d_carry, run_grad(r, "log_mu"));
    }
    float *const all[] = {keep, carry, d_keep, d_carry, both, d_both, snapshots, partial, workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* A decay per head for all tokens: its gradient is the sum over them. */
static void retention(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), H = run_dim(r, "heads"), K = run_dim(r, "key_width");
    const DeltaShape s = {1, T, H, H, K, run_dim(r, "value_width"), 1, 0, DELTA_NONE, 1.0f / sqrtf((float)K)};
    float *decay = run_zeros(T * H), *d_decay = run_zeros(T * H);
    for (int64_t i = 0; i < T * H; i++) decay[i] = run_in(r, "gamma")[i % H];
    const DeltaInput in = {run_in(r, "q"), run_in(r, "k"), run_in(r, "v"), decay, 0, 0, 0};
    DeltaGradient d = {0};
    if (run_backward(r))
        d = (DeltaGradient){run_grad(r, "q"), run_grad(r, "k"), run_grad(r, "v"), d_decay, 0, 0, 0};
    delta_run(r, &s, &in, &d);
    for (int64_t i = 0; run_backward(r) && i < T * H; i++) run_grad(r, "gamma")[i % H] += d_decay[i];
    free(decay);
    free(d_decay);
}

/* Mamba-2's scan on a tape of its own: the rule takes B and C as keys and queries, dt as rate, and the state the other way
 * round. */
typedef struct {
    KernelRun *run;
    Tape *tape;
} Taped;

static Tensor *given(const Taped *t, const char *name, int64_t rows) {
    Tensor *x = arena_take(t->tape->arena, sizeof *x);
    *x = (Tensor){rows, run_size(t->run, name) / rows, run_in(t->run, name),
                  run_backward(t->run) ? run_grad(t->run, name) : 0};
    return x;
}

/* H matrices of rows x columns, turned. */
static void turn(int64_t H, int64_t rows, int64_t columns, const float *from, float *to) {
    for (int64_t h = 0; h < H; h++)
        for (int64_t i = 0; i < rows * columns; i++)
            to[h * rows * columns + i % columns * rows + i / columns] = from[h * rows * columns + i];
}

/* dt within its limits, in place; outside of them the gradient is the limit's. */
typedef struct {
    Tensor *dt;
    const signed char *side; /* -1: below the least, 1: above the most */
    float *least, *most;     /* gradients */
} Limits;

static void limits_backward(void *context) {
    const Limits *c = context;
    for (int64_t i = 0; i < c->dt->rows * c->dt->cols; i++) {
        if (!c->side[i]) continue;
        *(c->side[i] < 0 ? c->least : c->most) += c->dt->grad[i];
        c->dt->grad[i] = 0.0f;
    }
}

static void limit(const Taped *t, Tensor *dt) {
    const int64_t n = dt->rows * dt->cols;
    const float least = run_in(t->run, "dt_min")[0], most = run_in(t->run, "dt_max")[0];
    signed char *side = arena_take(t->tape->arena, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        side[i] = (signed char)(dt->data[i] < least ? -1 : dt->data[i] > most);
        if (side[i]) dt->data[i] = side[i] < 0 ? least : most;
    }
    if (!run_backward(t->run)) return;
    tape_push(t->tape, limits_backward,
              &(Limits){dt, side, run_grad(t->run, "dt_min"), run_grad(t->run, "dt_max")}, sizeof(Limits));
}

static void state_space_dual(KernelRun *r) {
    const int64_t T = run_dim(r, "tokens"), H = run_dim(r, "heads"), N = run_dim(r, "state_width"),
                  P = run_dim(r, "value_width");
    Arena arena = {0};
    Tape tape = {&arena, run_backward(r), 0};
    const Taped t = {r, &tape};
    Tensor *x = given(&t, "x", T), *state = tape_tensor(&tape, H, N * P), *first = state;
    Tensor *dt = op_bias(&tape, given(&t, "dt", T), given(&t, "dt_bias", 1));
    if (run_dim(r, "softplus")) dt = op_map(&tape, dt, MAP_SOFTPLUS);
    limit(&t, dt);
    Tensor *decay = op_map(&tape, op_mul(&tape, dt, given(&t, "A", 1)), MAP_EXP);
    const DeltaShape s = {1, T, H, run_dim(r, "key_heads"), N, P, 1, 1, DELTA_NONE, 1.0f};
    const DeltaTensors in = {
        .q = given(&t, "C", T), .k = given(&t, "B", T), .v = x, .decay = decay, .rate = dt};
    turn(H, P, N, run_in(r, "state0"), state->data);
    Tensor *y = op_add(&tape, op_delta(&tape, &s, &in, &state), op_heads(&tape, x, given(&t, "D", 1), 0));
    memcpy(run_out(r, "y"), y->data, (size_t)(T * H * P) * sizeof(float));
    turn(H, N, P, state->data, run_out(r, "state"));
    if (run_backward(r)) {
        memcpy(y->grad, run_cotangent(r, "y"), (size_t)(T * H * P) * sizeof(float));
        turn(H, P, N, run_cotangent(r, "state"), state->grad);
        tape_backward(&tape);
        turn(H, N, P, first->grad, run_grad(r, "state0"));
    }
    arena_free(&arena);
}

static const KernelAdapter adapters[] = {{"general_delta_rule", "delta", general_delta_rule, 0, 0},
                                         {"momentum_delta_rule", "momentum", momentum_delta_rule, 0, 0},
                                         {"retention", "delta.retention", retention, 0, 0},
                                         {"state_space_dual", "delta.dual", state_space_dual, 0, 0},
                                         {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_delta = {adapters};
