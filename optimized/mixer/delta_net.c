/* DeltaNet (Yang 2406.06484): the delta rule on unit keys. State: K x V per head and three tails, constant size. */
#include "branch/recurrent.h"

#include <math.h>

enum { WB = RECURRENT_QKV, WZ, GAIN, WO };
extern const Mixer mixer_delta_net;

typedef struct {
    RecurrentOptions rule;
    int64_t output_gate;
} DeltaNetOptions;

static const Field delta_net_fields[] = {
    HEAD_FIELDS(DeltaNetOptions, rule), TAPS_FIELD(DeltaNetOptions, rule, 0, 4),
    EPS_FIELD(DeltaNetOptions, rule),
    INTEGER_FIELD(DeltaNetOptions, output_gate, "output_gate", 0, 1, 1, "the output has a silu gate"),
    FIELD_END};

MIXER_OPTIONS(DeltaNetOptions);

static const DeltaNetOptions *delta_net_options(const Config *c) { return (const void *)c->options; }

static int delta_net_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((DeltaNetOptions *)(void *)c->options)->rule, message, size);
}

static void delta_net_parameters(ParameterList *list, int layer, const Config *c) {
    const DeltaNetOptions *o = delta_net_options(c);
    const int64_t D = c->width, values = recurrent_values(c, &o->rule);
    recurrent_qkv_parameters(list, layer, c, &o->rule);
    recurrent_map(list, layer, "wb", D, c->heads);
    recurrent_map(list, layer, "wz", D, o->output_gate ? values : 0);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

static void delta_net_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    recurrent_qkv_initialise(parameter);
}

static void delta_net_start(const MixerCall *call) {
    const DeltaNetOptions *o = call->options;
    recurrent_qkv_start(call, &o->rule, 1);
}

static Tensor *delta_net_forward(const MixerCall *call, Tensor *x) {
    const DeltaNetOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const RecurrentQkv qkv = recurrent_qkv(call, &o->rule, x, 1);
    Tensor *rate = op_map(tape, op_linear_float32(tape, x, p + WB), MAP_SIGMOID);
    const DeltaTensors in = {.q = qkv.q, .k = qkv.k, .v = qkv.v, .rate = rate};
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_KEY, 1.0 / sqrt((double)o->rule.key_width), &in);
    return recurrent_output(call, &o->rule, y, p + GAIN, o->output_gate ? op_linear(tape, x, p + WZ) : 0, 0,
                            p + WO);
}

static double delta_net_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_delta_net, c, &delta_net_options(c)->rule, 7.0);
}

static int64_t delta_net_state(const Config *c, int layer, int64_t context) {
    const DeltaNetOptions *o = delta_net_options(c);
    (void)layer, (void)context;
    return recurrent_qkv_floats(c, &o->rule, 1);
}

static double delta_net_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)delta_net_state(c, layer, (int64_t)context);
}

const Mixer mixer_delta_net = {.name = "delta_net",
                               .summary = "the delta rule on unit keys (Yang 2024)",
                               .label = "DeltaNet",
                               .fields = delta_net_fields,
                               .slots = RECURRENT_QKV_SLOTS,
                               .settle = delta_net_settle,
                               .split = recurrent_split,
                               .parameters = delta_net_parameters,
                               .initialise = delta_net_initialise,
                               .start = delta_net_start,
                               .forward = delta_net_forward,
                               .flops = delta_net_flops,
                               .state_floats = delta_net_state,
                               .bytes = delta_net_bytes};
