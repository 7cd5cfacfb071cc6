/* A toy that the drop-in test adds: exponential moving averages with trained decay. State: the average, batch x D. */
#include "base/portable.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

enum { WV, DECAY, WO };

static void ema_parameters(ParameterList *list, int layer, const Config *c) {
    const double fan_in = 1.0 / sqrt((double)c->width);
    parameter_add(list, layer, "mixer.wv", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.decay", 1, c->width, 1.0)->shift = 1.5;
    parameter_add(list, layer, "mixer.wo", c->width, c->width, fan_in);
}

static void ema_start(const MixerCall *call) {
    Tensor *s = tape_tensor(call->tape, call->batch, call->config->width);
    memset(s->data, 0, (size_t)(s->rows * s->cols) * sizeof(float));
    call->state->slot[0] = s;
}

/* v, y: batch tokens x D; before, after: the averages around the call. */
typedef struct {
    Tensor *v, *decay, *before, *y, *after;
    float *keep; /* D */
} Average;

static void average_forward(const Average *a) {
    const int64_t D = a->v->cols, batch = a->before->rows, tokens = a->v->rows / batch;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = 0; i < tokens * D; i++) {
            const int64_t at = b * tokens * D + i, column = i % D;
            const float last = i < D ? a->before->data[b * D + column] : a->y->data[at - D];
            a->y->data[at] = (1.0f - a->keep[column]) * a->v->data[at] + a->keep[column] * last;
        }
    for (int64_t b = 0; b < batch; b++)
        memcpy(a->after->data + b * D, a->y->data + ((b + 1) * tokens - 1) * D, (size_t)D * sizeof(float));
}

static void average_backward(void *context) {
    const Average *a = context;
    const int64_t D = a->v->cols, batch = a->before->rows, tokens = a->v->rows / batch;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t column = 0; column < D; column++) {
            const float keep = a->keep[column];
            float ds = a->after->grad[b * D + column], dkeep = 0.0f;
            for (int64_t t = tokens - 1; t >= 0; t--) {
                const int64_t at = (b * tokens + t) * D + column;
                const float last = t ? a->y->data[at - D] : a->before->data[b * D + column];
                ds += a->y->grad[at];
                a->v->grad[at] += (1.0f - keep) * ds;
                dkeep += ds * (last - a->v->data[at]);
                ds *= keep;
            }
            a->before->grad[b * D + column] += ds;
            a->decay->grad[column] += dkeep * keep * (1.0f - keep);
        }
}

static Tensor *ema_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *decay = call->parameter + DECAY, **slot = &call->state->slot[0];
    Average a = {.v = op_linear(tape, x, call->parameter + WV), .decay = decay, .before = *slot};
    a.y = tape_tensor(tape, x->rows, x->cols);
    a.after = tape_tensor(tape, call->batch, x->cols);
    a.keep = arena_floats(tape->arena, x->cols);
    for (int64_t i = 0; i < x->cols; i++)
        a.keep[i] = (float)(1.0 / (1.0 + portable_exp(-(double)decay->data[i])));
    average_forward(&a);
    tape_push(tape, average_backward, &a, sizeof a);
    op_carry(tape, slot, a.after);
    return op_linear(tape, a.y, call->parameter + WO);
}

static int64_t ema_split(const Config *c) {
    (void)c;
    return 3;
}

static double ema_flops(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return (4.0 * (double)c->width + 4.0) * (double)c->width;
}

static int64_t ema_state(const Config *c, int layer, int64_t context) {
    (void)layer, (void)context;
    return c->width;
}

static double ema_bytes(const Config *c, int layer, double context) {
    (void)layer, (void)context;
    return 8.0 * (double)c->width;
}

const Mixer mixer_ema = {.name = "ema",
                         .summary = "a toy: moving averages with trained decay",
                         .label = "EMA",
                         .slots = 1,
                         .split = ema_split,
                         .parameters = ema_parameters,
                         .start = ema_start,
                         .forward = ema_forward,
                         .flops = ema_flops,
                         .state_floats = ema_state,
                         .bytes = ema_bytes};
