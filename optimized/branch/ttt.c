#include "branch/ttt.h"

#include <math.h>
#include <string.h>

/* Parameters: those before the inner models, 2 of every layer of these, those behind. */
enum { WQ, WK, WV, W_RATE, B_RATE, LEARN_T, INNER };
enum { LN_GAIN, LN_BIAS, GAIN, BIAS, WZ, WO };

static TttShape ttt_shape(const Config *c, const TttOptions *o, int layers) {
    const int64_t D = c->width / c->heads;
    TttShape s = {.heads = c->heads,
                  .mini_batch = o->mini_batch,
                  .layers = layers,
                  .scale = 1.0f,
                  .eps = (float)o->eps};
    s.width[0] = s.width[layers] = D;
    if (layers > 1) s.width[1] = o->expansion * D;
    return s;
}

static TttShape ttt_call(const MixerCall *call, const TttOptions *o, int layers) {
    TttShape s = ttt_shape(call->config, o, layers);
    s.batch = call->batch;
    s.tokens = call->tokens;
    s.position = call->position % o->mini_batch;
    return s;
}

/* Not decayed: biases, rates and what a sequence starts from. */
static void ttt_start_parameter(ParameterList *list, int layer, const char *name, int64_t rows, int64_t cols,
                                double std) {
    parameter_add(list, layer, name, rows, cols, std)->decay = 0;
}

void ttt_branch_parameters(ParameterList *list, int layer, const Config *c, const TttOptions *o, int layers) {
    const TttShape s = ttt_shape(c, o, layers);
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    const char *const maps[] = {"mixer.wq", "mixer.wk", "mixer.wv"};
    const char *const inner[2][2] = {{"mixer.w1", "mixer.b1"}, {"mixer.w2", "mixer.b2"}};
    for (int i = 0; i < 3; i++) parameter_add(list, layer, maps[i], c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.w_rate", c->width, c->heads, 0.02);
    ttt_start_parameter(list, layer, "mixer.b_rate", 1, c->heads, 0.0);
    ttt_start_parameter(list, layer, "mixer.learn_t", 1, o->mini_batch, 0.0);
    for (int l = 0; l < layers && l < 2; l++) {
        ttt_start_parameter(list, layer, inner[l][0], c->heads * s.width[l], s.width[l + 1], 0.02);
        ttt_start_parameter(list, layer, inner[l][1], c->heads, s.width[l + 1], 0.0);
    }
    parameter_gain(list, layer, "mixer.ln_gain", c->width);
    ttt_start_parameter(list, layer, "mixer.ln_bias", 1, c->width, 0.0);
    parameter_gain(list, layer, "mixer.gain", c->width);
    ttt_start_parameter(list, layer, "mixer.bias", 1, c->width, 0.0);
    parameter_add(list, layer, "mixer.wz", o->output_gate ? c->width : 0, c->width, fan_in);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, 0.75 * fan_in);
}

void ttt_branch_start(const MixerCall *call, const TttOptions *o, int layers) {
    const TttShape s = ttt_call(call, o, layers);
    call->state->slot[0] = op_ttt_start(call->tape, &s, call->parameter + INNER);
}

/* Of every token of the call, from its place in its mini-batch. */
static const float *ttt_angles(const MixerCall *call, const TttOptions *o) {
    const int64_t width = call->config->width / call->config->heads, M = o->mini_batch;
    float *angles = arena_floats(call->tape->arena, call->tokens * width);
    for (int64_t t = 0; t < call->tokens; t++)
        if (t < M)
            position_angles(0, width, (call->position + t) % M, 1, angles + t * width);
        else
            memcpy(angles + t * width, angles + (t - M) * width, (size_t)width * sizeof(float));
    return angles;
}

Tensor *ttt_branch(const MixerCall *call, const TttOptions *o, int layers, Tensor *x) {
    Tape *tape = call->tape;
    const int64_t heads = call->config->heads, D = call->config->width / heads;
    Tensor *p = call->parameter, *out = p + INNER + 2 * layers;
    const TttShape s = ttt_call(call, o, layers);
    const float *angles = ttt_angles(call, o);
    Tensor *z = op_bias(tape, op_linear_float32(tape, x, p + W_RATE), p + B_RATE);
    const TttTokens tokens = {op_rope(tape, op_linear(tape, x, p + WK), call->batch, heads, angles),
                              op_linear(tape, x, p + WV),
                              op_rope(tape, op_linear(tape, x, p + WQ), call->batch, heads, angles),
                              op_ttt_rates(tape, &s, (float)(o->base_rate / (double)D), p + LEARN_T, z),
                              out + LN_GAIN,
                              out + LN_BIAS};
    Tensor *y = op_ttt(tape, &s, &tokens, &call->state->slot[0]);
    const NormShape norm = {
        .rows = y->rows, .groups = 1, .width = y->cols, .centred = 1, .eps = (float)o->eps};
    y = op_bias(tape, op_norm_of(tape, &norm, y, out + GAIN, 0), out + BIAS);
    if (o->output_gate) y = op_mul(tape, y, op_map(tape, op_linear(tape, x, out + WZ), MAP_GELU));
    return op_linear(tape, y, out + WO);
}

double ttt_branch_flops(const Config *c, const TttOptions *o, int layers) {
    const TttShape s = ttt_shape(c, o, layers);
    const double D = (double)c->width, heads = (double)c->heads, maps = o->output_gate ? 5.0 : 4.0;
    double inner = 6.0 * (double)ttt_weights(&s);
    for (int l = 1; l <= layers; l++) {
        const double in = (double)s.width[l - 1], out = (double)s.width[l];
        inner += (double)(o->mini_batch + 1) * (in + out) + (l > 1 ? 2.0 * in * out : 0.0);
    }
    return 2.0 * maps * D * D + 2.0 * D * heads + heads * inner;
}

int64_t ttt_branch_state(const Config *c, const TttOptions *o, int layers) {
    const TttShape s = ttt_shape(c, o, layers);
    return c->heads * ttt_state(&s);
}

double ttt_branch_bytes(const Config *c, const TttOptions *o, int layers) {
    const TttShape s = ttt_shape(c, o, layers);
    return 8.0 * (double)(c->heads * ttt_weights(&s)) / (double)o->mini_batch;
}
