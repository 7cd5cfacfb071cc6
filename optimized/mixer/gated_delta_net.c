/* Gated DeltaNet (Yang 2412.06464): the delta rule with a decay per head. State: K x V per head and three tails, constant size. */
#include "branch/recurrent.h"

#include <math.h>

enum { WA = RECURRENT_QKV, A_LOG, DT_BIAS, WB, WZ, GAIN, WO };
extern const Mixer mixer_gated_delta_net;

typedef struct {
    RecurrentOptions rule;
} GatedDeltaNetOptions;

static const Field gated_delta_net_fields[] = {
    HEAD_FIELDS(GatedDeltaNetOptions, rule),
    KEY_HEADS_FIELD(GatedDeltaNetOptions, rule, 0, "heads of queries and keys, a divisor of heads; 0: heads"),
    TAPS_FIELD(GatedDeltaNetOptions, rule, 0, 4), EPS_FIELD(GatedDeltaNetOptions, rule), FIELD_END};

MIXER_OPTIONS(GatedDeltaNetOptions);

static const GatedDeltaNetOptions *gated_delta_net_options(const Config *c) {
    return (const void *)c->options;
}

static int gated_delta_net_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((GatedDeltaNetOptions *)(void *)c->options)->rule, message, size);
}

static void gated_delta_net_parameters(ParameterList *list, int layer, const Config *c) {
    const GatedDeltaNetOptions *o = gated_delta_net_options(c);
    const int64_t D = c->width, values = recurrent_values(c, &o->rule);
    recurrent_qkv_parameters(list, layer, c, &o->rule);
    recurrent_map(list, layer, "wa", D, c->heads);
    recurrent_vector(list, layer, "a_log", c->heads, 0.0);
    recurrent_vector(list, layer, "dt_bias", c->heads, 0.0);
    recurrent_map(list, layer, "wb", D, c->heads);
    recurrent_map(list, layer, "wz", D, values);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

static void gated_delta_net_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    recurrent_qkv_initialise(parameter);
    recurrent_start_decay(parameter + A_LOG, parameter + DT_BIAS);
}

static void gated_delta_net_start(const MixerCall *call) {
    const GatedDeltaNetOptions *o = call->options;
    recurrent_qkv_start(call, &o->rule, 1);
}

static Tensor *gated_delta_net_forward(const MixerCall *call, Tensor *x) {
    const GatedDeltaNetOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const RecurrentQkv qkv = recurrent_qkv(call, &o->rule, x, 1);
    Tensor *decay =
        recurrent_decay(call, op_bias(tape, op_linear_float32(tape, x, p + WA), p + DT_BIAS), p + A_LOG);
    Tensor *rate = op_map(tape, op_linear_float32(tape, x, p + WB), MAP_SIGMOID);
    const DeltaTensors in = {.q = qkv.q, .k = qkv.k, .v = qkv.v, .decay = decay, .rate = rate};
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_KEY, 1.0 / sqrt((double)o->rule.key_width), &in);
    return recurrent_output(call, &o->rule, y, p + GAIN, op_linear(tape, x, p + WZ), 0, p + WO);
}

static double gated_delta_net_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_gated_delta_net, c, &gated_delta_net_options(c)->rule, 8.0);
}

static int64_t gated_delta_net_state(const Config *c, int layer, int64_t context) {
    const GatedDeltaNetOptions *o = gated_delta_net_options(c);
    (void)layer, (void)context;
    return recurrent_qkv_floats(c, &o->rule, 1);
}

static double gated_delta_net_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)gated_delta_net_state(c, layer, (int64_t)context);
}

const Mixer mixer_gated_delta_net = {.name = "gated_delta_net",
                                     .summary = "the delta rule with a decay per head (Yang 2024)",
                                     .label = "Gated DeltaNet",
                                     .fields = gated_delta_net_fields,
                                     .slots = RECURRENT_QKV_SLOTS,
                                     .settle = gated_delta_net_settle,
                                     .split = recurrent_split,
                                     .parameters = gated_delta_net_parameters,
                                     .initialise = gated_delta_net_initialise,
                                     .start = gated_delta_net_start,
                                     .forward = gated_delta_net_forward,
                                     .flops = gated_delta_net_flops,
                                     .state_floats = gated_delta_net_state,
                                     .bytes = gated_delta_net_bytes};
