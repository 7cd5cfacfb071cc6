/* Gated DeltaNet as a whole layer (Yang 2412.06464), as Qwen3-Next has it. */
#pragma once
#include "../delta_layer.h"

/* g = -exp(a_log) softplus(x W_a + dt_bias) and beta = sigma(x W_b), per head; the decay comes before the error. */
static void gated_delta_net_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c);
    LayerQkv x = layer_qkv(c, 1);
    real *beta = sigmoid_input(c, "wb", H), *g = projected_exact(c, "wa", H);
    for (int64_t i = 0; i < T * H; i++)
        g[i] = -exp(in(c, "a_log")[i % H]) * softplus(g[i] + in(c, "dt_bias")[i % H]);
    DeltaRule rule = {.removal = REMOVE_KEY,
                      .decay_columns = 1,
                      .rate_columns = 1,
                      .q = x.q,
                      .k = x.k,
                      .v = x.v,
                      .g = g,
                      .rate = beta,
                      .scale = scale_of(1, K)};
    real *y = layer_rule(c, rule), *z = projected(c, "wz", all_values(c));
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    layer_qkv_free(&x);
    free(beta);
    free(g);
    free(z);
}

#define GATED_DELTA_NET_PARAMETERS                                                                           \
    QKV_PARAMETERS, WEIGHT("wa", "heads", "decays before softplus"),                                         \
        {"a_log", NULL, "heads", NUMBER, "logarithm of the rate of decay"},                                  \
        {"dt_bias", NULL, "heads", NUMBER, "added before softplus"},                                         \
        WEIGHT("wb", "heads", "rates of writing before sigmoid"), WEIGHT("wz", "all_values", "output gate"), \
        HEAD_GAIN, LAYER_WO, LAYER_EPS

#define KEY_HEADS_OF COUNT("key_heads", NULL, "heads of queries and keys, a divisor of heads; 0: heads")
static const Dimension mixer_gated_delta_net_dims[] = {DELTA_SIZES, KEY_HEADS_OF,
                                                       SHORT_TAPS("; 0: none, silu stays"), DIMENSION_END};
static const Argument mixer_gated_delta_net_in[] = {GATED_DELTA_NET_PARAMETERS, ARGUMENT_END};
static const Argument gated_delta_net_layer_in[] = {GATED_DELTA_NET_PARAMETERS, QKV_STATES, ARGUMENT_END};
#define GATED_DELTA_NET_FORMULA                                                                              \
    "q, k = l2_norm(silu(conv(x W))) per key head, v = silu(conv(x W_v)); beta = sigma(x W_b),\n"            \
    "g = -exp(a_log) softplus(x W_a + dt_bias); S' = exp(g) S, S = S' + k (beta (v - k S'))';\n"             \
    "o = (norm(q S / sqrt(K)) gain silu(x W_z)) W_O"
static const Equation mixer_gated_delta_net_equations[] = {
    {"mixer_gated_delta_net", "Yang 2412.06464", GATED_DELTA_NET_FORMULA, mixer_gated_delta_net_dims,
     mixer_gated_delta_net_in, layer_out, gated_delta_net_layer_run, NULL},
    {"gated_delta_net_layer", "the same with states", GATED_DELTA_NET_FORMULA, mixer_gated_delta_net_dims,
     gated_delta_net_layer_in, qkv_states_out, gated_delta_net_layer_run, NULL},
    EQUATION_END};
