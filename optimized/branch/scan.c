#include "branch/scan.h"
#include "base/random.h"

#include <math.h>
#include <string.h>

enum { SLOT_STATE, SLOT_TAIL };

/* Places of the parameters; Longhorn's have no a_log. */
enum { WX, WZ, CONV, B_CONV, W_SELECT, W_DT, B_DT, A_LOG };
static int place_of_skip(ScanKind kind) { return kind == SCAN_SELECTIVE ? A_LOG + 1 : A_LOG; }

static int64_t channels(const Config *c, const ScanOptions *o) { return o->inner ? o->inner : 2 * c->width; }
static int64_t rank(const Config *c, const ScanOptions *o) {
    return o->rank ? o->rank : (c->width + 15) / 16;
}

void scan_branch_parameters(ParameterList *list, int layer, const Config *c, const ScanOptions *o,
                            ScanKind kind) {
    const int64_t D = channels(c, o), R = rank(c, o), W = c->width;
    const double fan_in = 1.0 / sqrt(3.0 * (double)W), fan_inner = 1.0 / sqrt(3.0 * (double)D),
                 fan_taps = 1.0 / sqrt(3.0 * (double)o->taps);
    parameter_add(list, layer, "mixer.wx", W, D, fan_in);
    parameter_add(list, layer, "mixer.wz", W, D, fan_in);
    parameter_add(list, layer, "mixer.conv", o->taps, D, fan_taps)->decay = 0;
    parameter_add(list, layer, "mixer.b_conv", 1, D, fan_taps);
    parameter_add(list, layer, "mixer.w_select", D, R + 2 * o->states, fan_inner);
    parameter_add(list, layer, "mixer.w_dt", R, D, 1.0 / sqrt(3.0 * (double)R));
    parameter_add(list, layer, "mixer.b_dt", 1, D, 1.0);
    if (kind == SCAN_SELECTIVE) parameter_add(list, layer, "mixer.a_log", o->states, D, 0.0)->decay = 0;
    parameter_gain(list, layer, "mixer.skip", D);
    parameter_add(list, layer, "mixer.wo", D, W, fan_inner);
}

/* A number in [0, 1) that belongs to a normal one as it was drawn. */
static double uniform_of(float drawn) {
    uint32_t bits;
    memcpy(&bits, &drawn, sizeof bits);
    Random random = {bits};
    return random_uniform(&random);
}

/* Steps are log-uniform in [0.001, 0.1] at first, the rate of state n is n + 1. */
void scan_branch_initialise(const Config *c, const ScanOptions *o, ScanKind kind, Tensor *parameter) {
    const int64_t D = channels(c, o);
    const double least = portable_log(1e-3), most = portable_log(0.1);
    for (int64_t j = 0; j < D; j++) {
        float *bias = parameter[B_DT].data + j;
        const double step = portable_exp(least + (most - least) * uniform_of(*bias));
        *bias = (float)portable_log(kind == SCAN_SELECTIVE ? portable_exp(step) - 1.0 : step / (1.0 - step));
    }
    for (int64_t n = 0; kind == SCAN_SELECTIVE && n < o->states; n++)
        for (int64_t i = 0; i < D; i++)
            parameter[A_LOG].data[n * D + i] = (float)portable_log((double)(n + 1));
}

void scan_branch_start(const MixerCall *call, const ScanOptions *o) {
    const int64_t D = channels(call->config, o);
    call->state->slot[SLOT_STATE] = tape_zeros(call->tape, call->batch * o->states, D);
    call->state->slot[SLOT_TAIL] = tape_zeros(call->tape, call->batch * (o->taps - 1), D);
}

/* silu(conv(x Wx) + b_conv); the tail of the next call is kept. */
static Tensor *scan_input(const MixerCall *call, const ScanOptions *o, Tensor *x) {
    Tensor *p = call->parameter, **tail = &call->state->slot[SLOT_TAIL];
    const ConvShape shape = {call->batch, x->rows / call->batch, 1, p[WX].cols, o->taps, 0};
    Tensor *projected = op_linear(call->tape, x, p + WX);
    Tensor *u = op_conv(call->tape, &shape, projected, p + CONV, p + B_CONV, *tail);
    *tail = op_conv_tail(call->tape, &shape, projected, *tail);
    return u;
}

Tensor *scan_branch(const MixerCall *call, const ScanOptions *o, ScanKind kind, Tensor *x) {
    Tape *tape = call->tape;
    Tensor *p = call->parameter, *a = 0;
    const int64_t D = p[WX].cols, R = p[W_DT].rows;
    Tensor *u = scan_input(call, o, x), *selected = op_linear_float32(tape, u, p + W_SELECT);
    Tensor *step =
        op_bias(tape, op_linear_float32(tape, op_columns(tape, selected, 0, R), p + W_DT), p + B_DT);
    if (kind == SCAN_SELECTIVE) {
        step = op_map(tape, step, MAP_SOFTPLUS);
        a = op_scale(tape, op_map(tape, p + A_LOG, MAP_EXP), -1.0f);
    }
    const ScanShape shape = {call->batch, x->rows / call->batch, D, o->states, selected->cols, kind};
    const ScanTensors in = {u, step, a, selected, p + place_of_skip(kind), R, R + o->states};
    Tensor *y = op_scan(tape, &shape, &in, &call->state->slot[SLOT_STATE]);
    Tensor *gated = op_swiglu(tape, op_linear(tape, x, p + WZ), y);
    return op_linear(tape, gated, p + place_of_skip(kind) + 1);
}

int64_t scan_branch_split(const Config *c) {
    (void)c;
    return 1;
}

double scan_branch_flops(const Config *c, const ScanOptions *o, ScanKind kind) {
    const double D = (double)channels(c, o), R = (double)rank(c, o), N = (double)o->states;
    const double maps = 6.0 * (double)c->width * D + 2.0 * D * (R + 2.0 * N) + 2.0 * R * D;
    return maps + 2.0 * D * (double)o->taps + (kind == SCAN_SELECTIVE ? 6.0 : 7.0) * D * N;
}

int64_t scan_branch_state(const Config *c, const ScanOptions *o) {
    return channels(c, o) * (o->states + o->taps - 1);
}

double scan_branch_bytes(const Config *c, const ScanOptions *o) {
    return 8.0 * (double)(channels(c, o) * o->states);
}
