/* Titans' memory of one linear layer as others write it: the delta rule with momentum and decay in the layer of Gated
 * DeltaNet. State: memory and momentum, K x V per head each, and three tails, constant size. */
#include "branch/recurrent.h"

enum { WA = RECURRENT_QKV, BA, WM, BM, WE, WZ, GAIN, WO };
extern const Mixer mixer_momentum_delta;

typedef struct {
    RecurrentOptions rule;
} MomentumDeltaOptions;

static const Field momentum_delta_fields[] = {HEAD_FIELDS(MomentumDeltaOptions, rule),
                                              TAPS_FIELD(MomentumDeltaOptions, rule, 0, 4),
                                              EPS_FIELD(MomentumDeltaOptions, rule), FIELD_END};

MIXER_OPTIONS(MomentumDeltaOptions);

static const MomentumDeltaOptions *momentum_delta_options(const Config *c) {
    return (const void *)c->options;
}

static int momentum_delta_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((MomentumDeltaOptions *)(void *)c->options)->rule, message, size);
}

static void momentum_delta_parameters(ParameterList *list, int layer, const Config *c) {
    const MomentumDeltaOptions *o = momentum_delta_options(c);
    const int64_t D = c->width, values = recurrent_values(c, &o->rule);
    recurrent_qkv_parameters(list, layer, c, &o->rule);
    recurrent_map(list, layer, "wa", D, c->heads);
    recurrent_vector(list, layer, "ba", c->heads, 5.0);
    recurrent_map(list, layer, "wm", D, c->heads);
    recurrent_vector(list, layer, "bm", c->heads, 0.0);
    recurrent_map(list, layer, "we", D, c->heads);
    recurrent_map(list, layer, "wz", D, values);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

static void momentum_delta_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    recurrent_qkv_initialise(parameter);
}

static void momentum_delta_start(const MixerCall *call) {
    const MomentumDeltaOptions *o = call->options;
    recurrent_qkv_start(call, &o->rule, 2);
}

/* sigma(x W + bias) */
static Tensor *momentum_delta_gate(const MixerCall *call, Tensor *x, int weight, int bias) {
    Tensor *z = op_linear_float32(call->tape, x, call->parameter + weight);
    return op_map(call->tape, op_bias(call->tape, z, call->parameter + bias), MAP_SIGMOID);
}

static Tensor *momentum_delta_forward(const MixerCall *call, Tensor *x) {
    const MomentumDeltaOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const RecurrentQkv qkv = recurrent_qkv(call, &o->rule, x, 1);
    const int64_t heads = call->config->heads;
    Tensor *ones = tape_tensor(tape, x->rows, heads);
    for (int64_t i = 0; i < x->rows * heads; i++) ones->data[i] = 1.0f;
    const MomentumTensors in = {.q = qkv.q,
                                .k = qkv.k,
                                .p = qkv.k,
                                .v = qkv.v,
                                .keep = momentum_delta_gate(call, x, WA, BA),
                                .carry = momentum_delta_gate(call, x, WM, BM),
                                .rate = ones,
                                .step = op_map(tape, op_linear_float32(tape, x, p + WE), MAP_SIGMOID)};
    const DeltaShape shape = {call->batch,
                              x->rows / call->batch,
                              heads,
                              heads,
                              o->rule.key_width,
                              o->rule.value_width,
                              0,
                              0,
                              DELTA_KEY,
                              1.0f};
    Tensor *y = op_momentum(tape, &shape, &in, &call->state->slot[RECURRENT_STATE]);
    return recurrent_output(call, &o->rule, y, p + GAIN, op_linear(tape, x, p + WZ), 0, p + WO);
}

static double momentum_delta_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_momentum_delta, c, &momentum_delta_options(c)->rule, 12.0);
}

static int64_t momentum_delta_state(const Config *c, int layer, int64_t context) {
    const MomentumDeltaOptions *o = momentum_delta_options(c);
    (void)layer, (void)context;
    return recurrent_qkv_floats(c, &o->rule, 2);
}

static double momentum_delta_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)momentum_delta_state(c, layer, (int64_t)context);
}

const Mixer mixer_momentum_delta = {.name = "momentum_delta",
                                    .summary =
                                        "linear Titans as others write it: delta rule, momentum, decay",
                                    .label = "momentum delta",
                                    .fields = momentum_delta_fields,
                                    .slots = RECURRENT_QKV_SLOTS,
                                    .settle = momentum_delta_settle,
                                    .split = recurrent_split,
                                    .parameters = momentum_delta_parameters,
                                    .initialise = momentum_delta_initialise,
                                    .start = momentum_delta_start,
                                    .forward = momentum_delta_forward,
                                    .flops = momentum_delta_flops,
                                    .state_floats = momentum_delta_state,
                                    .bytes = momentum_delta_bytes};
