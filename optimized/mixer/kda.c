/* Kimi delta attention (2510.26692): the delta rule with a decay per key channel. State: K x V per head and three tails, constant size. */
#include "branch/recurrent.h"

#include <math.h>

enum { WF1 = RECURRENT_QKV, WF2, A_LOG, DT_BIAS, WB, WZ1, WZ2, GAIN, WO };
extern const Mixer mixer_kda;

typedef struct {
    RecurrentOptions rule;
    int64_t gate_rank;
} KdaOptions;

static const Field kda_fields[] = {
    HEAD_FIELDS(KdaOptions, rule), TAPS_FIELD(KdaOptions, rule, 0, 4), EPS_FIELD(KdaOptions, rule),
    INTEGER_FIELD(KdaOptions, gate_rank, "gate_rank", 1, 1 << 16, 16,
                  "columns through which decays and output gates are computed"),
    FIELD_END};

MIXER_OPTIONS(KdaOptions);

static const KdaOptions *kda_options(const Config *c) { return (const void *)c->options; }

static int kda_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((KdaOptions *)(void *)c->options)->rule, message, size);
}

static void kda_parameters(ParameterList *list, int layer, const Config *c) {
    const KdaOptions *o = kda_options(c);
    const int64_t D = c->width, keys = recurrent_keys(&o->rule), values = recurrent_values(c, &o->rule);
    recurrent_qkv_parameters(list, layer, c, &o->rule);
    recurrent_map(list, layer, "wf1", D, o->gate_rank);
    recurrent_map(list, layer, "wf2", o->gate_rank, keys);
    recurrent_vector(list, layer, "a_log", c->heads, 0.0);
    recurrent_vector(list, layer, "dt_bias", keys, 0.0);
    recurrent_map(list, layer, "wb", D, c->heads);
    recurrent_map(list, layer, "wz1", D, o->gate_rank);
    recurrent_map(list, layer, "wz2", o->gate_rank, values);
    parameter_gain(list, layer, "mixer.gain", o->rule.value_width);
    recurrent_output_map(list, layer, c, values);
}

static void kda_initialise(const Config *c, int layer, Tensor *parameter) {
    (void)c, (void)layer;
    recurrent_qkv_initialise(parameter);
    recurrent_start_decay(parameter + A_LOG, parameter + DT_BIAS);
}

static void kda_start(const MixerCall *call) {
    const KdaOptions *o = call->options;
    recurrent_qkv_start(call, &o->rule, 1);
}

static Tensor *kda_forward(const MixerCall *call, Tensor *x) {
    const KdaOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    const RecurrentQkv qkv = recurrent_qkv(call, &o->rule, x, 1);
    Tensor *f = op_linear_float32(tape, op_linear_float32(tape, x, p + WF1), p + WF2);
    Tensor *decay = recurrent_decay(call, op_bias(tape, f, p + DT_BIAS), p + A_LOG);
    Tensor *rate = op_map(tape, op_linear_float32(tape, x, p + WB), MAP_SIGMOID);
    const DeltaTensors in = {.q = qkv.q, .k = qkv.k, .v = qkv.v, .decay = decay, .rate = rate};
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_KEY, 1.0 / sqrt((double)o->rule.key_width), &in);
    Tensor *z = op_linear_float32(tape, op_linear_float32(tape, x, p + WZ1), p + WZ2);
    return recurrent_output(call, &o->rule, y, p + GAIN, z, 1, p + WO);
}

static double kda_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_kda, c, &kda_options(c)->rule, 8.0);
}

static int64_t kda_state(const Config *c, int layer, int64_t context) {
    const KdaOptions *o = kda_options(c);
    (void)layer, (void)context;
    return recurrent_qkv_floats(c, &o->rule, 1);
}

static double kda_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)kda_state(c, layer, (int64_t)context);
}

const Mixer mixer_kda = {.name = "kda",
                         .summary = "the delta rule with a decay per key channel (Kimi 2025)",
                         .label = "KDA",
                         .fields = kda_fields,
                         .slots = RECURRENT_QKV_SLOTS,
                         .settle = kda_settle,
                         .split = recurrent_split,
                         .parameters = kda_parameters,
                         .initialise = kda_initialise,
                         .start = kda_start,
                         .forward = kda_forward,
                         .flops = kda_flops,
                         .state_floats = kda_state,
                         .bytes = kda_bytes};
