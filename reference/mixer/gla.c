/* Gated linear attention as a whole layer (Yang 2312.06635). */
#pragma once
#include "../delta_layer.h"

/* x W_1 W_2 + bias through a few columns: W_1 (D x rank), W_2 (rank x n), bias (n) or NULL; (T x n), to be freed. */
static real *low_rank(const Call *c, const char *first, const char *second, const real *bias, int64_t rank,
                      int64_t n) {
    int64_t T = dim(c, "tokens");
    real *narrow = projected(c, first, rank), *y = R_NEW(T * n);
    project(T, rank, n, narrow, in(c, second), y);
    for (int64_t i = 0; i < T * n; i++) y[i] = bias ? y[i] + bias[i % n] : y[i];
    free(narrow);
    return y;
}

/* g = log sigma(x W_g1 W_g2 + b_g) / 16, per key channel. */
static void gla_layer_run(const Call *c) {
    int64_t n = dim(c, "tokens") * all_keys(c);
    real *q = conv_input(c, "q", all_keys(c), 0), *k = conv_input(c, "k", all_keys(c), 0),
         *v = conv_input(c, "v", all_values(c), 0),
         *g = low_rank(c, "wg1", "wg2", in(c, "bg"), dim(c, "gate_rank"), all_keys(c));
    for (int64_t i = 0; i < n; i++) g[i] = log_sigmoid(g[i]) / 16;
    DeltaRule rule = {
        .decay_columns = head_keys(c), .q = q, .k = k, .v = v, .g = g, .scale = scale_of(1, head_keys(c))};
    real *y = layer_rule(c, rule), *z = projected(c, "wz", all_values(c));
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    free(q);
    free(k);
    free(v);
    free(g);
    free(z);
}

static const Dimension mixer_gla_dims[] = {
    DELTA_SIZES, SHORT_TAPS("; 0: none, and no silu"),
    SIZE("gate_rank", NULL, "columns through which the decays are computed"), DIMENSION_END};
static const Argument mixer_gla_in[] = {LAYER_X,
                                        WEIGHT("wq", "all_keys", "queries"),
                                        WEIGHT("wk", "all_keys", "keys"),
                                        WEIGHT("wv", "all_values", "values"),
                                        SHORT_FILTER("conv_q", "all_keys"),
                                        SHORT_FILTER("conv_k", "all_keys"),
                                        SHORT_FILTER("conv_v", "all_values"),
                                        WEIGHT("wg1", "gate_rank", "decays, first map"),
                                        {"wg2", NULL, "gate_rank all_keys", NUMBER, "decays, second map"},
                                        {"bg", NULL, "all_keys", NUMBER, "added to it"},
                                        WEIGHT("wz", "all_values", "output gate"),
                                        HEAD_GAIN,
                                        LAYER_WO,
                                        LAYER_EPS,
                                        ARGUMENT_END};
static const Equation mixer_gla_equations[] = {
    {"mixer_gla", "Yang 2312.06635",
     "q, k, v = x W, with taps through conv and silu; g = log sigma(x W_g1 W_g2 + b_g) / 16;\n"
     "S = diag(exp g) S + k v'; o = (norm(q S / sqrt(K)) gain silu(x W_z)) W_O",
     mixer_gla_dims, mixer_gla_in, layer_out, gla_layer_run, NULL},
    EQUATION_END};
