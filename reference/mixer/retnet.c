/* RetNet: multi-scale retention as a whole layer (Sun 2307.08621). Three packages have three layers: the mixer is that of
 * flash-linear-attention (rotary positions as ours, a norm with weights); torchscale's and yet-another-retnet's are
 * equations beside it. */
#pragma once
#include "../delta_layer.h"

/* gamma_h = 1 - 2^(-5-h) */
static double retention_gamma(int64_t h) { return 1 - ldexp(1.0, -5 - (int)h); }

/* Rotary positions of the authors: neighbours (2i, 2i+1) turn by t 10000^(-i / (K/2 - 1)); K = 2: by t.
 * x (T x H x K), in place. */
static void rope_neighbours(int64_t T, int64_t H, int64_t K, int64_t start, real *x) {
    int64_t pairs = K / 2;
    for (int64_t i = 0; i < pairs; i++) {
        double rate = K > 2 ? pow(10000.0, -(double)i / (double)(pairs - 1)) : 1;
        for (int64_t t = 0; t < T; t++) {
            real c = R(cos((double)(start + t) * rate)), s = R(sin((double)(start + t) * rate));
            for (int64_t h = 0; h < H; h++) {
                real *pair = x + (t * H + h) * K + 2 * i, first = pair[0], second = pair[1];
                pair[0] = first * c - second * s;
                pair[1] = second * c + first * s;
            }
        }
    }
}

static void retnet_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c);
    real *q = projected(c, "wq", all_keys(c)), *k = projected(c, "wk", all_keys(c)),
         *v = projected(c, "wv", all_values(c)), *z = projected(c, "wz", all_values(c)), *g = R_NEW(T * H);
    rope(T, H, K, 0, q, q);
    rope(T, H, K, 0, k, k);
    for (int64_t i = 0; i < T * H; i++) g[i] = R(log(retention_gamma(i % H)));
    DeltaRule rule = {.decay_columns = 1, .q = q, .k = k, .v = v, .g = g, .scale = scale_of(1, K)};
    real *y = layer_rule(c, rule);
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    free(q);
    free(k);
    free(v);
    free(z);
    free(g);
}

/* x W + bias, (T x n), to be freed; the bias where the equation has it: names "wq", "bq". */
static real *retnet_input(const Call *c, const char *name, int64_t n) {
    real *y = projected(c, joined("w", name), n);
    const real *bias = in_if(c, joined("b", name));
    for (int64_t i = 0; bias && i < dim(c, "tokens") * n; i++) y[i] = y[i] + bias[i % n];
    return y;
}

/* torchscale, parallel form, one head and row: weights a_s = q k_s gamma^(t-s) / sqrt(sum_{j<=t} gamma^j) for s <= t, over
 * max(1, |sum_s a_s|), which counts as a constant. q (K), k (T x H x K), v (T x H x V) from head h on, o (V). */
static void retnet_row(const Call *c, int64_t t, double gamma, const real *q, const real *k, const real *v,
                       real *o) {
    int64_t K = head_keys(c), V = head_values(c), H = dim(c, "heads");
    real *a = R_NEW(t + 1), all = 0;
    double mass = 0;
    for (int64_t j = 0; j <= t; j++) mass += pow(gamma, (double)j);
    for (int64_t s = 0; s <= t; s++) {
        for (int64_t i = 0; i < K; i++) a[s] += q[i] * k[s * H * K + i];
        a[s] = a[s] * R(pow(gamma, (double)(t - s)) / sqrt(mass));
        all += a[s];
    }
    all = real_constant(RE(all) < 0 ? -all : all);
    for (int64_t s = 0; s <= t; s++)
        for (int64_t j = 0; j < V; j++) o[j] += (RE(all) > 1 ? a[s] / all : a[s]) * v[s * H * V + j];
    free(a);
}

static void retnet_torchscale_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c), V = head_values(c);
    real *q = projected(c, "wq", all_keys(c)), *k = projected(c, "wk", all_keys(c)),
         *v = projected(c, "wv", all_values(c)), *z = projected(c, "wz", all_values(c)),
         *y = R_NEW(T * H * V);
    for (int64_t i = 0; i < T * H * K; i++) k[i] = k[i] / sqrt((real)K);
    rope_neighbours(T, H, K, 0, q);
    rope_neighbours(T, H, K, 0, k);
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++)
            retnet_row(c, t, retention_gamma(h), q + (t * H + h) * K, k + h * K, v + h * V,
                       y + (t * H + h) * V);
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    free(q);
    free(k);
    free(v);
    free(z);
}

/* yet-another-retnet: biases, a norm that takes the mean off, gammas 1 - exp of H steps from log 1/32 to log 1/512. */
static void retnet_yar_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c), start = dim(c, "start"),
            D = dim(c, "width");
    real *q = retnet_input(c, "q", all_keys(c)), *k = retnet_input(c, "k", all_keys(c)),
         *v = retnet_input(c, "v", all_values(c)), *z = retnet_input(c, "z", all_values(c)),
         *g = R_NEW(T * H);
    rope_neighbours(T, H, K, start, q);
    rope_neighbours(T, H, K, start, k);
    for (int64_t i = 0; i < T * H * K; i++) k[i] = k[i] / sqrt((real)K);
    for (int64_t i = 0; i < T * H; i++) {
        double step = H > 1 ? (double)(i % H) / (double)(H - 1) : 0;
        g[i] = R(log(1 - exp((1 - step) * log(1.0 / 32) + step * log(1.0 / 512))));
    }
    DeltaRule rule = {.decay_columns = 1, .q = q, .k = k, .v = v, .g = g, .scale = R(1)};
    real *y = layer_rule(c, rule);
    head_output(c, y, z, 1, silu);
    layer_output(c, y);
    for (int64_t i = 0; i < T * D; i++) out(c, "o")[i] = out(c, "o")[i] + in(c, "bo")[i % D];
    free(q);
    free(k);
    free(v);
    free(z);
    free(g);
}

#define RETNET_MAPS                                                                                          \
    LAYER_X, WEIGHT("wq", "all_keys", "queries"), WEIGHT("wk", "all_keys", "keys"),                          \
        WEIGHT("wv", "all_values", "values"), WEIGHT("wz", "all_values", "output gate")

static int64_t retnet_rotary_pairs(const Call *c) { return head_keys(c) / 2; }
static const Dimension mixer_retnet_dims[] = {
    DELTA_SIZES, DERIVED("key_pairs", NULL, retnet_rotary_pairs, "pairs of key channels that turn"),
    DIMENSION_END};
static const Argument mixer_retnet_in[] = {RETNET_MAPS, HEAD_GAIN, LAYER_WO, LAYER_EPS, ARGUMENT_END};
static const Argument retnet_torchscale_in[] = {RETNET_MAPS, LAYER_WO, LAYER_EPS, ARGUMENT_END};
static const Dimension retnet_yar_dims[] = {DELTA_SIZES, COUNT("start", NULL, "position of the first row"),
                                            DIMENSION_END};
static const Argument retnet_yar_in[] = {RETNET_MAPS,
                                         LAYER_WO,
                                         {"bq", NULL, "all_keys", NUMBER, "added to the queries"},
                                         {"bk", NULL, "all_keys", NUMBER, "added to the keys"},
                                         {"bv", NULL, "all_values", NUMBER, "added to the values"},
                                         {"bz", NULL, "all_values", NUMBER, "added to the gate"},
                                         {"bo", NULL, "width", NUMBER, "added to the output"},
                                         LAYER_EPS,
                                         STATE0_HEADS,
                                         ARGUMENT_END};
static const Argument retnet_yar_out[] = {LAYER_O, STATE_HEADS, ARGUMENT_END};
static const Equation mixer_retnet_equations[] = {
    {"mixer_retnet", "Sun 2307.08621, as in flash-linear-attention",
     "q, k, v = x W, q and k with rotary positions; S = gamma_h S + k v', gamma_h = 1 - 2^(-5-h);\n"
     "o = (norm(q S / sqrt(K)) gain silu(x W_z)) W_O",
     mixer_retnet_dims, mixer_retnet_in, layer_out, retnet_layer_run, NULL},
    {"retnet_torchscale", "Sun 2307.08621, as in torchscale",
     "a_ts = q_t k_s gamma_h^(t-s) / sqrt(K sum_{j<=t} gamma_h^j) for s <= t, over max(1, |sum_s a_ts|), a "
     "constant;\n"
     "q, k: neighbours turn by t 10000^(-i / (K/2 - 1)); o = (norm(sum_s a_ts v_s) silu(x W_z)) W_O",
     mixer_retnet_dims, retnet_torchscale_in, layer_out, retnet_torchscale_run, NULL},
    {"retnet_yar", "Sun 2307.08621, as in yet-another-retnet",
     "S = gamma_h S + k v', gamma_h = 1 - exp(log 1/32 .. log 1/512 in even steps), maps with biases, "
     "rotation as\n"
     "torchscale's from `start`, k over sqrt(K); o = (norm(q S - mean) silu(z)) W_O + b_O",
     retnet_yar_dims, retnet_yar_in, retnet_yar_out, retnet_yar_run, NULL},
    EQUATION_END};
