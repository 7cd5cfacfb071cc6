/* Gated linear attention as a whole layer (Yang 2312.06635). */
#pragma once
#include "../delta_layer.h"

/* g = log sigma(x W_g1 W_g2 + b_g) / 16, per key channel. */
static void gla_layer_run(const Call *c) {
    int64_t n = dim(c, "tokens") * all_keys(c);
    LayerQkv x = layer_qkv(c, 0);
    real *g = low_rank(c, "wg1", "wg2", in(c, "bg"), dim(c, "gate_rank"), all_keys(c));
    for (int64_t i = 0; i < n; i++) g[i] = log_sigmoid(g[i]) / 16;
    DeltaRule rule = {.decay_columns = head_keys(c),
                      .q = x.q,
                      .k = x.k,
                      .v = x.v,
                      .g = g,
                      .scale = scale_of(1, head_keys(c))};
    real *y = layer_rule(c, rule), *z = projected(c, "wz", all_values(c));
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    layer_qkv_free(&x);
    free(g);
    free(z);
}

static const Dimension mixer_gla_dims[] = {
    DELTA_SIZES, SHORT_TAPS("; 0: none, and no silu"),
    SIZE("gate_rank", NULL, "columns through which the decays are computed"), DIMENSION_END};
static const Argument mixer_gla_in[] = {QKV_PARAMETERS,
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
