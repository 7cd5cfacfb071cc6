/* Causal softmax attention, eqs 1-2, with rotary positions, ALiBi or none: the transformer baseline. State: the
 * key-value cache, which grows with the sequence. */
#include "branch/attention.h"

#include <math.h>

enum { ATTENTION, WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS };

typedef struct {
    PositionOptions places;
} AttentionOptions;

static const Field attention_fields[] = {POSITION_FIELDS(AttentionOptions, places), FIELD_END};

MIXER_OPTIONS(AttentionOptions);

static const PositionOptions *attention_places(const Config *c) {
    return &((const AttentionOptions *)(const void *)c->options)->places;
}

static int attention_settle(Config *c, char *message, size_t size) {
    return position_settle(attention_places(c), message, size);
}

static void attention_parameters(ParameterList *list, int layer, const Config *c) {
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static void attention_start(const MixerCall *call) {
    const AttendShape shape = attention_branch_shape(call, 0, 0, 0);
    call->state->slot[0] = attention_branch_cache(call, &shape);
}

static Tensor *attention_forward(const MixerCall *call, Tensor *x) {
    const AttentionView view = {attention_branch_shape(call, 0, 0, 0), call->position, call->angles, 0, 0,
                                attention_places(call->config)};
    Tensor *y = attention_branch(call, call->parameter + ATTENTION, call->state->slot[0], x, &view);
    return op_linear(call->tape, y, call->parameter + WO);
}

static double attention_flops(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_flops(c, context) + 2.0 * (double)(c->width * c->width);
}

static int64_t attention_state(const Config *c, int layer, int64_t context) {
    (void)layer;
    return attention_branch_state(c, 0, attention_branch_ring(0, context));
}

static double attention_bytes(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_bytes(c, context);
}

const Mixer mixer_attention = {.name = "attention",
                               .summary = "causal softmax attention with RoPE, ALiBi or neither (eqs 1-2)",
                               .label = "transformer",
                               .fields = attention_fields,
                               .slots = 1,
                               .positions = POSITIONS_SEQUENCE,
                               .places = attention_places,
                               .settle = attention_settle,
                               .uses_capacity = 1,
                               .parameters = attention_parameters,
                               .start = attention_start,
                               .forward = attention_forward,
                               .flops = attention_flops,
                               .state_floats = attention_state,
                               .bytes = attention_bytes};
