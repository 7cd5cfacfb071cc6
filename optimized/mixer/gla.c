/* Gated linear attention (Yang 2312.06635): a decay per key channel, nothing is taken away. State: K x V per head, constant size; tails where there are convolutions. */
#include "branch/memory.h"
#include "branch/recurrent.h"

#include <math.h>

enum { WQ, WK, WV, CONV_Q, CONV_K, CONV_V, WG1, WG2, BG, WZ, GAIN, WO };
extern const Mixer mixer_gla;
enum { SLOTS = RECURRENT_TAIL + 3 };

typedef struct {
    RecurrentOptions rule;
    int64_t gate_rank;
} GlaOptions;

static const Field gla_fields[] = {HEAD_FIELDS(GlaOptions, rule), TAPS_FIELD(GlaOptions, rule, 0),
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
    recurrent_map(list, layer, "wq", D, keys);
    recurrent_map(list, layer, "wk", D, keys);
    recurrent_map(list, layer, "wv", D, values);
    recurrent_filter(list, layer, "conv_q", &o->rule, keys);
    recurrent_filter(list, layer, "conv_k", &o->rule, keys);
    recurrent_filter(list, layer, "conv_v", &o->rule, values);
    recurrent_map(list, layer, "wg1", D, o->gate_rank);
    recurrent_map(list, layer, "wg2", o->gate_rank, keys);
    recurrent_vector(list, layer, "bg", keys, 0.0);
    recurrent_map(list, layer, "wz", D, values);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

static void gla_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    for (int i = CONV_Q; i <= CONV_V; i++) memory_branch_open_convolution(parameter + i);
}

static void gla_start(const MixerCall *call) {
    const GlaOptions *o = call->options;
    const int64_t keys = recurrent_keys(&o->rule), values = recurrent_values(call->config, &o->rule);
    Tensor **slot = call->state->slot;
    slot[RECURRENT_STATE] = recurrent_state(call, o->rule.key_width, o->rule.value_width);
    slot[RECURRENT_TAIL] = recurrent_tail(call, &o->rule, keys);
    slot[RECURRENT_TAIL + 1] = recurrent_tail(call, &o->rule, keys);
    slot[RECURRENT_TAIL + 2] = recurrent_tail(call, &o->rule, values);
}

static Tensor *gla_forward(const MixerCall *call, Tensor *x) {
    const GlaOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter, **slot = call->state->slot;
    Tensor *q = recurrent_input(call, &o->rule, x,
                                &(RecurrentInput){p + WQ, 0, p + CONV_Q, 0, slot + RECURRENT_TAIL});
    Tensor *k = recurrent_input(call, &o->rule, x,
                                &(RecurrentInput){p + WK, 0, p + CONV_K, 0, slot + RECURRENT_TAIL + 1});
    Tensor *v = recurrent_input(call, &o->rule, x,
                                &(RecurrentInput){p + WV, 0, p + CONV_V, 0, slot + RECURRENT_TAIL + 2});
    Tensor *g = op_bias(tape, op_linear(tape, op_linear(tape, x, p + WG1), p + WG2), p + BG);
    Tensor *decay = op_map(tape, op_scale(tape, op_map(tape, g, MAP_LOG_SIGMOID), 1.0f / 16.0f), MAP_EXP);
    const DeltaTensors in = {.q = q, .k = k, .v = v, .decay = decay};
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
    return recurrent_floats(c, &o->rule, 1, 2 * recurrent_keys(&o->rule) + recurrent_values(c, &o->rule));
}

static double gla_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)gla_state(c, layer, (int64_t)context);
}

const Mixer mixer_gla = {.name = "gla",
                         .summary = "gated linear attention, a decay per key channel (Yang 2023)",
                         .label = "GLA",
                         .fields = gla_fields,
                         .slots = SLOTS,
                         .settle = gla_settle,
                         .parameters = gla_parameters,
                         .initialise = gla_initialise,
                         .start = gla_start,
                         .forward = gla_forward,
                         .flops = gla_flops,
                         .state_floats = gla_state,
                         .bytes = gla_bytes};
