/* Kimi delta attention as a whole layer (2510.26692): the gated delta rule with a decay for every key channel. */
#pragma once
#include "../delta_layer.h"

/* g = -exp(a_log) softplus(x W_f1 W_f2 + dt_bias); the output gate is a sigmoid of x W_z1 W_z2. */
static void kda_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c), rank = dim(c, "gate_rank"),
            n = all_keys(c);
    LayerQkv x = layer_qkv(c, 1);
    real *beta = sigmoid_input(c, "wb", H), *g = low_rank(c, "wf1", "wf2", in(c, "dt_bias"), rank, n),
         *z = low_rank(c, "wz1", "wz2", NULL, rank, all_values(c));
    for (int64_t i = 0; i < T * n; i++) g[i] = -exp(in(c, "a_log")[i / K % H]) * softplus(g[i]);
    DeltaRule rule = {.removal = REMOVE_KEY,
                      .decay_columns = K,
                      .rate_columns = 1,
                      .q = x.q,
                      .k = x.k,
                      .v = x.v,
                      .g = g,
                      .rate = beta,
                      .scale = scale_of(1, K)};
    real *y = layer_rule(c, rule);
    head_output(c, y, z, 0, sigmoid);
    layer_output(c, y);
    layer_qkv_free(&x);
    free(beta);
    free(g);
    free(z);
}

#define KDA_PARAMETERS                                                                                       \
    QKV_PARAMETERS, WEIGHT("wf1", "gate_rank", "decays, first map"),                                         \
        {"wf2", NULL, "gate_rank all_keys", NUMBER, "decays, second map"},                                   \
        {"a_log", NULL, "heads", NUMBER, "logarithm of the rate of decay"},                                  \
        {"dt_bias", NULL, "all_keys", NUMBER, "added before softplus"},                                      \
        WEIGHT("wb", "heads", "rates of writing before sigmoid"),                                            \
        WEIGHT("wz1", "gate_rank", "output gate, first map"),                                                \
        {"wz2", NULL, "gate_rank all_values", NUMBER, "output gate, second map"}, HEAD_GAIN, LAYER_WO,       \
        LAYER_EPS

static const Dimension mixer_kda_dims[] = {
    DELTA_SIZES, SHORT_TAPS("; 0: none, silu stays"),
    SIZE("gate_rank", NULL, "columns through which decays and output gates are computed"), DIMENSION_END};
static const Argument mixer_kda_in[] = {KDA_PARAMETERS, ARGUMENT_END};
static const Argument kda_layer_in[] = {KDA_PARAMETERS, QKV_STATES, ARGUMENT_END};
#define KDA_FORMULA                                                                                          \
    "as mixer_gated_delta_net with a decay per key channel: g = -exp(a_log) softplus(x W_f1 W_f2 + "         \
    "dt_bias);\n"                                                                                            \
    "S' = diag(exp g) S, S = S' + k (beta (v - k S'))'; o = (norm(q S / sqrt(K)) gain sigma(x W_z1 W_z2)) "  \
    "W_O"
static const Equation mixer_kda_equations[] = {{"mixer_kda", "Kimi 2510.26692", KDA_FORMULA, mixer_kda_dims,
                                                mixer_kda_in, layer_out, kda_layer_run, NULL},
                                               {"kda_layer", "the same with states", KDA_FORMULA,
                                                mixer_kda_dims, kda_layer_in, qkv_states_out, kda_layer_run,
                                                NULL},
                                               EQUATION_END};
