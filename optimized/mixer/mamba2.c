/* Mamba-2 (Dao, Gu 2405.21060): key_heads groups of heads share keys B and queries C, of key_width numbers. State: K x V per head and three tails, constant size. */
#include "branch/memory.h"
#include "branch/recurrent.h"

#include <math.h>
#include <stdio.h>

enum {
    WZ,
    WX,
    WB,
    WC,
    WDT,
    B_Z,
    B_X,
    B_B,
    B_C,
    B_DT,
    CONV_X,
    CONV_B,
    CONV_C,
    BIAS_X,
    BIAS_B,
    BIAS_C,
    A_LOG,
    DT_BIAS,
    SKIP,
    GAIN,
    WO,
    B_O
};
extern const Mixer mixer_mamba2;
enum { SLOTS = RECURRENT_TAIL + 3 };

typedef struct {
    RecurrentOptions rule;
    int64_t bias;
    double dt_min, dt_max;
} Mamba2Options;

#define NO_DT_MAX 1e38

static const Field mamba2_fields[] = {
    HEAD_FIELDS(Mamba2Options, rule),
    KEY_HEADS_FIELD(Mamba2Options, rule, 1, "groups of heads that share B and C, and of the output's norm"),
    TAPS_FIELD(Mamba2Options, rule, 1, 4),
    EPS_FIELD(Mamba2Options, rule),
    INTEGER_FIELD(Mamba2Options, bias, "bias", 0, 1, 0, "the maps have biases"),
    REAL_FIELD(Mamba2Options, dt_min, "dt_min", 0, NO_DT_MAX, 0, "smallest step; 0: no limit"),
    REAL_FIELD(Mamba2Options, dt_max, "dt_max", 1e-30, NO_DT_MAX, NO_DT_MAX, "largest step; 1e38: no limit"),
    FIELD_END};

MIXER_OPTIONS(Mamba2Options);

static const Mamba2Options *mamba2_options(const Config *c) { return (const void *)c->options; }

static int mamba2_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((Mamba2Options *)(void *)c->options)->rule, message, size);
}

/* A bias of a map, which an option leaves out. */
static void mamba2_bias(ParameterList *list, int layer, const char *name, int64_t rows, int64_t columns) {
    char full[32];
    snprintf(full, sizeof full, "mixer.%s", name);
    parameter_add(list, layer, full, rows, columns, 0.0)->decay = 0;
}

static void mamba2_parameters(ParameterList *list, int layer, const Config *c) {
    const Mamba2Options *o = mamba2_options(c);
    const int64_t D = c->width, keys = recurrent_keys(&o->rule), values = recurrent_values(c, &o->rule);
    const char *const maps[] = {"wz", "wx", "wb", "wc", "wdt"}, *const biases[] = {"b_z", "b_x", "b_b", "b_c",
                                                                                   "b_dt"};
    const int64_t columns[] = {values, values, keys, keys, c->heads};
    for (int i = 0; i < 5; i++) recurrent_map(list, layer, maps[i], D, columns[i]);
    for (int i = 0; i < 5; i++) mamba2_bias(list, layer, biases[i], o->bias, columns[i]);
    recurrent_filter(list, layer, "conv_x", &o->rule, values);
    recurrent_filter(list, layer, "conv_b", &o->rule, keys);
    recurrent_filter(list, layer, "conv_c", &o->rule, keys);
    recurrent_vector(list, layer, "bias_x", values, 0.0);
    recurrent_vector(list, layer, "bias_b", keys, 0.0);
    recurrent_vector(list, layer, "bias_c", keys, 0.0);
    recurrent_vector(list, layer, "a_log", c->heads, 0.0);
    recurrent_vector(list, layer, "dt_bias", c->heads, 0.0);
    recurrent_vector(list, layer, "skip", c->heads, 1.0);
    parameter_gain(list, layer, "mixer.gain", values);
    recurrent_output_map(list, layer, c, values);
    mamba2_bias(list, layer, "b_o", o->bias, D);
}

static void mamba2_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    for (int i = CONV_X; i <= CONV_C; i++) memory_branch_open_convolution(parameter + i);
    recurrent_start_decay(parameter + A_LOG, parameter + DT_BIAS);
}

static void mamba2_start(const MixerCall *call) {
    const Mamba2Options *o = call->options;
    const int64_t keys = recurrent_keys(&o->rule), values = recurrent_values(call->config, &o->rule);
    Tensor **slot = call->state->slot;
    slot[RECURRENT_STATE] = recurrent_state(call, o->rule.key_width, o->rule.value_width);
    slot[RECURRENT_TAIL] = recurrent_tail(call, &o->rule, values);
    slot[RECURRENT_TAIL + 1] = recurrent_tail(call, &o->rule, keys);
    slot[RECURRENT_TAIL + 2] = recurrent_tail(call, &o->rule, keys);
}

/* y = x W, with its bias where there is one. */
static Tensor *mamba2_biased(const MixerCall *call, Tensor *y, int bias) {
    return ((const Mamba2Options *)call->options)->bias ? op_bias(call->tape, y, call->parameter + bias) : y;
}

/* softplus(x W_dt + dt_bias) within the limits, where there are some. */
static Tensor *mamba2_step(const MixerCall *call, Tensor *x) {
    const Mamba2Options *o = call->options;
    Tensor *raw = op_bias(call->tape,
                          mamba2_biased(call, op_linear_float32(call->tape, x, call->parameter + WDT), B_DT),
                          call->parameter + DT_BIAS);
    Tensor *dt = op_map(call->tape, raw, MAP_SOFTPLUS);
    if (o->dt_min <= 0.0 && o->dt_max >= NO_DT_MAX) return dt;
    return op_limit(call->tape, dt, (float)o->dt_min, (float)o->dt_max);
}

static Tensor *mamba2_forward(const MixerCall *call, Tensor *x) {
    const Mamba2Options *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter, **slot = call->state->slot;
    Tensor *part[3];
    for (int i = 0; i < 3; i++)
        part[i] = recurrent_input(call, &o->rule, x,
                                  &(RecurrentInput){p + WX + i, o->bias ? p + B_X + i : 0, p + CONV_X + i,
                                                    p + BIAS_X + i, slot + RECURRENT_TAIL + i});
    Tensor *z = mamba2_biased(call, op_linear(tape, x, p + WZ), B_Z), *dt = mamba2_step(call, x);
    Tensor *decay = recurrent_decay_of(call, dt, p + A_LOG);
    const DeltaTensors in = {.q = part[2], .k = part[1], .v = part[0], .decay = decay, .rate = dt};
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_NONE, 1.0, &in);
    y = op_add(tape, y, op_heads(tape, part[0], p + SKIP, 0));
    y = op_mul(tape, y, op_map(tape, z, MAP_SILU));
    const NormShape norm = {y->rows, o->rule.key_heads, y->cols / o->rule.key_heads, 0, 0,
                            0,       (float)o->rule.eps};
    y = op_linear(tape, op_norm_of(tape, &norm, y, p + GAIN, 0), p + WO);
    return o->bias ? op_bias(tape, y, p + B_O) : y;
}

static double mamba2_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_mamba2, c, &mamba2_options(c)->rule, 5.0);
}

static int64_t mamba2_state(const Config *c, int layer, int64_t context) {
    const Mamba2Options *o = mamba2_options(c);
    (void)layer, (void)context;
    return recurrent_floats(c, &o->rule, 1, 2 * recurrent_keys(&o->rule) + recurrent_values(c, &o->rule));
}

static double mamba2_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)mamba2_state(c, layer, (int64_t)context);
}

const Mixer mixer_mamba2 = {.name = "mamba2",
                            .summary = "state space duality: a decay per head and token (Dao, Gu 2024)",
                            .label = "Mamba-2",
                            .fields = mamba2_fields,
                            .slots = SLOTS,
                            .settle = mamba2_settle,
                            .split = recurrent_split,
                            .parameters = mamba2_parameters,
                            .initialise = mamba2_initialise,
                            .start = mamba2_start,
                            .forward = mamba2_forward,
                            .flops = mamba2_flops,
                            .state_floats = mamba2_state,
                            .bytes = mamba2_bytes};
