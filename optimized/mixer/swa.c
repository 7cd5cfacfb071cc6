/* Sliding-window attention whose persistent tokens stay visible (the attention of eq 27 alone): a baseline.
 * State: the last window + ATTENTION_RUN keys and values, constant size. */
#include "branch/attention.h"
#include "branch/persistent.h"

#include <math.h>

enum { PERSISTENT, ATTENTION, WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS };

static void swa_parameters(ParameterList *list, int layer, const Config *c) {
    persistent_parameter(list, layer, c);
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static AttendShape swa_shape(const MixerCall *call) {
    return attention_branch_shape(call, call->config->window, call->parameter[PERSISTENT].rows, 0);
}

static void swa_start(const MixerCall *call) {
    const AttendShape shape = swa_shape(call);
    call->state->slot[0] = attention_branch_cache(call, &shape);
}

static Tensor *swa_forward(const MixerCall *call, Tensor *x) {
    const AttentionView view = {swa_shape(call), call->position, call->angles, call->persistent_angles,
                                call->parameter + PERSISTENT};
    Tensor *y = attention_branch(call, call->parameter + ATTENTION, call->state->slot[0], x, &view);
    return op_linear(call->tape, y, call->parameter + WO);
}

static double swa_flops(const Config *c, int layer, double context) {
    (void)layer;
    return attention_branch_flops(c, attention_branch_seen(c, context) + (double)c->persistent) +
           2.0 * (double)(c->width * c->width);
}

const Mixer mixer_swa = {.name = "swa",
                         .summary = "sliding-window attention with persistent tokens",
                         .positions = POSITIONS_PREFIXED,
                         .parameters = swa_parameters,
                         .start = swa_start,
                         .forward = swa_forward,
                         .flops = swa_flops};
