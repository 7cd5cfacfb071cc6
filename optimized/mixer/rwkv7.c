/* RWKV-7's time mixing (2503.14456), the first layer's form in every layer: values of the first layer are not mixed into
 * the others, since a mixer knows its own layer alone. State: K x K per head and the last row, constant size. */
#include "branch/recurrent.h"

#include <math.h>
#include <stdio.h>

enum {
    SHIFT_R,
    SHIFT_W,
    SHIFT_K,
    SHIFT_V,
    SHIFT_A,
    SHIFT_G,
    SHIFTS,
    WR = SHIFTS,
    WK,
    WV,
    W0,
    W1,
    W2,
    A0,
    A1,
    A2,
    G1,
    G2,
    K_K,
    K_A,
    R_K,
    LN_W,
    LN_B,
    WO
};
enum { ROW = 1, SLOTS };

extern const Mixer mixer_rwkv7;

typedef struct {
    RecurrentOptions rule; /* widths are those of the model */
    int64_t rank_w, rank_a, rank_g;
} Rwkv7Options;

#define RANK_FIELD(member, meaning)                                                                          \
    INTEGER_FIELD(Rwkv7Options, member, #member, 1, 1 << 16, 32, "columns of the " meaning "'s maps")
static const Field rwkv7_fields[] = {
    RANK_FIELD(rank_w, "decay"), RANK_FIELD(rank_a, "rate"), RANK_FIELD(rank_g, "gate"),
    REAL_FIELD(Rwkv7Options, rule.eps, "eps", 1e-30, 1, 64e-5, "added to the variance in the output's norm"),
    FIELD_END};

MIXER_OPTIONS(Rwkv7Options);

static const Rwkv7Options *rwkv7_options(const Config *c) { return (const void *)c->options; }

static int rwkv7_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((Rwkv7Options *)(void *)c->options)->rule, message, size);
}

static void rwkv7_parameters(ParameterList *list, int layer, const Config *c) {
    static const char *const shifts[] = {"shift_r", "shift_w", "shift_k", "shift_v", "shift_a", "shift_g"};
    const Rwkv7Options *o = rwkv7_options(c);
    const int64_t D = c->width;
    for (int i = 0; i < 6; i++) recurrent_vector(list, layer, shifts[i], D, 0.5);
    recurrent_map(list, layer, "wr", D, D);
    recurrent_map(list, layer, "wk", D, D);
    recurrent_map(list, layer, "wv", D, D);
    recurrent_vector(list, layer, "w0", D, 0.0);
    recurrent_map(list, layer, "w1", D, o->rank_w);
    recurrent_map(list, layer, "w2", o->rank_w, D);
    recurrent_vector(list, layer, "a0", D, 0.0);
    recurrent_map(list, layer, "a1", D, o->rank_a);
    recurrent_map(list, layer, "a2", o->rank_a, D);
    recurrent_map(list, layer, "g1", D, o->rank_g);
    recurrent_map(list, layer, "g2", o->rank_g, D);
    recurrent_vector(list, layer, "k_k", D, 0.85);
    recurrent_vector(list, layer, "k_a", D, 1.0);
    recurrent_vector(list, layer, "r_k", D, 0.0);
    parameter_gain(list, layer, "mixer.ln_w", D);
    recurrent_vector(list, layer, "ln_b", D, 0.0);
    recurrent_output_map(list, layer, c, D);
}

/* Decays of a head's channels from slow to fast, as the authors start them. */
static void rwkv7_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)layer;
    const int64_t D = c->width;
    for (int64_t i = 0; i < D; i++) {
        const double part = D > 1 ? (double)i / (double)(D - 1) : 0.0;
        parameter[W0].data[i] = (float)(-6.0 + 5.0 * pow(part, 0.85) + 0.5);
    }
}

static void rwkv7_start(const MixerCall *call) {
    const Rwkv7Options *o = call->options;
    call->state->slot[RECURRENT_STATE] = recurrent_state(call, o->rule.key_width, o->rule.value_width);
    call->state->slot[ROW] = tape_zeros(call->tape, call->batch, call->config->width);
}

/* x + (row before - x) shift for every shift. */
typedef struct {
    const MixerCall *call;
    Tensor *by[SHIFTS];
} Shifted;

static Shifted rwkv7_shift(const MixerCall *call, Tensor *x) {
    /* Gradients are added from the last to the first: another order would give other last bits than the published. */
    static const int order[SHIFTS] = {SHIFT_W, SHIFT_A, SHIFT_K, SHIFT_R, SHIFT_V, SHIFT_G};
    Shifted s = {call, {0}};
    Tensor *before = op_previous(call->tape, x, call->batch, call->state->slot + ROW), *shift[SHIFTS],
           *y[SHIFTS];
    for (int i = 0; i < SHIFTS; i++) shift[i] = call->parameter + order[i];
    op_lerp(call->tape, x, before, SHIFTS, shift, y);
    for (int i = 0; i < SHIFTS; i++) s.by[order[i]] = y[i];
    return s;
}

static Tensor *rwkv7_low_rank(const Shifted *s, int shift, int first, int second, int kind) {
    Tape *tape = s->call->tape;
    Tensor *narrow = op_linear_float32(tape, s->by[shift], s->call->parameter + first);
    if (kind >= 0) narrow = op_map(tape, narrow, (MapKind)kind);
    return op_linear_float32(tape, narrow, s->call->parameter + second);
}

/* What the rule takes: decay exp(-0.606531 sigma(w0 + w)), the removal pair -kk and kk a, the key k (1 + (a - 1) k_a). */
static DeltaTensors rwkv7_inputs(const Shifted *s) {
    Tape *tape = s->call->tape;
    Tensor *p = s->call->parameter;
    Tensor *w = op_bias(tape, rwkv7_low_rank(s, SHIFT_W, W1, W2, MAP_TANH), p + W0);
    Tensor *z = op_bias(tape, rwkv7_low_rank(s, SHIFT_A, A1, A2, -1), p + A0);
    Tensor *k = op_linear(tape, s->by[SHIFT_K], p + WK);
    Tensor *kk = recurrent_unit(s->call, op_mul(tape, k, p + K_K), s->call->config->heads, 1e-24);
    Tensor *less = op_scale(tape, op_map(tape, op_scale(tape, z, -1.0f), MAP_SIGMOID), -1.0f); /* a - 1 */
    return (DeltaTensors){.q = op_linear(tape, s->by[SHIFT_R], p + WR),
                          .k = op_add(tape, k, op_mul(tape, op_mul(tape, k, less), p + K_A)),
                          .v = op_linear(tape, s->by[SHIFT_V], p + WV),
                          .decay =
                              op_map(tape, op_scale(tape, op_map(tape, w, MAP_SIGMOID), -0.606531f), MAP_EXP),
                          .a = op_scale(tape, kk, -1.0f),
                          .b = op_mul(tape, kk, op_map(tape, z, MAP_SIGMOID))};
}

static Tensor *rwkv7_forward(const MixerCall *call, Tensor *x) {
    const Rwkv7Options *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const Shifted s = rwkv7_shift(call, x);
    const int64_t heads = call->config->heads;
    const DeltaTensors in = rwkv7_inputs(&s);
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_PAIR, 1.0, &in);
    const NormShape norm = {y->rows, heads, o->rule.value_width, 0, 1, 0, (float)o->rule.eps};
    y = op_bias(tape, op_norm_of(tape, &norm, y, p + LN_W, 0), p + LN_B);
    Tensor *bonus = op_head_sum(tape, op_mul(tape, op_mul(tape, in.q, in.k), p + R_K), heads);
    y = op_add(tape, y, op_heads(tape, in.v, bonus, 0));
    return op_linear(tape, op_mul(tape, y, rwkv7_low_rank(&s, SHIFT_G, G1, G2, MAP_SIGMOID)), p + WO);
}

static double rwkv7_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_rwkv7, c, &rwkv7_options(c)->rule, 9.0);
}

static int64_t rwkv7_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return recurrent_floats(c, &rwkv7_options(c)->rule, 1, 0) + c->width;
}

static double rwkv7_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)rwkv7_state(c, layer, (int64_t)context);
}

const Mixer mixer_rwkv7 = {.name = "rwkv7",
                           .summary = "the generalised delta rule with token shifts (RWKV-7, 2025)",
                           .label = "RWKV-7",
                           .fields = rwkv7_fields,
                           .slots = SLOTS,
                           .settle = rwkv7_settle,
                           .split = recurrent_split,
                           .parameters = rwkv7_parameters,
                           .initialise = rwkv7_initialise,
                           .start = rwkv7_start,
                           .forward = rwkv7_forward,
                           .flops = rwkv7_flops,
                           .state_floats = rwkv7_state,
                           .bytes = rwkv7_bytes};
