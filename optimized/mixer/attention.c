/* Causal softmax attention with rotary positions, eqs 1-2: the transformer baseline. State: the key-value
 * cache, which grows with the sequence. */
#include "branch/attention.h"

#include <math.h>

enum { ATTENTION, WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS };

static void attention_parameters(ParameterList *list, int layer, const Config *c) {
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static void attention_start(const MixerCall *call) {
    const AttendShape shape = attention_branch_shape(call, 0, 0, 0);
    call->state->slot[0] = attention_branch_cache(call, &shape);
}

static Tensor *attention_forward(const MixerCall *call, Tensor *x) {
    const AttentionView view = {attention_branch_shape(call, 0, 0, 0), call->position, call->angles, 0, 0};
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
                               .summary = "causal softmax attention with RoPE (eqs 1-2)",
                               .label = "transformer",
                               .slots = 1,
                               .positions = POSITIONS_SEQUENCE,
                               .uses_capacity = 1,
                               .parameters = attention_parameters,
                               .start = attention_start,
                               .forward = attention_forward,
                               .flops = attention_flops,
                               .state_floats = attention_state,
                               .bytes = attention_bytes};
