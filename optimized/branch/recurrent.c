#include "branch/recurrent.h"
#include "branch/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int recurrent_settle(const Config *c, RecurrentOptions *o, char *message, size_t size) {
    if ((!o->key_width || !o->value_width) && c->width % c->heads)
        return snprintf(
                   message, size,
                   "\"width\" %ld is not a multiple of \"heads\" %ld: key_width and value_width are wanted",
                   c->width, c->heads),
               -1;
    if (!o->key_width) o->key_width = c->width / c->heads;
    if (!o->value_width) o->value_width = c->width / c->heads;
    if (!o->key_heads) o->key_heads = c->heads;
    if (o->key_heads > c->heads || c->heads % o->key_heads)
        return snprintf(message, size, "\"key_heads\" %ld does not divide \"heads\" %ld", o->key_heads,
                        c->heads),
               -1;
    return 0;
}

static Parameter *named(ParameterList *list, int layer, const char *name, int64_t rows, int64_t columns,
                        double std) {
    char full[48];
    snprintf(full, sizeof full, "mixer.%s", name);
    return parameter_add(list, layer, full, rows, columns, std);
}

void recurrent_map(ParameterList *list, int layer, const char *name, int64_t rows, int64_t columns) {
    named(list, layer, name, rows, columns, 1.0 / sqrt(3.0 * (double)rows));
}

void recurrent_filter(ParameterList *list, int layer, const char *name, const RecurrentOptions *o,
                      int64_t columns) {
    named(list, layer, name, o->taps, columns, 0.5 / sqrt(3.0 * (double)(o->taps ? o->taps : 1)))->decay = 0;
}

void recurrent_vector(ParameterList *list, int layer, const char *name, int64_t columns, double value) {
    named(list, layer, name, 1, columns, 0.0)->shift = value;
}

void recurrent_output_map(ParameterList *list, int layer, const Config *c, int64_t rows) {
    named(list, layer, "wo", rows, c->width, 0.5 / sqrt((double)rows));
}

Tensor *recurrent_tail(const MixerCall *call, const RecurrentOptions *o, int64_t columns) {
    return tape_zeros(call->tape, call->batch * (o->taps > 1 ? o->taps - 1 : 0), columns);
}

Tensor *recurrent_state(const MixerCall *call, int64_t keys, int64_t values) {
    return tape_zeros(call->tape, call->batch * call->config->heads, keys * values);
}

Tensor *recurrent_input(const MixerCall *call, const RecurrentOptions *o, Tensor *x,
                        const RecurrentInput *in) {
    Tensor *u = op_linear(call->tape, x, in->weight);
    if (in->before) u = op_bias(call->tape, u, in->before);
    if (!o->taps) return u;
    const ConvShape shape = {call->batch, x->rows / call->batch, 1, u->cols, o->taps, 0};
    Tensor *y = op_conv(call->tape, &shape, u, in->filter, in->after, *in->tail);
    *in->tail = op_conv_tail(call->tape, &shape, u, *in->tail);
    return y;
}

Tensor *recurrent_unit(const MixerCall *call, Tensor *x, int64_t heads, double eps) {
    const int64_t width = x->cols / heads;
    Tensor *gain = tape_constant(call->tape, 1, width);
    for (int64_t i = 0; i < width; i++) gain->data[i] = (float)(1.0 / sqrt((double)width));
    const NormShape shape = {x->rows, heads, width, 1, 0, 0, (float)(eps / (double)width)};
    return op_norm_of(call->tape, &shape, x, gain, 0);
}

enum { WQ, WK, WV, CONV_Q, CONV_K, CONV_V };

void recurrent_qkv_parameters(ParameterList *list, int layer, const Config *c, const RecurrentOptions *o) {
    static const char *const maps[] = {"wq", "wk", "wv"}, *const filters[] = {"conv_q", "conv_k", "conv_v"};
    const int64_t columns[] = {recurrent_keys(o), recurrent_keys(o), recurrent_values(c, o)};
    for (int i = 0; i < 3; i++) recurrent_map(list, layer, maps[i], c->width, columns[i]);
    for (int i = 0; i < 3; i++) recurrent_filter(list, layer, filters[i], o, columns[i]);
}

void recurrent_qkv_initialise(Tensor *parameter) {
    for (int i = CONV_Q; i <= CONV_V; i++) memory_branch_open_convolution(parameter + i);
}

void recurrent_qkv_start(const MixerCall *call, const RecurrentOptions *o, int64_t matrices) {
    Tensor **tail = call->state->slot + RECURRENT_TAIL;
    call->state->slot[RECURRENT_STATE] = recurrent_state(call, o->key_width, matrices * o->value_width);
    for (int i = 0; i < 3; i++)
        tail[i] = recurrent_tail(call, o, i < 2 ? recurrent_keys(o) : recurrent_values(call->config, o));
}

RecurrentQkv recurrent_qkv(const MixerCall *call, const RecurrentOptions *o, Tensor *x, int unit) {
    Tensor *p = call->parameter, *part[3];
    for (int i = 0; i < 3; i++) {
        const RecurrentInput in = {p + WQ + i, 0, p + CONV_Q + i, 0, call->state->slot + RECURRENT_TAIL + i};
        part[i] = recurrent_input(call, o, x, &in);
        if (unit && !o->taps) part[i] = op_map(call->tape, part[i], MAP_SILU);
        if (unit && i < 2) part[i] = recurrent_unit(call, part[i], o->key_heads, 1e-6);
    }
    return (RecurrentQkv){part[0], part[1], part[2]};
}

int64_t recurrent_qkv_floats(const Config *c, const RecurrentOptions *o, int64_t matrices) {
    return recurrent_floats(c, o, matrices, 2 * recurrent_keys(o) + recurrent_values(c, o));
}

Tensor *recurrent_rule(const MixerCall *call, const RecurrentOptions *o, DeltaRemoval removal, double scale,
                       const DeltaTensors *in) {
    const int64_t heads = call->config->heads;
    const DeltaShape shape = {call->batch,
                              in->q->rows / call->batch,
                              heads,
                              o->key_heads,
                              o->key_width,
                              in->v->cols / heads,
                              in->decay ? in->decay->cols / heads : 0,
                              in->rate ? in->rate->cols / heads : 0,
                              removal,
                              (float)scale};
    return op_delta(call->tape, &shape, in, &call->state->slot[RECURRENT_STATE]);
}

Tensor *recurrent_output(const MixerCall *call, const RecurrentOptions *o, Tensor *y, Tensor *gain, Tensor *z,
                         int sigmoid, Tensor *wo) {
    const NormShape shape = {y->rows, call->config->heads, o->value_width, 1, 0, sigmoid, (float)o->eps};
    return op_linear(call->tape, op_norm_of(call->tape, &shape, y, gain, z), wo);
}

Tensor *recurrent_decay_of(const MixerCall *call, Tensor *step, Tensor *a_log) {
    Tape *tape = call->tape;
    Tensor *rate = op_scale(tape, op_map(tape, a_log, MAP_EXP), -1.0f);
    return op_map(tape, op_heads(tape, step, rate, 0), MAP_EXP);
}

Tensor *recurrent_decay(const MixerCall *call, Tensor *z, Tensor *a_log) {
    return recurrent_decay_of(call, op_map(call->tape, z, MAP_SOFTPLUS), a_log);
}

void recurrent_start_decay(Tensor *a_log, Tensor *dt_bias) {
    const int64_t heads = a_log->cols, n = dt_bias->cols;
    for (int64_t h = 0; h < heads; h++) a_log->data[h] = (float)log(1.0 + 15.0 * (double)h / (double)heads);
    for (int64_t i = 0; i < n; i++) {
        const double dt = exp(log(1e-3) + (log(1e-1) - log(1e-3)) * ((double)i + 0.5) / (double)n);
        dt_bias->data[i] = (float)(dt + log(-expm1(-dt)));
    }
}

int64_t recurrent_split(const Config *c) {
    (void)c;
    return 1;
}

double recurrent_flops(const Mixer *mixer, const Config *c, const RecurrentOptions *o, double rule) {
    ParameterList list = {0};
    double weights = 0.0;
    mixer->parameters(&list, 0, c);
    for (int i = 0; i < list.count; i++)
        if (list.items[i].rows > 1) weights += (double)parameter_count(&list.items[i]);
    free(list.items);
    return 2.0 * weights + rule * (double)(c->heads * o->key_width * o->value_width);
}

int64_t recurrent_floats(const Config *c, const RecurrentOptions *o, int64_t matrices, int64_t columns) {
    return matrices * c->heads * o->key_width * o->value_width + (o->taps > 1 ? o->taps - 1 : 0) * columns;
}
