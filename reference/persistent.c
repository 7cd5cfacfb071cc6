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

static void persistent_prefix_run(const Call *c) {
    persistent_prefix(dim(c, "persistent"), dim(c, "tokens"), dim(c, "width"), in(c, "persistent"),
                      in(c, "x"), out(c, "prefixed"));
}
static int64_t prefixed_rows(const Call *c) { return dim(c, "persistent") + dim(c, "tokens"); }
static const Dimension persistent_prefix_dims[] = {
    COUNT("persistent", "Np", "persistent tokens"), TOKENS, WIDTH,
    DERIVED("prefixed_rows", NULL, prefixed_rows, "persistent + tokens"), DIMENSION_END};
static const Argument persistent_prefix_in[] = {
    {"persistent", "P_tok", "persistent width", NUMBER, "p_1 .. p_Np, the same for every input"},
    {"x", NULL, "tokens width", NUMBER, "rows"},
    ARGUMENT_END};
static const Argument persistent_prefix_out[] = {
    {"prefixed", NULL, "prefixed_rows width", NUMBER, "both, one after the other"}, ARGUMENT_END};

static void softmax_ffn_run(const Call *c) {
    softmax_ffn(dim(c, "tokens"), dim(c, "keys"), dim(c, "key_width"), dim(c, "value_width"), in(c, "x"),
                in(c, "wk"), in(c, "wv"), out(c, "y"));
}
static const Dimension softmax_ffn_dims[] = {TOKENS,
                                             SIZE("keys", "n", "keys and values, none of the input's"),
                                             SIZE("key_width", "d", "width of keys and rows"),
                                             SIZE("value_width", "m", "width of values"), DIMENSION_END};
static const Argument softmax_ffn_in[] = {
    {"x", NULL, "tokens key_width", NUMBER, "rows"},
    {"wk", "Wk", "keys key_width", NUMBER, "W_K, its rows the keys"},
    {"wv", "Wv", "keys value_width", NUMBER, "W_V', its rows the values"},
    ARGUMENT_END};
static const Argument softmax_ffn_out[] = {{"y", NULL, "tokens value_width", NUMBER, "rows"}, ARGUMENT_END};

static const Equation persistent_equations[] = {
    {"persistent_prefix", "eq 19", "(19) prefixed = [p_1 .. p_Np] || x", persistent_prefix_dims,
     persistent_prefix_in, persistent_prefix_out, persistent_prefix_run, NULL},
    {"softmax_ffn", "eq 20",
     "(20) y = softmax(x W_K') W_V: rows attend to keys and values that are no function of them",
     softmax_ffn_dims, softmax_ffn_in, softmax_ffn_out, softmax_ffn_run, NULL},
    EQUATION_END};
