/* Gated DeltaNet (Yang 2412.06464): the delta rule with a decay per head. State: K x V per head and three tails, constant size. */
#include "branch/memory.h"
#include "branch/recurrent.h"

#include <math.h>

enum { WQ, WK, WV, CONV_Q, CONV_K, CONV_V, WA, A_LOG, DT_BIAS, WB, WZ, GAIN, WO };
extern const Mixer mixer_gated_delta_net;
enum { SLOTS = RECURRENT_TAIL + 3 };

typedef struct {
    RecurrentOptions rule;
} GatedDeltaNetOptions;

static const Field gated_delta_net_fields[] = {
    HEAD_FIELDS(GatedDeltaNetOptions, rule),
    KEY_HEADS_FIELD(GatedDeltaNetOptions, rule, 0, "heads of queries and keys, a divisor of heads; 0: heads"),
    TAPS_FIELD(GatedDeltaNetOptions, rule, 4), EPS_FIELD(GatedDeltaNetOptions, rule), FIELD_END};

MIXER_OPTIONS(GatedDeltaNetOptions);

static const GatedDeltaNetOptions *gated_delta_net_options(const Config *c) {
    return (const void *)c->options;
}

static int gated_delta_net_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((GatedDeltaNetOptions *)(void *)c->options)->rule, message, size);
}

static void gated_delta_net_parameters(ParameterList *list, int layer, const Config *c) {
    const GatedDeltaNetOptions *o = gated_delta_net_options(c);
    const int64_t D = c->width, keys = recurrent_keys(&o->rule), values = recurrent_values(c, &o->rule);
    recurrent_map(list, layer, "wq", D, keys);
    recurrent_map(list, layer, "wk", D, keys);
    recurrent_map(list, layer, "wv", D, values);
    recurrent_filter(list, layer, "conv_q", &o->rule, keys);
    recurrent_filter(list, layer, "conv_k", &o->rule, keys);
    recurrent_filter(list, layer, "conv_v", &o->rule, values);
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
    for (int i = CONV_Q; i <= CONV_V; i++) memory_branch_open_convolution(parameter + i);
    recurrent_start_decay(parameter + A_LOG, parameter + DT_BIAS);
}

static void gated_delta_net_start(const MixerCall *call) {
    const GatedDeltaNetOptions *o = call->options;
    const int64_t keys = recurrent_keys(&o->rule), values = recurrent_values(call->config, &o->rule);
    Tensor **slot = call->state->slot;
    slot[RECURRENT_STATE] = recurrent_state(call, o->rule.key_width, o->rule.value_width);
    slot[RECURRENT_TAIL] = recurrent_tail(call, &o->rule, keys);
    slot[RECURRENT_TAIL + 1] = recurrent_tail(call, &o->rule, keys);
    slot[RECURRENT_TAIL + 2] = recurrent_tail(call, &o->rule, values);
}

static Tensor *gated_delta_net_forward(const MixerCall *call, Tensor *x) {
    const GatedDeltaNetOptions *o = call->options;
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
    Tensor *decay = recurrent_decay(call, op_bias(tape, op_linear(tape, x, p + WA), p + DT_BIAS), p + A_LOG);
    Tensor *rate = op_map(tape, op_linear(tape, x, p + WB), MAP_SIGMOID);
    const DeltaTensors in = {.q = q, .k = k, .v = v, .decay = decay, .rate = rate};
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
    return recurrent_floats(c, &o->rule, 1, 2 * recurrent_keys(&o->rule) + recurrent_values(c, &o->rule));
}

static double gated_delta_net_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)gated_delta_net_state(c, layer, (int64_t)context);
}

const Mixer mixer_gated_delta_net = {.name = "gated_delta_net",
                                     .summary = "the delta rule with a decay per head (Yang 2024)",
                                     .label = "Gated DeltaNet",
                                     .fields = gated_delta_net_fields,
                                     .slots = SLOTS,
                                     .settle = gated_delta_net_settle,
                                     .parameters = gated_delta_net_parameters,
                                     .initialise = gated_delta_net_initialise,
                                     .start = gated_delta_net_start,
                                     .forward = gated_delta_net_forward,
                                     .flops = gated_delta_net_flops,
                                     .state_floats = gated_delta_net_state,
                                     .bytes = gated_delta_net_bytes};
