/* Equations 19-20: persistent memory, learned tokens that do not depend on the input. */
#pragma once
#include "real.h"

/* (19) x~ = [p_1 .. p_Np] || x: tokens (Np x D), x (T x D), x~ ((Np + T) x D). */
static void persistent_prefix(int64_t Np, int64_t T, int64_t D, const real *tokens, const real *x,
                              real *prefixed) {
    real_copy(Np * D, tokens, prefixed);
    real_copy(T * D, x, prefixed + Np * D);
}

/* (20) FFN(x) = W_V softmax(W_K x): attention of x to n keys and values that do not depend on it.
 * x (T x d), W_K (n x d), its rows the keys, W_V as rows (n x m), the transpose of the printed one, y (T x
 * m). The largest score is subtracted first. */
static void softmax_ffn(int64_t T, int64_t n, int64_t d, int64_t m, const real *x, const real *W_K,
                        const real *W_V, real *y) {
    real *score = R_NEW(n);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < n; j++) {
            score[j] = 0;
            for (int64_t i = 0; i < d; i++) score[j] += W_K[j * d + i] * x[t * d + i];
        }
        real max = score[0], sum = 0;
        for (int64_t j = 1; j < n; j++)
            if (RE(score[j]) > RE(max)) max = score[j];
        for (int64_t j = 0; j < n; j++) {
            score[j] = exp(score[j] - max);
            sum += score[j];
        }
        for (int64_t c = 0; c < m; c++) {
            real weighted = 0;
            for (int64_t j = 0; j < n; j++) weighted += score[j] * W_V[j * m + c];
            y[t * m + c] = weighted / sum;
        }
    }
    free(score);
}

static void persistent_prefix_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = n[0] * n[2];
    in[1] = n[1] * n[2];
    out[0] = in[0] + in[1];
}

static void persistent_prefix_run(const int64_t *n, const void *const *in, void *const *out) {
    persistent_prefix(n[0], n[1], n[2], IN(0), IN(1), OUT(0));
}

static void softmax_ffn_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = n[0] * n[2];
    in[1] = n[1] * n[2];
    in[2] = n[1] * n[3];
    out[0] = n[0] * n[3];
}

static void softmax_ffn_run(const int64_t *n, const void *const *in, void *const *out) {
    softmax_ffn(n[0], n[1], n[2], n[3], IN(0), IN(1), IN(2), OUT(0));
}

static const Equation persistent_equations[] = {
    {"persistent_prefix", "eq 19", "Np T D", "P_tok x", "prefixed", persistent_prefix_shape,
     persistent_prefix_run},
    {"softmax_ffn", "eq 20", "T n d m", "x Wk Wv", "y", softmax_ffn_shape, softmax_ffn_run},
    EQUATION_END};
