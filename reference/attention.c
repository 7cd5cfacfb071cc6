/* Equations 1-2 and the attention of 27: causal softmax attention, whole or in a sliding window with prefix.
 * Tokens are rows; W is [in][out]. */
#pragma once
#include "layers.c"

/* One query of (2): y = sum_j exp(score_j) v_j / sum_l exp(score_l), score_j = q.k_j / sqrt(dh) + bias_j (NULL: none),
 * j and l over the n rows seen; the largest score is subtracted first. q, y (dh), k, v (rows of dh), seen, bias (n). */
static void attend_biased(int64_t dh, int64_t n, const int64_t *seen, const real *bias, const real *q,
                          const real *k, const real *v, real *y) {
    real *score = R_NEW(n), scale = sqrt((real)dh);
    for (int64_t j = 0; j < n; j++) {
        real dot = 0;
        for (int64_t c = 0; c < dh; c++) dot += q[c] * k[seen[j] * dh + c];
        score[j] = dot / scale;
        if (bias) score[j] = score[j] + bias[j];
    }
    real max = score[0], sum = 0;
    for (int64_t j = 1; j < n; j++)
        if (RE(score[j]) > RE(max)) max = score[j];
    for (int64_t j = 0; j < n; j++) {
        score[j] = exp(score[j] - max);
        sum += score[j];
    }
    for (int64_t c = 0; c < dh; c++) {
        real weighted = 0;
        for (int64_t j = 0; j < n; j++) weighted += score[j] * v[seen[j] * dh + c];
        y[c] = weighted / sum;
    }
    free(score);
}
static void attend(int64_t dh, int64_t n, const int64_t *seen, const real *q, const real *k, const real *v,
                   real *y) {
    attend_biased(dh, n, seen, NULL, q, k, v, y);
}

/* Room for n row numbers, to be given to free(). */
static int64_t *rows_new(int64_t n) {
    int64_t *rows = (int64_t *)calloc(n > 0 ? (size_t)n : 1, sizeof(int64_t));
    if (!rows) abort();
    return rows;
}

/* (27) Sliding window with prefix: row i sees rows j <= i with j < prefix or j > i - window; window 0: all
 * j <= i. Fills seen, returns how many. */
static int64_t window_rows(int64_t i, int64_t window, int64_t prefix, int64_t *seen) {
    int64_t n = 0;
    for (int64_t j = 0; j <= i; j++)
        if (window == 0 || j < prefix || j > i - window) seen[n++] = j;
    return n;
}

/* (2), (27) for one head: q, y (T x dh), k, v (S x dh), S >= T: query i is row S-T+i. */
static void window_attention(int64_t T, int64_t S, int64_t dh, int64_t window, int64_t prefix, const real *q,
                             const real *k, const real *v, real *y) {
    int64_t *seen = rows_new(S);
    for (int64_t i = 0; i < T; i++) {
        int64_t n = window_rows(S - T + i, window, prefix, seen);
        attend(dh, n, seen, q + i * dh, k, v, y + i * dh);
    }
    free(seen);
}

/* (2) y_i = sum_{j<=i} exp(q_i.k_j / sqrt(dh)) v_j / sum_{l<=i} exp(q_i.k_l / sqrt(dh)), one head.
 * q, y (T x dh), k, v (S x dh), S >= T: query i is token S-T+i of the sequence and sees keys 0..S-T+i. */
static void attention(int64_t T, int64_t S, int64_t dh, const real *q, const real *k, const real *v,
                      real *y) {
    window_attention(T, S, dh, 0, 0, q, k, v, y);
}

/* (1) Q = x W_Q, K = x W_K, V = x W_V: x, Q, K, V (T x D), W (D x D). */
static void qkv_run(const Call *c) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width");
    project(T, D, D, in(c, "x"), in(c, "wq"), out(c, "q"));
    project(T, D, D, in(c, "x"), in(c, "wk"), out(c, "k"));
    project(T, D, D, in(c, "x"), in(c, "wv"), out(c, "v"));
}
static const Dimension qkv_dims[] = {TOKENS, WIDTH, DIMENSION_END};
static const Argument qkv_in[] = {{"x", NULL, "tokens width", NUMBER, "rows"},
                                  {"wq", "Wq", "width width", NUMBER, "W_Q"},
                                  {"wk", "Wk", "width width", NUMBER, "W_K"},
                                  {"wv", "Wv", "width width", NUMBER, "W_V"},
                                  ARGUMENT_END};
static const Argument qkv_out[] = {{"q", NULL, "tokens width", NUMBER, "queries"},
                                   {"k", NULL, "tokens width", NUMBER, "keys"},
                                   {"v", NULL, "tokens width", NUMBER, "values"},
                                   ARGUMENT_END};

static void attention_run(const Call *c) {
    attention(dim(c, "tokens"), dim(c, "keys"), dim(c, "head_width"), in(c, "q"), in(c, "k"), in(c, "v"),
              out(c, "y"));
}
static void window_attention_run(const Call *c) {
    window_attention(dim(c, "tokens"), dim(c, "keys"), dim(c, "head_width"), dim(c, "window"),
                     dim(c, "prefix"), in(c, "q"), in(c, "k"), in(c, "v"), out(c, "y"));
}
#define KEYS SIZE("keys", "S", "rows of keys; the queries belong to the last tokens of them")
static const Dimension attention_dims[] = {TOKENS, KEYS, HEAD_WIDTH, DIMENSION_END};
static const Dimension window_attention_dims[] = {
    TOKENS,
    KEYS,
    HEAD_WIDTH,
    COUNT("window", NULL, "keys that a query sees, its own row's included; 0: all up to it"),
    COUNT("prefix", NULL, "first keys, seen by every query whose row is not before them"),
    DIMENSION_END};
static const Argument attention_in[] = {
    {"q", NULL, "tokens head_width", NUMBER, "queries, those of the last tokens rows"},
    {"k", NULL, "keys head_width", NUMBER, "keys"},
    {"v", NULL, "keys head_width", NUMBER, "values"},
    ARGUMENT_END};
static const Argument attention_out[] = {{"y", NULL, "tokens head_width", NUMBER, "what each query reads"},
                                         ARGUMENT_END};

static const Equation attention_equations[] = {
    {"qkv", "eq 1", "(1) q = x W_Q, k = x W_K, v = x W_V", qkv_dims, qkv_in, qkv_out, qkv_run, NULL},
    {"attention", "eq 2, per-head scale",
     "(2) y_i = sum_{j<=p} exp(q_i.k_j / sqrt(head_width)) v_j / sum_{l<=p} exp(q_i.k_l / "
     "sqrt(head_width)),\n"
     "query i is row p = keys - tokens + i",
     attention_dims, attention_in, attention_out, attention_run, NULL},
    {"window_attention", "eq 27, per-head scale",
     "(27) attention (eq 2) of query i, which is row p = keys - tokens + i, to the rows j <= p with\n"
     "j < prefix or j > p - window (window 0: to all j <= p)",
     window_attention_dims, attention_in, attention_out, window_attention_run, NULL},
    EQUATION_END};
