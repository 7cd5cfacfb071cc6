/* Gated linear attention (Yang 2312.06635): a decay per key channel, nothing is taken away. State: K x V per head, constant size; tails where there are convolutions. */
#include "branch/recurrent.h"

#include <math.h>

enum { WG1 = RECURRENT_QKV, WG2, BG, WZ, GAIN, WO };
extern const Mixer mixer_gla;

typedef struct {
    RecurrentOptions rule;
    int64_t gate_rank;
} GlaOptions;

static const Field gla_fields[] = {HEAD_FIELDS(GlaOptions, rule), TAPS_FIELD(GlaOptions, rule, 0, 0),
                                   EPS_FIELD(GlaOptions, rule),
                                   INTEGER_FIELD(GlaOptions, gate_rank, "gate_rank", 1, 1 << 16, 16,
                                                 "columns through which the decays are computed"),
                                   FIELD_END};

MIXER_OPTIONS(GlaOptions);

static const GlaOptions *gla_options(const Config *c) { return (const void *)c->options; }

static int gla_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((GlaOptions *)(void *)c->options)->rule, message, size);
}

static void gla_parameters(ParameterList *list, int layer, const Config *c) {
    const GlaOptions *o = gla_options(c);
    const int64_t D = c->width, keys = recurrent_keys(&o->rule), values = recurrent_values(c, &o->rule);
    recurrent_qkv_parameters(list, layer, c, &o->rule);
    recurrent_map(list, layer, "wg1", D, o->gate_rank);
    recurrent_map(list, layer, "wg2", o->gate_rank, keys);
    recurrent_vector(list, layer, "bg", keys, 0.0);
    recurrent_map(list, layer, "wz", D, values);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

static void gla_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    recurrent_qkv_initialise(parameter);
}

static void gla_start(const MixerCall *call) {
    const GlaOptions *o = call->options;
    recurrent_qkv_start(call, &o->rule, 1);
}

static Tensor *gla_forward(const MixerCall *call, Tensor *x) {
    const GlaOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const RecurrentQkv qkv = recurrent_qkv(call, &o->rule, x, 0);
    Tensor *g = op_bias(tape, op_linear_float32(tape, op_linear_float32(tape, x, p + WG1), p + WG2), p + BG);
    Tensor *decay = op_map(tape, op_scale(tape, op_map(tape, g, MAP_LOG_SIGMOID), 1.0f / 16.0f), MAP_EXP);
    const DeltaTensors in = {.q = qkv.q, .k = qkv.k, .v = qkv.v, .decay = decay};
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_NONE, 1.0 / sqrt((double)o->rule.key_width), &in);
    return recurrent_output(call, &o->rule, y, p + GAIN, op_linear(tape, x, p + WZ), 0, p + WO);
}

static double gla_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_gla, c, &gla_options(c)->rule, 5.0);
}

static int64_t gla_state(const Config *c, int layer, int64_t context) {
    const GlaOptions *o = gla_options(c);
    (void)layer, (void)context;
    return recurrent_qkv_floats(c, &o->rule, 1);
}

static double gla_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)gla_state(c, layer, (int64_t)context);
}

const Mixer mixer_gla = {.name = "gla",
                         .summary = "gated linear attention, a decay per key channel (Yang 2023)",
                         .label = "GLA",
                         .fields = gla_fields,
                         .slots = RECURRENT_QKV_SLOTS,
                         .settle = gla_settle,
                         .split = recurrent_split,
                         .parameters = gla_parameters,
                         .initialise = gla_initialise,
                         .start = gla_start,
                         .forward = gla_forward,
                         .flops = gla_flops,
                         .state_floats = gla_state,
                         .bytes = gla_bytes};
