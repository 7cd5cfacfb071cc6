/* How attention knows places: ALiBi in place of rotary positions, rotary positions that are stretched beyond the length
 * of the training, and a softmax that sharpens with the length. None of it has weights. */
#pragma once
#include "attention.c"

enum { PLACES_ROPE, PLACES_NONE, PLACES_ALIBI };  /* the dimension positions */
enum { STRETCH_NONE, STRETCH_NTK, STRETCH_YARN }; /* the dimension rope_scaling */

/* s: how often the length asked holds that of the training; at least 1. */
static double stretch_of(int64_t trained, int64_t asked) {
    return asked > trained ? (double)asked / (double)trained : 1.0;
}

/* YaRN (Peng et al. 2023, section 3.2): gamma of a pair that turns r times over the trained length, 0 below one turn, 1
 * above 32, a ramp between. */
static double yarn_ramp(double turns) {
    return turns < 1.0 ? 0.0 : turns > 32.0 ? 1.0 : (turns - 1.0) / 31.0;
}

/* Rotary positions stretched s-fold: x, y (T x H x dh).
 *   NTK-aware (bloc97 2023): base' = base s^(dh / (dh - 2)), so that the slowest pair turns s times slower
 *   YaRN: frequency' = (1 - gamma) frequency / s + gamma frequency, q and k times 0.1 ln(s) + 1 */
static void rope_scaled(int64_t T, int64_t H, int64_t dh, int64_t start, int64_t scaling, int64_t trained,
                        int64_t asked, const real *x, real *y) {
    double s = stretch_of(trained, asked), base = 10000.0, length = 1.0;
    if (scaling == STRETCH_NTK && dh > 2) base = base * pow(s, (double)dh / (double)(dh - 2));
    double *frequency = rope_frequencies(dh, base);
    for (int64_t i = 0; i < dh / 2 && scaling == STRETCH_YARN; i++) {
        double slow = frequency[i] / s;
        double gamma = yarn_ramp((double)trained * frequency[i] / 6.283185307179586);
        frequency[i] = slow + gamma * (frequency[i] - slow);
    }
    if (scaling == STRETCH_YARN) length = 0.1 * 0.6931471805599453 * log2(s) + 1.0;
    rope_turn(T, H, dh, start, frequency, length, x, y);
    free(frequency);
}

/* ALiBi (Press et al. 2021): the slope of head h = 0 .. H-1. Of H a power of two 2^(-8(h+1)/H); else of the next smaller
 * one first, then every other slope of the next larger one. */
static double alibi_slope(int64_t H, int64_t h) {
    int64_t power = 1;
    while (2 * power <= H) power *= 2;
    if (h < power) return exp2(-8.0 * (double)(h + 1) / (double)power);
    return exp2(-8.0 * (double)(2 * (h - power) + 1) / (double)(2 * power));
}

/* (27) of head h of H with ALiBi: row p adds slope (j - p) to the score of row j; the prefix is at no distance. */
static void alibi_head(int64_t T, int64_t S, int64_t dh, int64_t window, int64_t prefix, double slope,
                       const real *q, const real *k, const real *v, real *y) {
    int64_t *seen = rows_new(S);
    real *bias = R_NEW(S);
    for (int64_t i = 0; i < T; i++) {
        int64_t p = S - T + i, n = window_rows(p, window, prefix, seen);
        for (int64_t j = 0; j < n; j++) bias[j] = R(seen[j] < prefix ? 0.0 : slope * (double)(seen[j] - p));
        attend_biased(dh, n, seen, bias, q + i * dh, k, v, y + i * dh);
    }
    free(seen);
    free(bias);
}

/* Head h of H side by side: x (T x H x dh) -> y (T x dh), and the reverse. */
static void place_get(int64_t T, int64_t H, int64_t dh, int64_t h, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++) real_copy(dh, x + (t * H + h) * dh, y + t * dh);
}
static void place_put(int64_t T, int64_t H, int64_t dh, int64_t h, const real *y, real *x) {
    for (int64_t t = 0; t < T; t++) real_copy(dh, y + t * dh, x + (t * H + h) * dh);
}

/* All heads: q, y (T x H x dh), k, v (S x H x dh). */
static void alibi_attention(int64_t T, int64_t S, int64_t H, int64_t dh, int64_t window, int64_t prefix,
                            const real *q, const real *k, const real *v, real *y) {
    real *q_h = R_NEW(T * dh), *k_h = R_NEW(S * dh), *v_h = R_NEW(S * dh), *y_h = R_NEW(T * dh);
    for (int64_t h = 0; h < H; h++) {
        place_get(T, H, dh, h, q, q_h);
        place_get(S, H, dh, h, k, k_h);
        place_get(S, H, dh, h, v, v_h);
        alibi_head(T, S, dh, window, prefix, alibi_slope(H, h), q_h, k_h, v_h, y_h);
        place_put(T, H, dh, h, y_h, y);
    }
    free(q_h);
    free(k_h);
    free(v_h);
    free(y_h);
}

/* Query n = start + t + 1 of a sequence (Chiang & Cholak 2022; Su 2021): y_t = x_t max(1, ln n / ln trained), a constant in
 * double: x, y (T x D). */
static void log_scale(int64_t T, int64_t D, int64_t start, int64_t trained, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++) {
        int64_t n = start + t + 1;
        real factor = R(n > trained ? log2((double)n) / log2((double)trained) : 1.0);
        for (int64_t i = 0; i < D; i++) y[t * D + i] = x[t * D + i] * factor;
    }
}

static void rope_scaled_run(const Call *c) {
    rope_scaled(dim(c, "tokens"), dim(c, "heads"), dim(c, "head_width"), dim(c, "start"),
                dim(c, "rope_scaling"), dim(c, "trained_length"), dim(c, "asked_length"), in(c, "x"),
                out(c, "y"));
}
static void alibi_attention_run(const Call *c) {
    alibi_attention(dim(c, "tokens"), dim(c, "keys"), dim(c, "heads"), dim(c, "head_width"), dim(c, "window"),
                    dim(c, "prefix"), in(c, "q"), in(c, "k"), in(c, "v"), out(c, "y"));
}
static void log_scale_run(const Call *c) {
    log_scale(dim(c, "tokens"), dim(c, "heads") * dim(c, "head_width"), dim(c, "start"),
              dim(c, "trained_length"), in(c, "x"), out(c, "y"));
}

#define ROPE_SCALING                                                                                         \
    { "rope_scaling", NULL, 0, 2, 0, "none ntk yarn", "how rotary positions are stretched", NULL }
#define LENGTHS                                                                                              \
    COUNT("trained_length", NULL, "tokens of the longest sequence of the training"),                         \
        COUNT("asked_length", NULL,                                                                          \
              "tokens of the whole sequence that is asked; rotary positions are stretched by asked_length "  \
              "/ trained_length, by 1 where it is shorter")
static const Dimension rope_scaled_dims[] = {TOKENS,
                                             HEADS,
                                             SIZE("head_width", "dh", "numbers of one head, even"),
                                             COUNT("start", NULL, "position of the first row"),
                                             ROPE_SCALING,
                                             LENGTHS,
                                             DIMENSION_END};
static const Dimension alibi_attention_dims[] = {
    TOKENS,
    KEYS,
    HEADS,
    HEAD_WIDTH,
    COUNT("window", NULL, "keys that a query sees, its own row's included; 0: all up to it"),
    COUNT("prefix", NULL, "first keys, seen by every query whose row is not before them, at no distance"),
    DIMENSION_END};
static const Dimension log_scale_dims[] = {
    TOKENS,
    HEADS,
    HEAD_WIDTH,
    COUNT("start", NULL, "position of the first row"),
    {"trained_length", NULL, 2, SIZE_MOST, 0, NULL, "tokens of the longest sequence of the training", NULL},
    DIMENSION_END};
static const Argument alibi_attention_in[] = {
    {"q", NULL, "tokens heads head_width", NUMBER, "queries, those of the last tokens rows"},
    {"k", NULL, "keys heads head_width", NUMBER, "keys"},
    {"v", NULL, "keys heads head_width", NUMBER, "values"},
    ARGUMENT_END};

static const Equation position_equations[] = {
    {"rope_scaled", "bloc97 2023; Peng et al. 2023, arXiv 2309.00071",
     "s = max(1, asked_length / trained_length), f_i = 10000^(-2i / head_width); rope with the angles\n"
     "(start + t) f_i (none), (start + t) (10000 s^(head_width / (head_width - 2)))^(-2i / head_width) (ntk; "
     "of "
     "head_width 2 as none),\n"
     "or (start + t) ((1 - g) f_i / s + g f_i), g = min(max((r - 1) / 31, 0), 1), r = trained_length f_i / "
     "(2 "
     "pi), y times 0.1 ln(s) + 1 (yarn)",
     rope_scaled_dims, x_heads_in, y_heads_out, rope_scaled_run, NULL},
    {"alibi_attention", "Press et al. 2021, arXiv 2108.12409",
     "(27) window_attention of every head h = 1 .. heads, with m_h (j - p) added to the score that query row "
     "p "
     "gives to row j >= prefix;\n"
     "m_h = 2^(-8h / heads) where heads is a power of two; else with P the next smaller one m_h = 2^(-8h / "
     "P) "
     "for h <= P,\n"
     "then 2^(-8(2(h - P) - 1) / (2P))",
     alibi_attention_dims, alibi_attention_in, y_heads_out, alibi_attention_run, NULL},
    {"log_scale", "Chiang & Cholak 2022, arXiv 2202.12172; Su 2021",
     "y_t = x_t max(1, ln(start + t + 1) / ln(trained_length)): of queries, so that attention over n keys "
     "stays "
     "as sharp",
     log_scale_dims, x_heads_in, y_heads_out, log_scale_run, NULL},
    EQUATION_END};
