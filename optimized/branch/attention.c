#include "branch/attention.h"

#include <math.h>
#include <stdio.h>

enum { WQ, WK, WV };

void attention_branch_parameters(ParameterList *list, int layer, const char *prefix, const Config *c) {
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    const char *const names[] = {"wq", "wk", "wv"};
    for (int i = 0; i < ATTENTION_BRANCH_PARAMETERS; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s%s", prefix, names[i]);
        parameter_add(list, layer, full, c->width, c->width, fan_in);
    }
}

void attention_branch_start_at_self(double self, Tensor *parameter) {
    Tensor *wq = parameter + WQ, *wk = parameter + WK;
    const float scale = (float)self;
    for (int64_t i = 0; self > 0.0 && i < wq->rows * wq->cols; i++) wk->data[i] = wq->data[i] *= scale;
}

AttendShape attention_branch_shape(const MixerCall *call, int64_t window, int64_t prefix, int64_t extra) {
    const Config *c = call->config;
    const int64_t ring = window && !call->tape->recording ? window + ATTENTION_RUN : call->capacity + extra;
    AttendShape shape = attend_plain(call->batch, c->heads, 0, 0, attend_round(ring), c->width / c->heads);
    shape.window = window;
    shape.prefix = prefix;
    return shape;
}

Tensor *attention_branch_cache(const MixerCall *call, const AttendShape *shape) {
    return tape_constant(call->tape, shape->batch * shape->heads, kernel->attend->cache_floats(shape));
}

/* Queries or keys with their positions. */
static Tensor *placed(const MixerCall *call, Tensor *x, int64_t batch, const float *angles) {
    return angles ? op_rope(call->tape, x, batch, call->config->heads, angles) : x;
}

void attention_branch_prefix(const MixerCall *call, Tensor *parameter, Tensor *persistent,
                             const float *angles, AttentionInput *in) {
    in->kp = placed(call, op_linear(call->tape, persistent, parameter + WK), 1, angles);
    in->vp = op_linear(call->tape, persistent, parameter + WV);
}

AttentionInput attention_branch_input(const MixerCall *call, Tensor *parameter, Tensor *u,
                                      const float *angles) {
    Tape *tape = call->tape;
    AttentionInput in = {0};
    in.q = placed(call, op_linear(tape, u, parameter + WQ), call->batch, angles);
    in.k = placed(call, op_linear(tape, u, parameter + WK), call->batch, angles);
    in.v = op_linear(tape, u, parameter + WV);
    return in;
}

/* Queries times the factors of their places, the first of which comes after `position` others. */
static Tensor *sharpened(const MixerCall *call, const PositionOptions *places, int64_t position, Tensor *q) {
    const int64_t tokens = q->rows / call->batch;
    Tensor *factor = tape_tensor(call->tape, q->rows, 1);
    for (int64_t i = 0; i < q->rows; i++)
        factor->data[i] = position_log_scale(places, position + i % tokens + 1);
    return op_heads(call->tape, q, factor, 0);
}

static const float *slopes(const MixerCall *call, const PositionOptions *places) {
    if (!places || places->positions != PLACES_ALIBI) return 0;
    float *slope = arena_floats(call->tape->arena, call->config->heads);
    position_slopes(call->config->heads, slope);
    return slope;
}

Tensor *attention_branch(const MixerCall *call, Tensor *parameter, Tensor *cache, Tensor *u,
                         const AttentionView *view) {
    Tape *tape = call->tape;
    AttendShape shape = view->shape;
    shape.tokens = u->rows / call->batch;
    shape.past = view->position;
    shape.slopes = slopes(call, view->places);
    AttentionInput in = attention_branch_input(call, parameter, u, view->angles);
    if (view->places && view->places->log_scale) in.q = sharpened(call, view->places, view->position, in.q);
    if (shape.prefix && view->position == 0)
        attention_branch_prefix(call, parameter, view->persistent, view->persistent_angles, &in);
    return op_attention(tape, &shape, &in, cache);
}

double attention_branch_seen(int64_t window, double context) {
    return window && context > (double)window ? (double)window : context;
}

int64_t attention_branch_ring(int64_t window, int64_t context) {
    return window ? window + ATTENTION_RUN : context;
}

int64_t attention_branch_state(const Config *c, int64_t prefix, int64_t ring) {
    AttendShape shape = attend_plain(1, c->heads, 0, 0, attend_round(ring), c->width / c->heads);
    shape.prefix = prefix;
    return c->heads * kernel->attend->cache_floats(&shape);
}

double attention_branch_bytes(const Config *c, double keys) { return 8.0 * (double)c->width * keys; }

double attention_branch_flops(const Config *c, double keys) {
    const double D = (double)c->width;
    return 6.0 * D * D + 4.0 * D * keys;
}
