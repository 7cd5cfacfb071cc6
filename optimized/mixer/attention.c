/* Causal softmax attention with rotary positions, eqs 1-2: the transformer baseline. State: the key-value
 * cache. */
#include "model/model.h"

#include <math.h>
#include <string.h>

static void attention_parameters(ParameterList *list, int layer, const Config *c) {
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    const char *const names[] = {"mixer.wq", "mixer.wk", "mixer.wv", "mixer.wo"};
    for (int i = 0; i < 4; i++)
        parameter_add(list, layer, names[i], c->width, c->width, i < 3 ? fan_in : 1.5 * fan_in / 2);
}

static AttendShape attention_shape(const MixerCall *call) {
    const Config *c = call->config;
    return (AttendShape){call->batch,    c->heads,       call->tokens,
                         call->position, call->capacity, c->width / c->heads};
}

static void attention_start(const MixerCall *call) {
    const AttendShape shape = attention_shape(call);
    const int64_t heads = call->batch * call->config->heads, floats = K->attend->cache_floats(&shape);
    Tensor *cache = arena_take(call->tape->arena, sizeof *cache);
    *cache = (Tensor){heads, floats, arena_zeros(call->tape->arena, heads * floats), 0};
    call->state->slot[0] = cache;
}

static Tensor *attention_forward(const MixerCall *call, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *wq = call->parameter, *wk = wq + 1, *wv = wq + 2, *wo = wq + 3;
    const AttendShape shape = attention_shape(call);
    Tensor *q = op_rope(tape, op_linear(tape, x, wq), call->batch, shape.heads, call->angles);
    Tensor *k = op_rope(tape, op_linear(tape, x, wk), call->batch, shape.heads, call->angles);
    Tensor *y = op_attention(tape, &shape, q, k, op_linear(tape, x, wv), call->state->slot[0]);
    return op_linear(tape, y, wo);
}

const Mixer mixer_attention = {"attention",
                               "causal softmax attention with RoPE (eqs 1-2)",
                               1,
                               1,
                               attention_parameters,
                               0,
                               attention_start,
                               attention_forward};
