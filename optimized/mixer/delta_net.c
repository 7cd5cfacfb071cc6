/* DeltaNet (Yang 2406.06484): the delta rule on unit keys. State: K x V per head and three tails, constant size. */
#include "branch/memory.h"
#include "branch/recurrent.h"

#include <math.h>

enum { WQ, WK, WV, CONV_Q, CONV_K, CONV_V, WB, WZ, GAIN, WO };
extern const Mixer mixer_delta_net;
enum { SLOTS = RECURRENT_TAIL + 3 };

typedef struct {
    RecurrentOptions rule;
    int64_t output_gate;
} DeltaNetOptions;

static const Field delta_net_fields[] = {
    HEAD_FIELDS(DeltaNetOptions, rule), TAPS_FIELD(DeltaNetOptions, rule, 4),
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
    const int64_t D = c->width, keys = recurrent_keys(&o->rule), values = recurrent_values(c, &o->rule);
    recurrent_map(list, layer, "wq", D, keys);
    recurrent_map(list, layer, "wk", D, keys);
    recurrent_map(list, layer, "wv", D, values);
    recurrent_filter(list, layer, "conv_q", &o->rule, keys);
    recurrent_filter(list, layer, "conv_k", &o->rule, keys);
    recurrent_filter(list, layer, "conv_v", &o->rule, values);
    recurrent_map(list, layer, "wb", D, c->heads);
    recurrent_map(list, layer, "wz", D, o->output_gate ? values : 0);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

static void delta_net_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    for (int i = CONV_Q; i <= CONV_V; i++) memory_branch_open_convolution(parameter + i);
}

static void delta_net_start(const MixerCall *call) {
    const DeltaNetOptions *o = call->options;
    const int64_t keys = recurrent_keys(&o->rule), values = recurrent_values(call->config, &o->rule);
    Tensor **slot = call->state->slot;
    slot[RECURRENT_STATE] = recurrent_state(call, o->rule.key_width, o->rule.value_width);
    slot[RECURRENT_TAIL] = recurrent_tail(call, &o->rule, keys);
    slot[RECURRENT_TAIL + 1] = recurrent_tail(call, &o->rule, keys);
    slot[RECURRENT_TAIL + 2] = recurrent_tail(call, &o->rule, values);
}

static Tensor *delta_net_forward(const MixerCall *call, Tensor *x) {
    const DeltaNetOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter, **slot = call->state->slot;
    Tensor *q = recurrent_input(call, &o->rule, x,
                                &(RecurrentInput){p + WQ, 0, p + CONV_Q, 0, slot + RECURRENT_TAIL});
    Tensor *k = recurrent_input(call, &o->rule, x,
                                &(RecurrentInput){p + WK, 0, p + CONV_K, 0, slot + RECURRENT_TAIL + 1});
    Tensor *v = recurrent_input(call, &o->rule, x,
                                &(RecurrentInput){p + WV, 0, p + CONV_V, 0, slot + RECURRENT_TAIL + 2});
    q = recurrent_unit(call, q, o->rule.key_heads, 1e-6);
    k = recurrent_unit(call, k, o->rule.key_heads, 1e-6);
    Tensor *rate = op_map(tape, op_linear(tape, x, p + WB), MAP_SIGMOID);
    const DeltaTensors in = {.q = q, .k = k, .v = v, .rate = rate};
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
    return recurrent_floats(c, &o->rule, 1, 2 * recurrent_keys(&o->rule) + recurrent_values(c, &o->rule));
}

static double delta_net_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)delta_net_state(c, layer, (int64_t)context);
}

const Mixer mixer_delta_net = {.name = "delta_net",
                               .summary = "the delta rule on unit keys (Yang 2024)",
                               .label = "DeltaNet",
                               .fields = delta_net_fields,
                               .slots = SLOTS,
                               .settle = delta_net_settle,
                               .parameters = delta_net_parameters,
                               .initialise = delta_net_initialise,
                               .start = delta_net_start,
                               .forward = delta_net_forward,
                               .flops = delta_net_flops,
                               .state_floats = delta_net_state,
                               .bytes = delta_net_bytes};
