/* LMM: the neural long-term memory alone as the sequence mixer, eqs 8-18 with the layers of section 4.4.
 * State per sequence: weights and momentum of every head and the last taps-1 inputs of the three
 * convolutions; constant size. */
#include "model/model.h"

#include <math.h>
#include <string.h>

enum { WQ, WK, WV, CONV_Q, CONV_K, CONV_V, W_GATES, B_GATES, M0, GAIN, WZ, WO };
enum { SLOT_MEMORY, SLOT_TAIL }; /* tails of q, k, v follow */

static void lmm_convolution(ParameterList *list, int layer, const char *name, const Config *c) {
    const double std = 0.3 / sqrt((double)c->taps);
    parameter_add(list, layer, name, c->taps, c->width, std)->decay = 0;
}

static void lmm_parameters(ParameterList *list, int layer, const Config *c) {
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width), out = 0.5 / sqrt((double)c->width);
    int64_t width[5];
    const int64_t weights = config_memory_widths(c, width);
    parameter_add(list, layer, "mixer.wq", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.wk", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.wv", c->width, c->width, fan_in);
    lmm_convolution(list, layer, "mixer.conv_q", c);
    lmm_convolution(list, layer, "mixer.conv_k", c);
    lmm_convolution(list, layer, "mixer.conv_v", c);
    parameter_add(list, layer, "mixer.w_gates", c->width, 3 * c->heads, 0.02);
    parameter_add(list, layer, "mixer.b_gates", 1, 3 * c->heads, 0.0);
    const double memory_std = c->memory_layers > 1 ? 1.0 / sqrt((double)width[1]) : 0.0;
    parameter_add(list, layer, "mixer.m0", c->heads, weights, memory_std)->decay = 0;
    parameter_add(list, layer, "mixer.gain", 1, c->width, 0.0)->shift = 1.0;
    parameter_add(list, layer, "mixer.wz", c->width, c->width, fan_in);
    parameter_add(list, layer, "mixer.wo", c->width, c->width, out);
}

/* The convolutions start near the identity, the gates at their configured biases. */
static void lmm_initialise(const Config *c, Tensor *parameter) {
    for (int i = CONV_Q; i <= CONV_V; i++)
        for (int64_t j = 0; j < c->width; j++) parameter[i].data[(c->taps - 1) * c->width + j] += 0.7f;
    for (int64_t h = 0; h < c->heads; h++) {
        parameter[B_GATES].data[h] = (float)c->alpha_bias;
        parameter[B_GATES].data[c->heads + h] = (float)c->theta_bias;
        parameter[B_GATES].data[2 * c->heads + h] = (float)c->eta_bias;
    }
}

static void lmm_start(const MixerCall *call) {
    const Config *c = call->config;
    int64_t width[5];
    const int64_t weights = config_memory_widths(c, width), rows = call->batch * (c->taps - 1);
    call->state->slot[SLOT_MEMORY] = op_memory_start(call->tape, call->parameter + M0, call->batch, weights);
    for (int i = 0; i < 3; i++) {
        Tensor *tail = tape_tensor(call->tape, rows, c->width);
        memset(tail->data, 0, (size_t)(rows * c->width) * sizeof(float));
        call->state->slot[SLOT_TAIL + i] = tail;
    }
}

/* silu(conv(x W)), l2-normalised per head for q and k; i = 0, 1, 2 for q, k, v. */
static Tensor *lmm_project(const MixerCall *call, Tensor *x, int i) {
    const Config *c = call->config;
    const ConvShape shape = {call->batch, call->tokens, c->heads, c->width / c->heads, c->taps, i < 2};
    Tensor **tail = &call->state->slot[SLOT_TAIL + i];
    Tensor *projected = op_linear(call->tape, x, call->parameter + WQ + i);
    Tensor *y = op_conv(call->tape, &shape, projected, call->parameter + CONV_Q + i, *tail);
    *tail = op_conv_tail(call->tape, &shape, projected, *tail);
    return y;
}

static Gates lmm_gates(const MixerCall *call, Tensor *x) {
    const Config *c = call->config;
    Tensor *z =
        op_bias(call->tape, op_linear(call->tape, x, call->parameter + W_GATES), call->parameter + B_GATES);
    const GateKind kind = strcmp(c->gate, "hard") ? GATE_SIGMOID : GATE_HARD;
    return op_gates(call->tape, z, c->heads, kind, (float)c->theta_max, call->penalty);
}

static void lmm_show(const MixerCall *call, Gates gates) {
    const int64_t n = gates.keep->rows * gates.keep->cols;
    for (int64_t i = 0; call->probe->alpha && i < n; i++) call->probe->alpha[i] = 1.0f - gates.keep->data[i];
    if (call->probe->theta) memcpy(call->probe->theta, gates.theta->data, (size_t)n * sizeof(float));
}

static Tensor *lmm_forward(const MixerCall *call, Tensor *x) {
    const Config *c = call->config;
    Tape *tape = call->tape;
    MemoryShape shape = {call->batch,           c->heads, call->tokens, c->chunk, call->position % c->chunk,
                         (int)c->memory_layers, {0}};
    config_memory_widths(c, shape.width);
    Tensor *q = lmm_project(call, x, 0), *k = lmm_project(call, x, 1), *v = lmm_project(call, x, 2);
    const Gates gates = lmm_gates(call, x);
    if (call->probe) lmm_show(call, gates);
    Tensor *y = op_memory(tape, &shape, k, v, q, gates, &call->state->slot[SLOT_MEMORY],
                          call->probe ? call->probe->surprise : 0);
    Tensor *z = op_linear(tape, x, call->parameter + WZ);
    return op_linear(tape, op_norm(tape, y, call->parameter + GAIN, z, c->heads), call->parameter + WO);
}

const Mixer mixer_lmm = {
    "lmm",      "neural long-term memory (eqs 8-18)", 0, 0, lmm_parameters, lmm_initialise, lmm_start,
    lmm_forward};
