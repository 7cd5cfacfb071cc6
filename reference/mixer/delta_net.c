/* DeltaNet as a whole layer (Yang 2406.06484): q, k, v through short convolutions, q and k l2-normed. */
#pragma once
#include "../delta_layer.h"

/* beta = sigma(x W_b), per head; o = the delta rule; norm per head, a silu gate where there is one. */
static void delta_net_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c);
    real *q = conv_input(c, "q", all_keys(c), 1), *k = conv_input(c, "k", all_keys(c), 1),
         *v = conv_input(c, "v", all_values(c), 1), *beta = sigmoid_input(c, "wb", H);
    l2_norm(T * H, K, q, q);
    l2_norm(T * H, K, k, k);
    DeltaRule rule = {.removal = REMOVE_KEY,
                      .rate_columns = 1,
                      .q = q,
                      .k = k,
                      .v = v,
                      .rate = beta,
                      .scale = scale_of(1, K)};
    real *y = layer_rule(c, rule), *z = gate_values(c) ? projected(c, "wz", all_values(c)) : NULL;
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    free(q);
    free(k);
    free(v);
    free(beta);
    free(z);
}

#define DELTA_NET_PARAMETERS                                                                                 \
    LAYER_X, WEIGHT("wq", "all_keys", "queries"), WEIGHT("wk", "all_keys", "keys"),                          \
        WEIGHT("wv", "all_values", "values"), SHORT_FILTER("conv_q", "all_keys"),                            \
        SHORT_FILTER("conv_k", "all_keys"), SHORT_FILTER("conv_v", "all_values"),                            \
        WEIGHT("wb", "heads", "rates of writing before sigmoid"),                                            \
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
