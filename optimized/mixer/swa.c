/* Sliding-window attention whose persistent tokens stay visible (the attention of eq 27 alone): a baseline.
 * State: the last window + ATTENTION_RUN keys and values, constant size. */
#include "mixer/swa.h"
#include "branch/attention.h"
#include "branch/persistent.h"

#include <math.h>

enum { PERSISTENT, ATTENTION, WO = ATTENTION + ATTENTION_BRANCH_PARAMETERS };

static const Field swa_fields[] = {PERSISTENT_FIELD(SwaOptions, persistent), WINDOW_FIELD(SwaOptions, window),
                                   POSITIONS_FIELD(SwaOptions, places), FIELD_END};

MIXER_OPTIONS(SwaOptions);

static const SwaOptions *swa_options(const Config *c) { return (const void *)c->options; }

static int64_t swa_prefix(const Config *c) { return swa_options(c)->persistent; }

static int64_t swa_reach(const Config *c) { return swa_options(c)->window; }

static const PositionOptions *swa_places(const Config *c) { return &swa_options(c)->places; }

static void swa_parameters(ParameterList *list, int layer, const Config *c) {
    persistent_parameter(list, layer, swa_options(c)->persistent, c->width);
    attention_branch_parameters(list, layer, "mixer.", c);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 / sqrt(3.0 * (double)c->width));
}

static AttendShape swa_shape(const MixerCall *call) {
    return attention_branch_shape(call, swa_options(call->config)->window, call->parameter[PERSISTENT].rows,
                                  0);
}

static void swa_start(const MixerCall *call) {
    const AttendShape shape = swa_shape(call);
    call->state->slot[0] = attention_branch_cache(call, &shape);
}

static Tensor *swa_forward(const MixerCall *call, Tensor *x) {
    const AttentionView view = {swa_shape(call),
                                call->position,
                                call->angles,
                                call->persistent_angles,
                                call->parameter + PERSISTENT,
                                swa_places(call->config)};
    Tensor *y = attention_branch(call, call->parameter + ATTENTION, call->state->slot[0], x, &view);
    return op_linear(call->tape, y, call->parameter + WO);
}

static double swa_flops(const Config *c, int layer, double context) {
    (void)layer;
    const SwaOptions *o = swa_options(c);
    return attention_branch_flops(c, attention_branch_seen(o->window, context) + (double)o->persistent) +
           2.0 * (double)(c->width * c->width);
}

static int64_t swa_state(const Config *c, int layer, int64_t context) {
    const SwaOptions *o = swa_options(c);
    (void)layer;
    return attention_branch_state(c, o->persistent, attention_branch_ring(o->window, context));
}

static double swa_bytes(const Config *c, int layer, double context) {
    const SwaOptions *o = swa_options(c);
    (void)layer;
    return attention_branch_bytes(c, attention_branch_seen(o->window, context) + (double)o->persistent);
}

const Mixer mixer_swa = {.name = "swa",
                         .summary = "sliding-window attention with persistent tokens",
                         .label = "window",
                         .fields = swa_fields,
                         .slots = 1,
                         .reach = swa_reach,
                         .prefix = swa_prefix,
                         .positions = POSITIONS_PREFIXED,
                         .places = swa_places,
                         .parameters = swa_parameters,
                         .start = swa_start,
                         .forward = swa_forward,
                         .flops = swa_flops,
                         .state_floats = swa_state,
                         .bytes = swa_bytes};
