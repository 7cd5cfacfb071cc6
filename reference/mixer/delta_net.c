/* DeltaNet as a whole layer (Yang 2406.06484): q, k, v through short convolutions, q and k l2-normed. */
#pragma once
#include "../delta_layer.h"

/* beta = sigma(x W_b), per head; o = the delta rule; norm per head, a silu gate where there is one. */
static void delta_net_layer_run(const Call *c) {
    int64_t H = dim(c, "heads"), K = head_keys(c);
    LayerQkv x = layer_qkv(c, 1);
    real *beta = sigmoid_input(c, "wb", H);
    DeltaRule rule = {.removal = REMOVE_KEY,
                      .rate_columns = 1,
                      .q = x.q,
                      .k = x.k,
                      .v = x.v,
                      .rate = beta,
                      .scale = scale_of(1, K)};
    real *y = layer_rule(c, rule), *z = gate_values(c) ? projected(c, "wz", all_values(c)) : NULL;
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    layer_qkv_free(&x);
    free(beta);
    free(z);
}

#define DELTA_NET_PARAMETERS                                                                                 \
    QKV_PARAMETERS, WEIGHT("wb", "heads", "rates of writing before sigmoid"),                                \
        WEIGHT("wz", "gate_values", "output gate"), HEAD_GAIN, LAYER_WO, LAYER_EPS

static const Dimension mixer_delta_net_dims[] = {
    DELTA_SIZES, SHORT_TAPS("; 0: none, silu stays"),
    SWITCH("output_gate", NULL, 1, "the output has a silu gate"),
    DERIVED("gate_values", NULL, gate_values, "all_values with the gate, else 0"), DIMENSION_END};
static const Argument mixer_delta_net_in[] = {DELTA_NET_PARAMETERS, ARGUMENT_END};
static const Equation mixer_delta_net_equations[] = {
    {"mixer_delta_net", "Yang 2406.06484",
     "q, k = l2_norm(silu(conv(x W_q))), .. per head, v = silu(conv(x W_v)), beta = sigma(x W_b);\n"
     "S = S + k (beta (v - k S))'; o = (norm(q S / sqrt(K)) gain silu(x W_z)) W_O",
     mixer_delta_net_dims, mixer_delta_net_in, layer_out, delta_net_layer_run, NULL},
    EQUATION_END};
