/* RetNet (Sun 2307.08621): retention, linear attention with a fixed decay per head and rotary positions. State: K x V per head, constant size. */
#include "branch/recurrent.h"

#include <math.h>
#include <stdio.h>

enum { WQ, WK, WV, WZ, GAIN, WO };
extern const Mixer mixer_retnet;
enum { SLOTS = 1 };

typedef struct {
    RecurrentOptions rule;
} RetnetOptions;

static const Field retnet_fields[] = {HEAD_FIELDS(RetnetOptions, rule), EPS_FIELD(RetnetOptions, rule),
                                      FIELD_END};

MIXER_OPTIONS(RetnetOptions);

static const RetnetOptions *retnet_options(const Config *c) { return (const void *)c->options; }

static int retnet_settle(Config *c, char *message, size_t size) {
    RecurrentOptions *o = &((RetnetOptions *)(void *)c->options)->rule;
    if (recurrent_settle(c, o, message, size)) return -1;
    if (o->key_width * c->heads == c->width && o->key_width % 2 == 0) return 0;
    return snprintf(message, size, "rotary positions want even keys that share the width: key_width is %ld",
                    o->key_width),
           -1;
}

static void retnet_parameters(ParameterList *list, int layer, const Config *c) {
    const RetnetOptions *o = retnet_options(c);
    const int64_t D = c->width, keys = recurrent_keys(&o->rule), values = recurrent_values(c, &o->rule);
    recurrent_map(list, layer, "wq", D, keys);
    recurrent_map(list, layer, "wk", D, keys);
    recurrent_map(list, layer, "wv", D, values);
    recurrent_map(list, layer, "wz", D, values);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

/* gamma_h = 1 - 2^(-5-h) for every row. */
static Tensor *retnet_decay(const MixerCall *call, int64_t rows) {
    const int64_t heads = call->config->heads;
    Tensor *decay = tape_tensor(call->tape, rows, heads);
    for (int64_t i = 0; i < rows * heads; i++)
        decay->data[i] = (float)(1.0 - ldexp(1.0, -5 - (int)(i % heads)));
    return decay;
}

static void retnet_start(const MixerCall *call) {
    const RetnetOptions *o = call->options;
    call->state->slot[RECURRENT_STATE] = recurrent_state(call, o->rule.key_width, o->rule.value_width);
}

static Tensor *retnet_forward(const MixerCall *call, Tensor *x) {
    const RetnetOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    Tensor *q = op_rope(tape, op_linear(tape, x, p + WQ), call->batch, call->config->heads, call->angles);
    Tensor *k = op_rope(tape, op_linear(tape, x, p + WK), call->batch, call->config->heads, call->angles);
    const DeltaTensors in = {
        .q = q, .k = k, .v = op_linear(tape, x, p + WV), .decay = retnet_decay(call, x->rows)};
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_NONE, 1.0 / sqrt((double)o->rule.key_width), &in);
    return recurrent_output(call, &o->rule, y, p + GAIN, op_linear(tape, x, p + WZ), 0, p + WO);
}

static double retnet_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_retnet, c, &retnet_options(c)->rule, 5.0);
}

static int64_t retnet_state(const Config *c, int layer, int64_t context) {
    const RetnetOptions *o = retnet_options(c);
    (void)layer, (void)context;
    return recurrent_floats(c, &o->rule, 1, 0);
}

static double retnet_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)retnet_state(c, layer, (int64_t)context);
}

const Mixer mixer_retnet = {.name = "retnet",
                            .summary = "retention: a fixed decay per head, rotary positions (Sun 2023)",
                            .label = "RetNet",
                            .fields = retnet_fields,
                            .slots = SLOTS,
                            .positions = POSITIONS_SEQUENCE,
                            .settle = retnet_settle,
                            .split = recurrent_split,
                            .parameters = retnet_parameters,
                            .start = retnet_start,
                            .forward = retnet_forward,
                            .flops = retnet_flops,
                            .state_floats = retnet_state,
                            .bytes = retnet_bytes};
