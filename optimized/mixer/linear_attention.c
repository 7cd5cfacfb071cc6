/* Linear attention (Katharopoulos 2006.16236, eqs 3-7). State: K x V per head and the sum of the keys, constant size. */
#include "branch/recurrent.h"

#include <math.h>

enum { WQ, WK, WV, WO };
extern const Mixer mixer_linear_attention;
enum { SUM = 1, SLOTS };

typedef struct {
    RecurrentOptions rule;
    int64_t feature;
} LinearAttentionOptions;

static const Field linear_attention_fields[] = {
    HEAD_FIELDS(LinearAttentionOptions, rule),
    CHOICE_FIELD(LinearAttentionOptions, feature, "feature", "elu identity",
                 "of q and k: elu + 1 with the normaliser, or neither"),
    FIELD_END};

MIXER_OPTIONS(LinearAttentionOptions);

static const LinearAttentionOptions *linear_attention_options(const Config *c) {
    return (const void *)c->options;
}

static int linear_attention_settle(Config *c, char *message, size_t size) {
    return recurrent_settle(c, &((LinearAttentionOptions *)(void *)c->options)->rule, message, size);
}

static void linear_attention_parameters(ParameterList *list, int layer, const Config *c) {
    const LinearAttentionOptions *o = linear_attention_options(c);
    const int64_t D = c->width, keys = recurrent_keys(&o->rule), values = recurrent_values(c, &o->rule);
    (void)o;
    recurrent_map(list, layer, "wq", D, keys);
    recurrent_map(list, layer, "wk", D, keys);
    recurrent_map(list, layer, "wv", D, values);
    recurrent_output_map(list, layer, c, values);
}

static void linear_attention_start(const MixerCall *call) {
    const LinearAttentionOptions *o = call->options;
    call->state->slot[RECURRENT_STATE] = recurrent_state(call, o->rule.key_width, o->rule.value_width);
    call->state->slot[SUM] = o->feature ? 0 : recurrent_state(call, o->rule.key_width, 1);
}

/* phi(q) times the sum of phi(k): the rule with one column of values, all ones. */
static Tensor *linear_attention_sum(const MixerCall *call, Tensor *q, Tensor *k) {
    const LinearAttentionOptions *o = call->options;
    const int64_t heads = call->config->heads;
    Tensor *ones = tape_tensor(call->tape, q->rows, heads);
    for (int64_t i = 0; i < q->rows * heads; i++) ones->data[i] = 1.0f;
    const DeltaShape shape = {
        call->batch, q->rows / call->batch, heads, heads, o->rule.key_width, 1, 0, 0, DELTA_NONE, 1.0f};
    const DeltaTensors in = {.q = q, .k = k, .v = ones};
    return op_delta(call->tape, &shape, &in, &call->state->slot[SUM]);
}

static Tensor *linear_attention_forward(const MixerCall *call, Tensor *x) {
    const LinearAttentionOptions *o = call->options;
    Tape *tape = call->tape;
    Tensor *p = call->parameter;
    Tensor *q = op_linear(tape, x, p + WQ), *k = op_linear(tape, x, p + WK), *v = op_linear(tape, x, p + WV);
    if (o->feature) {
        const DeltaTensors in = {.q = q, .k = k, .v = v};
        const double scale = 1.0 / sqrt((double)o->rule.key_width);
        return op_linear(tape, recurrent_rule(call, &o->rule, DELTA_NONE, scale, &in), p + WO);
    }
    q = op_map(tape, q, MAP_ELU1);
    k = op_map(tape, k, MAP_ELU1);
    const DeltaTensors in = {.q = q, .k = k, .v = v};
    Tensor *y = recurrent_rule(call, &o->rule, DELTA_NONE, 1.0, &in);
    return op_linear(tape, op_heads(tape, y, linear_attention_sum(call, q, k), 1), p + WO);
}

static double linear_attention_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return recurrent_flops(&mixer_linear_attention, c, &linear_attention_options(c)->rule, 5.0);
}

static int64_t linear_attention_state(const Config *c, int layer, int64_t context) {
    const LinearAttentionOptions *o = linear_attention_options(c);
    (void)layer, (void)context;
    return recurrent_floats(c, &o->rule, 1, 0) + (o->feature ? 0 : c->heads * o->rule.key_width);
}

static double linear_attention_bytes(const Config *c, int layer, double context) {
    return 2.0 * sizeof(float) * (double)linear_attention_state(c, layer, (int64_t)context);
}

const Mixer mixer_linear_attention = {.name = "linear_attention",
                                      .summary = "kernel attention as a recurrence, elu + 1 (eqs 3-7)",
                                      .label = "linear attention",
                                      .fields = linear_attention_fields,
                                      .slots = SLOTS,
                                      .settle = linear_attention_settle,
                                      .split = recurrent_split,
                                      .parameters = linear_attention_parameters,
                                      .start = linear_attention_start,
                                      .forward = linear_attention_forward,
                                      .flops = linear_attention_flops,
                                      .state_floats = linear_attention_state,
                                      .bytes = linear_attention_bytes};
