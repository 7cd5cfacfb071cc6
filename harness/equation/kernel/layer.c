/* Layers with states in and out: an optimized mixer, on a tape, from the equation's state. It runs in two calls, all tokens
 * but the last and then that one. A mixer carries taps - 1 rows before a convolution, an equation gives taps of them: the
 * oldest is the first of those between the calls. */
#include "base/check.h"
#include "equation/kernel/model.h"

#include <stdio.h>
#include <string.h>

enum { CARRIED = 3, SLOTS_MOST = 1 + CARRIED };

/* What a layer carries. Slot 0 is the state; keys, values: dimensions of its matrices where the equation has them as
 * [value][key], the mixer as [key][value]. Slots behind it have rows: `before` the call, `after` it. */
typedef struct {
    const char *equation, *keys, *values;
    struct {
        const char *before, *after;
    } rows[CARRIED];
} Layer;

#define QKV_ROWS                                                                                             \
    {                                                                                                        \
        {"tail_q", "next_q"}, {"tail_k", "next_k"}, { "tail_v", "next_v" }                                   \
    }
static const Layer layers[] = {
    {"gated_delta_net_layer", 0, 0, QKV_ROWS},
    {"kda_layer", 0, 0, QKV_ROWS},
    {"mamba2_layer",
     "head_keys",
     "head_values",
     {{"tail_x", "next_x"}, {"tail_b", "next_b"}, {"tail_c", "next_c"}}},
    {"mamba_layer", 0, 0, {{"conv_state0", "conv_state"}}},
    {"rwkv7_layer", "head_channels", "head_channels", {{"before", 0}}},
};

static const Layer *layer_of(const Equation *e) {
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (!strcmp(layers[i].equation, e->name)) return &layers[i];
    CHECK(0, "%s is no layer", e->name);
    return 0;
}

static int layer_accepted(const Dims *d, char *message, size_t size) {
    if (dims_get_or(d, "layer", 0) > 0)
        return snprintf(message, size, "the kernels have %s's first layer alone: layer=0 is wanted",
                        d->equation->name),
               -1;
    if (dims_get_or(d, "taps", 2) < 2)
        return snprintf(message, size,
                        "the kernels carry taps - 1 rows, which say nothing of %s's states: at least taps=2 "
                        "is wanted",
                        d->equation->name),
               -1;
    return model_accepted(d, message, size);
}

typedef struct {
    KernelRun *run;
    const Layer *layer;
    Model model;
    Tape *tape;
    State state;
    Tensor *x, *first[SLOTS_MOST], *middle[SLOTS_MOST]; /* slots before the first call, before the last */
} LayerRun;

static int64_t slot_size(const Tensor *slot) { return slot->rows * slot->cols; }

/* ---- inputs ---- */

/* An input as rows x n. */
static Tensor *given(const LayerRun *l, const char *name, int64_t rows) {
    Tensor *x = arena_take(l->tape->arena, sizeof *x);
    *x = (Tensor){rows, run_size(l->run, name) / rows, run_in(l->run, name), run_grad(l->run, name)};
    return x;
}

/* The equation's arrays in place of the model's: every parameter of the mixer, of the same size. */
static void layer_parameters(LayerRun *l) {
    static const char prefix[] = "layer.0.mixer.";
    const KernelRun *r = l->run;
    for (int i = 0; i < l->model.list.count; i++) {
        const Parameter *p = &l->model.list.items[i];
        if (strncmp(p->name, prefix, strlen(prefix)) != 0) continue;
        const int at = argument_find(r->dims->equation->in, p->name + strlen(prefix));
        CHECK(at >= 0 && r->in_size[at] == parameter_count(p),
              "%s: the optimized parameter %s is another one", r->dims->equation->name, p->name);
        l->model.tensors[i] = (Tensor){p->rows, p->cols, r->in[at], r->grad[at]};
    }
}

/* Whether the equation has an input of that name which is no parameter of the mixer. */
static int beyond(LayerRun *l, const char *input) {
    return argument_find(l->run->dims->equation->in, input) >= 0 && !mixer_parameter(&l->model, input);
}

/* x W + b is (x, 1) times W with the row b below it: for maps that the mixer has without biases, Mamba's. */
static void layer_bias(LayerRun *l, const char *map, const char *bias) {
    Tensor *w = mixer_parameter(&l->model, map);
    Tensor *const both[] = {given(l, map, w->rows), given(l, bias, 1)};
    *w = *op_concat(l->tape, both, 2, 1);
}

/* T x D, with biases T x (D + 1) and 1 behind every row. */
static void layer_x(LayerRun *l) {
    const int64_t T = run_dim(l->run, "tokens"), D = run_dim(l->run, "width"), n = D + beyond(l, "b_x");
    l->x = tape_tensor(l->tape, T, n);
    for (int64_t i = 0; i < T * n; i++)
        l->x->data[i] = i % n < D ? run_in(l->run, "x")[i / n * D + i % n] : 1.0f;
}
static void layer_x_gradient(const LayerRun *l) {
    const int64_t D = run_dim(l->run, "width"), n = l->x->cols;
    for (int64_t i = 0; i < slot_size(l->x); i++)
        if (i % n < D) run_grad(l->run, "x")[i / n * D + i % n] = l->x->grad[i];
}

/* ---- states ---- */

/* n numbers of K x V matrices in the mixer's layout, [key][value]; number i of them is `there` in the equation's. */
typedef struct {
    int64_t n, K, V;
} Matrices;

static Matrices matrices(const LayerRun *l) {
    const Layer *layer = l->layer;
    const int64_t n = slot_size(l->first[0]);
    if (!layer->keys) return (Matrices){n, n, 1};
    return (Matrices){n, run_dim(l->run, layer->keys), run_dim(l->run, layer->values)};
}
static int64_t there(const Matrices *m, int64_t i) {
    const int64_t all = m->K * m->V, key = i % all / m->V, value = i % m->V;
    return i / all * all + value * m->K + key;
}

static void add(int64_t n, const float *from, float *to) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* Rows of the equation's array that a slot has: the last ones. */
static int64_t rows_left_out(const LayerRun *l, int slot) {
    return run_size(l->run, l->layer->rows[slot - 1].before) - slot_size(l->first[slot]);
}

/* The slots as `start` makes them, zeros, then the equation's numbers. */
static void layer_start(LayerRun *l) {
    l->state = (State){.batch = 1};
    state_begin(l->tape, &l->state, &l->model);
    const int slots = l->model.mixer->slots;
    CHECK(l->state.layers, "a state without layers");
    for (int s = 0; s < slots; s++) l->first[s] = l->state.layers->slot[s];
    const Matrices m = matrices(l);
    for (int64_t i = 0; i < m.n; i++) l->first[0]->data[i] = run_in(l->run, "state0")[there(&m, i)];
    for (int s = 1; s < slots; s++)
        add(slot_size(l->first[s]), run_in(l->run, l->layer->rows[s - 1].before) + rows_left_out(l, s),
            l->first[s]->data);
}

static void layer_start_gradient(const LayerRun *l) {
    const Matrices m = matrices(l);
    for (int64_t i = 0; i < m.n; i++) run_grad(l->run, "state0")[there(&m, i)] = l->first[0]->grad[i];
    for (int s = 1; s < l->model.mixer->slots; s++)
        add(slot_size(l->first[s]), l->first[s]->grad,
            run_grad(l->run, l->layer->rows[s - 1].before) + rows_left_out(l, s));
}

/* Before the last token: the oldest row of what follows it. A call that does not record overwrites its slots. */
static void layer_middle(LayerRun *l) {
    for (int s = 0; s < l->model.mixer->slots; s++) {
        Tensor *slot = l->middle[s] = l->state.layers->slot[s];
        const char *after = s ? l->layer->rows[s - 1].after : 0;
        if (after) memcpy(run_out(l->run, after), slot->data, (size_t)slot->cols * sizeof(float));
    }
}

static void layer_end(const LayerRun *l) {
    Tensor *const *slot = l->state.layers->slot;
    const Matrices m = matrices(l);
    for (int64_t i = 0; i < m.n; i++) run_out(l->run, "state")[there(&m, i)] = slot[0]->data[i];
    for (int s = 1; s < l->model.mixer->slots; s++) {
        const char *after = l->layer->rows[s - 1].after;
        if (after)
            memcpy(run_out(l->run, after) + slot[s]->cols, slot[s]->data,
                   (size_t)slot_size(slot[s]) * sizeof(float));
    }
}

static void layer_end_gradient(const LayerRun *l) {
    Tensor *const *slot = l->state.layers->slot;
    const Matrices m = matrices(l);
    for (int64_t i = 0; i < m.n; i++) slot[0]->grad[i] = run_cotangent(l->run, "state")[there(&m, i)];
    for (int s = 1; s < l->model.mixer->slots; s++) {
        const char *after = l->layer->rows[s - 1].after;
        if (!after) continue;
        add(slot[s]->cols, run_cotangent(l->run, after), l->middle[s]->grad);
        add(slot_size(slot[s]), run_cotangent(l->run, after) + slot[s]->cols, slot[s]->grad);
    }
}

/* ---- outputs ---- */

/* The layer's own values, which RWKV-7's later layers read: (x + (x before - x) shift_v) W_v, T x D. */
static Tensor *layer_values(LayerRun *l) {
    Tape *tape = l->tape;
    Tensor *held = op_scale(tape, l->first[1], 1.0f), *before = op_previous(tape, l->x, 1, &held);
    Tensor *step = op_add(tape, before, op_scale(tape, l->x, -1.0f));
    Tensor *shifted = op_add(tape, l->x, op_mul(tape, step, mixer_parameter(&l->model, "shift_v")));
    return op_linear(tape, shifted, mixer_parameter(&l->model, "wv"));
}

/* o of the tokens from .. from + count - 1. */
static Tensor *layer_call(LayerRun *l, int64_t from, int64_t count) {
    Tensor *x = op_slice(l->tape, l->x, 1, from, count);
    Tensor *o = model_mixer_on(l->tape, &l->model, &l->state, x);
    return beyond(l, "b_x") ? op_bias(l->tape, o, given(l, "b_o", 1)) : o;
}

static Tensor *layer_forward(LayerRun *l) {
    const int64_t T = l->x->rows;
    Tensor *o[2] = {0, 0};
    if (T > 1) o[0] = layer_call(l, 0, T - 1);
    layer_middle(l);
    o[1] = layer_call(l, T - 1, 1);
    layer_end(l);
    return T > 1 ? op_concat(l->tape, o, 2, 1) : o[1];
}

static void output(const LayerRun *l, const char *name, Tensor *y) {
    const size_t bytes = (size_t)slot_size(y) * sizeof(float);
    memcpy(run_out(l->run, name), y->data, bytes);
    if (run_backward(l->run)) memcpy(y->grad, run_cotangent(l->run, name), bytes);
}

static void layer_run(KernelRun *r) {
    Arena arena = {0};
    Tape tape = {&arena, run_backward(r), 0};
    LayerRun l = {.run = r, .layer = layer_of(r->dims->equation), .model = model_of(r), .tape = &tape};
    layer_parameters(&l);
    if (beyond(&l, "b_x")) layer_bias(&l, "wx", "b_x"), layer_bias(&l, "wz", "b_z");
    layer_x(&l);
    layer_start(&l);
    if (beyond(&l, "v_first")) output(&l, "v_first_next", layer_values(&l));
    output(&l, "o", layer_forward(&l));
    if (run_backward(r)) {
        layer_end_gradient(&l);
        tape_backward(&tape);
        layer_start_gradient(&l);
        layer_x_gradient(&l);
    }
    arena_free(&arena);
    model_free(&l.model);
}

#define LAYER(name)                                                                                          \
    { name "_layer", "layer." name, layer_run, layer_accepted, 0, model_takes }
static const KernelAdapter adapters[] = {LAYER("gated_delta_net"), LAYER("kda"),   LAYER("mamba2"),
                                         LAYER("mamba"),           LAYER("rwkv7"), {"", "", 0, 0, 0}};
const KernelAdapters kernel_adapters_layer = {adapters};
