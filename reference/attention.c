/* Equations 1-2: causal softmax attention. Tokens are rows; W is [in][out]. */
#pragma once
#include "layers.c"

/* (2) y_i = sum_{j<=i} exp(q_i.k_j / sqrt(dh)) v_j / sum_{l<=i} exp(q_i.k_l / sqrt(dh)), one head.
 * q, y (T x dh), k, v (S x dh), S >= T: query i is token S-T+i of the sequence and sees keys 0..S-T+i.
 * The largest score is subtracted first; the mask is the limit of the loops. */
static void attention(int64_t T, int64_t S, int64_t dh, const real *q, const real *k, const real *v,
                      real *y) {
    real *score = R_NEW(S), scale = sqrt((real)dh);
    for (int64_t i = 0; i < T; i++) {
        int64_t last = S - T + i;
        for (int64_t j = 0; j <= last; j++) {
            real dot = 0;
            for (int64_t c = 0; c < dh; c++) dot += q[i * dh + c] * k[j * dh + c];
            score[j] = dot / scale;
        }
        real max = score[0], sum = 0;
        for (int64_t j = 1; j <= last; j++)
            if (RE(score[j]) > RE(max)) max = score[j];
        for (int64_t j = 0; j <= last; j++) {
            score[j] = exp(score[j] - max);
            sum += score[j];
        }
        for (int64_t c = 0; c < dh; c++) {
            real weighted = 0;
            for (int64_t j = 0; j <= last; j++) weighted += score[j] * v[j * dh + c];
            y[i * dh + c] = weighted / sum;
        }
    }
    free(score);
}

/* (1) Q = x W_Q, K = x W_K, V = x W_V: x, Q, K, V (T x D), W (D x D). */
static void qkv_run(const int64_t *n, const void *const *in, void *const *out) {
    for (int64_t i = 0; i < 3; i++) project(n[0], n[1], n[1], IN(0), IN(1 + i), OUT(i));
}

static void qkv_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = out[0] = out[1] = out[2] = n[0] * n[1];
    in[1] = in[2] = in[3] = n[1] * n[1];
}

static void attention_run(const int64_t *n, const void *const *in, void *const *out) {
    attention(n[0], n[1], n[2], IN(0), IN(1), IN(2), OUT(0));
}

static void attention_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = out[0] = n[0] * n[2];
    in[1] = in[2] = n[1] * n[2];
}

static const Equation attention_equations[] = {
    {"qkv", "eq 1", "T D", "x Wq Wk Wv", "q k v", qkv_shape, qkv_run},
    {"attention", "eq 2, per-head scale", "T S dh", "q k v", "y", attention_shape, attention_run},
    EQUATION_END};
