#include "branch/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WQ, WK, WV, CONV_Q, CONV_K, CONV_V, W_GATES, B_GATES, M0 };

void memory_branch_settle(MemoryOptions *o) {
    if (o->theta_max <= 0.0) o->theta_max = 0.5 / (double)o->chunk;
}

int64_t memory_branch_gates(const Config *c, const MemoryOptions *o) {
    return c->heads * (o->gates_per_layer ? o->layers : 1);
}

/* Widths of the memory network of one head and their total number of weights. */
static int64_t memory_widths(const Config *c, const MemoryOptions *o, int64_t width[5]) {
    const int64_t head = c->width / c->heads;
    int64_t weights = 0;
    for (int l = 0; l < 5; l++) width[l] = 0;
    for (int l = 0; l <= o->layers; l++) {
        width[l] = l == 0 || l == o->layers ? head : o->expansion * head;
        if (l > 0) weights += width[l - 1] * width[l];
    }
    return weights;
}

int64_t memory_branch_weights(const Config *c, const MemoryOptions *o) {
    int64_t width[5];
    return memory_widths(c, o, width);
}

static GateShape memory_gate_shape(const Config *c, const MemoryOptions *o, int64_t rows) {
    return (GateShape){rows,
                       c->heads,
                       o->gates_per_layer ? o->layers : 1,
                       o->channelwise ? c->width / c->heads : 1,
                       o->hard ? GATE_HARD : GATE_SIGMOID,
                       (int)o->forget,
                       (int)o->momentum,
                       (float)o->theta_max};
}

MemoryShape memory_branch_shape(const MixerCall *call, const MemoryOptions *o, int64_t tokens,
                                int64_t position) {
    const Config *c = call->config;
    MemoryShape shape = {.batch = call->batch,
                         .heads = c->heads,
                         .tokens = tokens,
                         .chunk = o->chunk,
                         .position = position % o->chunk,
                         .layers = (int)o->layers,
                         .gelu = (int)o->gelu,
                         .residual = (int)o->residual,
                         .norm = (int)o->norm,
                         .per_layer = (int)o->gates_per_layer,
                         .channelwise = (int)o->channelwise};
    memory_widths(c, o, shape.width);
    return shape;
}

static Parameter *memory_parameter(ParameterList *list, int layer, const char *prefix, const char *name,
                                   int64_t rows, int64_t cols, double std) {
    char full[64];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return parameter_add(list, layer, full, rows, cols, std);
}

void memory_branch_convolution(ParameterList *list, int layer, const char *name, int64_t taps,
                               int64_t width) {
    const double std = taps ? 0.3 / sqrt((double)taps) : 0.0;
    parameter_add(list, layer, name, taps, width, std)->decay = 0;
}

void memory_branch_parameters(ParameterList *list, int layer, const char *prefix, const Config *c,
                              const MemoryOptions *o) {
    const double fan_in = 1.0 / sqrt(3.0 * (double)c->width);
    const GateShape gates = memory_gate_shape(c, o, 1);
    const char *const maps[] = {"wq", "wk", "wv"}, *const convolutions[] = {"conv_q", "conv_k", "conv_v"};
    int64_t width[5];
    const int64_t weights = memory_widths(c, o, width);
    for (int i = 0; i < 3; i++) memory_parameter(list, layer, prefix, maps[i], c->width, c->width, fan_in);
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, convolutions[i]);
        memory_branch_convolution(list, layer, name, o->taps, c->width);
    }
    memory_parameter(list, layer, prefix, "w_gates", c->width, gates_columns(&gates), 0.02);
    memory_parameter(list, layer, prefix, "b_gates", 1, gates_columns(&gates), 0.0);
    const double memory_std = o->layers > 1 ? 1.0 / sqrt((double)width[1]) : 0.0;
    memory_parameter(list, layer, prefix, "m0", c->heads, weights, memory_std)->decay = 0;
}

void memory_branch_open_convolution(Tensor *convolution) {
    const int64_t taps = convolution->rows, width = convolution->cols;
    for (int64_t j = 0; taps && j < width; j++) convolution->data[(taps - 1) * width + j] += 0.7f;
}

/* The convolutions start near the identity, the gates at their configured biases. */
void memory_branch_initialise(const Config *c, const MemoryOptions *o, Tensor *parameter) {
    const GateShape gates = memory_gate_shape(c, o, 1);
    const int64_t sets = gates.heads * gates.sets, alpha = gates.decay ? sets * gates.channels : 0;
    for (int i = CONV_Q; i <= CONV_V; i++) memory_branch_open_convolution(parameter + i);
    for (int64_t j = 0; j < gates_columns(&gates); j++)
        parameter[B_GATES].data[j] = (float)(j < alpha          ? o->alpha_bias
                                             : j < alpha + sets ? o->theta_bias
                                                                : o->eta_bias);
}

static int64_t tail_rows(int64_t taps) { return taps > 1 ? taps - 1 : 0; }

Tensor *memory_branch_tail(const MixerCall *call, int64_t taps) {
    return tape_zeros(call->tape, call->batch * tail_rows(taps), call->config->width);
}

void memory_branch_start(const MixerCall *call, const MemoryOptions *o, Tensor *parameter, Tensor **slot) {
    const GateShape gates = memory_gate_shape(call->config, o, 1);
    slot[MEMORY_SLOT_STATE] = op_memory_start(call->tape, parameter + M0, call->batch, parameter[M0].cols);
    for (int i = 0; i < 3; i++) slot[MEMORY_SLOT_TAIL + i] = memory_branch_tail(call, o->taps);
    slot[MEMORY_SLOT_HELD] =
        o->gates_per_chunk ? tape_zeros(call->tape, call->batch, gates_columns(&gates)) : 0;
}

Tensor *memory_branch_project(const MixerCall *call, int64_t taps, Tensor *weight, Tensor *convolution,
                              Tensor **tail, Tensor *x, int l2) {
    const Config *c = call->config;
    const ConvShape shape = {call->batch, x->rows / call->batch, c->heads, c->width / c->heads, taps, l2};
    Tensor *projected = op_linear(call->tape, x, weight);
    Tensor *y = op_conv(call->tape, &shape, projected, convolution, 0, *tail);
    *tail = op_conv_tail(call->tape, &shape, projected, *tail);
    return y;
}

static Gates memory_gates(const MixerCall *call, const MemoryBranch *m, Tensor *u, int64_t position) {
    const GateShape shape = memory_gate_shape(call->config, m->options, u->rows);
    Tensor *z =
        op_bias(call->tape, op_linear_float32(call->tape, u, m->parameter + W_GATES), m->parameter + B_GATES);
    if (m->options->gates_per_chunk)
        z = op_hold(call->tape, z, call->batch, m->options->chunk, position, &m->slot[MEMORY_SLOT_HELD]);
    return op_gates(call->tape, &shape, z, call->penalty);
}

/* Mean over the sets and channels of a head, for the rows of u that are the call's own tokens. */
static void memory_show(const MixerCall *call, const Tensor *gate, int keep, float *to) {
    const int64_t heads = call->config->heads, each = gate->cols / heads, rows = gate->rows / call->batch;
    const int64_t left = call->tokens - call->from, skip = rows > left ? rows - left : 0;
    for (int64_t b = 0; to && b < call->batch; b++)
        for (int64_t i = skip * heads; i < rows * heads; i++) {
            const float *x = gate->data + (b * rows * heads + i) * each;
            double sum = 0.0;
            for (int64_t j = 0; j < each; j++) sum += (double)(keep ? 1.0f - x[j] : x[j]);
            to[(b * call->tokens + call->from - skip) * heads + i] = (float)(sum / (double)each);
        }
}

/* Writes u into the memory; *q becomes the queries, the result is what each row reads right after itself. */
static Tensor *memory_write(const MixerCall *call, const MemoryBranch *m, Tensor *u, int64_t position,
                            Tensor **q) {
    const MemoryShape shape = memory_branch_shape(call, m->options, u->rows / call->batch, position);
    Tensor *part[3];
    for (int i = 0; i < 3; i++)
        part[i] = memory_branch_project(call, m->options->taps, m->parameter + WQ + i,
                                        m->parameter + CONV_Q + i, &m->slot[MEMORY_SLOT_TAIL + i], u, i < 2);
    const Gates gates = memory_gates(call, m, u, position);
    float *surprise = call->probe ? arena_floats(call->tape->arena, u->rows * shape.heads) : 0;
    Tensor *y = op_memory(call->tape, &shape, part[1], part[2], part[0], gates, &m->slot[MEMORY_SLOT_STATE],
                          surprise);
    if (call->probe) {
        memory_show(call, gates.keep, 1, call->probe->alpha);
        memory_show(call, gates.theta, 0, call->probe->theta);
        memory_show(call, &(Tensor){u->rows, shape.heads, surprise, 0}, 0, call->probe->surprise);
    }
    *q = part[0];
    return y;
}

Tensor *memory_branch(const MixerCall *call, const MemoryBranch *m, Tensor *u, int64_t position) {
    Tensor *q;
    return memory_write(call, m, u, position, &q);
}

Tensor *memory_branch_after(const MixerCall *call, const MemoryBranch *m, Tensor *u, int64_t position) {
    const MemoryShape shape = memory_branch_shape(call, m->options, u->rows / call->batch, 0);
    Tensor *q;
    memory_write(call, m, u, position, &q);
    return op_memory_read(call->tape, &shape, q, m->slot[MEMORY_SLOT_STATE]);
}

double memory_branch_flops(const Config *c, const MemoryOptions *o) {
    const double D = (double)c->width;
    int64_t width[5];
    const GateShape gates = memory_gate_shape(c, o, 1);
    const double weights = (double)memory_widths(c, o, width), first = (double)(width[0] * width[1]);
    return 6.0 * D * D + 2.0 * D * (double)gates_columns(&gates) + 6.0 * D * (double)o->taps +
           (double)c->heads * (12.0 * weights - 2.0 * first);
}

int64_t memory_branch_state(const Config *c, const MemoryOptions *o) {
    const GateShape gates = memory_gate_shape(c, o, 1);
    return 3 * c->heads * memory_branch_weights(c, o) + 3 * tail_rows(o->taps) * c->width +
           (o->gates_per_chunk ? gates_columns(&gates) : 0);
}

double memory_branch_bytes(const Config *c, const MemoryOptions *o) {
    return 16.0 * (double)(c->heads * memory_branch_weights(c, o)) / (double)o->chunk;
}
