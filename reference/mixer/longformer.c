/* Longformer (Beltagy et al. 2020, arXiv 2004.05150): a sliding window and global tokens. The layer as
 * published, which looks both ways, and a causal mixer, which is ours. */
#pragma once
#include "../sparse.c"

/* A token is global (kind 1), local (0) or padding (-1); rows up to `last` rows ahead of a query are there, of
 * the local ones those from `behind` rows before it to `ahead` rows after it. */
typedef struct LongformerPattern {
    int64_t T, behind, ahead, last;
    const int64_t *kind;
} LongformerPattern;

static int64_t longformer_end(const LongformerPattern *p, int64_t t) {
    return t + p->last < p->T ? t + p->last + 1 : p->T;
}

/* A local query sees the global tokens and, of the local ones, its window. */
static int64_t longformer_local_rows(const void *pattern, int64_t head, int64_t t, int64_t *seen) {
    const LongformerPattern *p = (const LongformerPattern *)pattern;
    int64_t n = 0;
    (void)head;
    for (int64_t s = 0; p->kind[t] == 0 && s < longformer_end(p, t); s++)
        if (p->kind[s] == 1 || (p->kind[s] == 0 && s >= t - p->behind && s <= t + p->ahead)) seen[n++] = s;
    return n;
}

/* A global query sees all that is no padding. */
static int64_t longformer_global_rows(const void *pattern, int64_t head, int64_t t, int64_t *seen) {
    const LongformerPattern *p = (const LongformerPattern *)pattern;
    int64_t n = 0;
    (void)head;
    for (int64_t s = 0; p->kind[t] == 1 && s < longformer_end(p, t); s++)
        if (p->kind[s] >= 0) seen[n++] = s;
    return n;
}

/* Queries, keys and values of one kind of row, each T x D. */
typedef struct LongformerRows {
    real *q, *k, *v;
} LongformerRows;

static LongformerRows longformer_rows_new(int64_t n) {
    LongformerRows rows = {R_NEW(n), R_NEW(n), R_NEW(n)};
    return rows;
}

static void longformer_rows_free(const LongformerRows *rows) {
    free(rows->q);
    free(rows->k);
    free(rows->v);
}

/* Local rows attend with the local projections, global ones with their own; padding gives zeros: y (T x D). */
static void longformer_heads(int64_t H, int64_t dh, const LongformerPattern *p, const LongformerRows *local,
                             const LongformerRows *global, real *y) {
    for (int64_t i = 0; i < p->T * H * dh; i++) y[i] = 0;
    attend_pattern(p->T, H, dh, p->T, longformer_local_rows, p, local->q, local->k, local->v, y);
    attend_pattern(p->T, H, dh, p->T, longformer_global_rows, p, global->q, global->k, global->v, y);
}

/* ---- as published ------------------------------------------------------------------------------------------- */

static void longformer_layer_project(const Call *c, const char *names, const LongformerRows *rows) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width");
    real *const to[] = {rows->q, rows->k, rows->v};
    for (int i = 0; i < 3; i++) {
        char weight[32], bias[32];
        snprintf(weight, sizeof weight, "w%c%s", "qkv"[i], names);
        snprintf(bias, sizeof bias, "b%c%s", "qkv"[i], names);
        project_shifted(T, D, D, in(c, "x"), in(c, weight), in(c, bias), to[i]);
    }
}

static void longformer_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width"), half = dim(c, "window") / 2, *kind = rows_new(T);
    LongformerRows local = longformer_rows_new(T * D), global = longformer_rows_new(T * D);
    for (int64_t t = 0; t < T; t++) {
        real given = in(c, "kind")[t];
        kind[t] = RE(given) > 0.5 ? 1 : RE(given) < -0.5 ? -1 : 0;
    }
    LongformerPattern p = {T, half, half, T, kind};
    longformer_layer_project(c, "", &local);
    longformer_layer_project(c, "_global", &global);
    longformer_heads(dim(c, "heads"), dim(c, "head_width"), &p, &local, &global, out(c, "o"));
    longformer_rows_free(&local);
    longformer_rows_free(&global);
    free(kind);
}

/* ---- causal ------------------------------------------------------------------------------------------------- */

static void longformer_project(const Call *c, const Mixing *m, const char *names,
                               const LongformerRows *rows) {
    real *const to[] = {rows->q, rows->k, rows->v};
    for (int i = 0; i < 3; i++) {
        char weight[32];
        snprintf(weight, sizeof weight, "w%c%s", "qkv"[i], names);
        project(m->T, m->D, m->D, in(c, "x"), in(c, weight), to[i]);
        if (i < 2) rope(m->T, m->H, m->dh, 0, to[i], to[i]);
    }
}

static void mixer_longformer_run(const Call *c) {
    Mixing m = mixing_at(c);
    int64_t n = m.T * m.D, globals = dim(c, "globals"), *kind = rows_new(m.T);
    LongformerRows local = longformer_rows_new(n), global = longformer_rows_new(n);
    real *y = R_NEW(n);
    for (int64_t t = 0; t < m.T; t++) kind[t] = t < globals;
    LongformerPattern p = {m.T, m.window > 0 ? m.window - 1 : m.T, 0, 0, kind};
    longformer_project(c, &m, "", &local);
    if (globals > 0) longformer_project(c, &m, "_global", &global);
    longformer_heads(m.H, m.dh, &p, &local, &global, y);
    project(m.T, m.D, m.D, y, in(c, "wo"), out(c, "o"));
    longformer_rows_free(&local);
    longformer_rows_free(&global);
    free(kind);
    free(y);
}

static int64_t longformer_global_width(const Call *c) { return dim(c, "globals") > 0 ? dim(c, "width") : 0; }

static const Dimension longformer_layer_dims[] = {
    MIXER_SIZES, COUNT("window", NULL, "window / 2 rows to either side are seen"), DIMENSION_END};
#define LONGFORMER_BIAS(name, meaning)                                                                       \
    { name, NULL, "width", NUMBER, meaning }
static const Argument longformer_layer_in[] = {
    MIXER_X,
    {"kind", NULL, "tokens", NUMBER, "of every row: 1 global, 0 local, -1 padding"},
    SQUARE("wq", NULL, "queries of local rows"),
    LONGFORMER_BIAS("bq", "their bias"),
    SQUARE("wk", NULL, "keys for local rows"),
    LONGFORMER_BIAS("bk", "their bias"),
    SQUARE("wv", NULL, "values for local rows"),
    LONGFORMER_BIAS("bv", "their bias"),
    SQUARE("wq_global", NULL, "queries of global rows"),
    LONGFORMER_BIAS("bq_global", "their bias"),
    SQUARE("wk_global", NULL, "keys for global rows"),
    LONGFORMER_BIAS("bk_global", "their bias"),
    SQUARE("wv_global", NULL, "values for global rows"),
    LONGFORMER_BIAS("bv_global", "their bias"),
    ARGUMENT_END};

#define GLOBAL_PARAMETER(name, meaning)                                                                      \
    { name, NULL, "global_width width", NUMBER, meaning }
static const Dimension mixer_longformer_dims[] = {
    ROTARY_SIZES, WINDOW, COUNT("globals", "g", "first tokens, which are global"),
    DERIVED("global_width", NULL, longformer_global_width, "width, or 0 without global tokens"),
    DIMENSION_END};
static const Argument mixer_longformer_in[] = {MIXER_X,
                                               ATTENTION_PARAMETERS("", ""),
                                               GLOBAL_PARAMETER("wq_global", "queries of global rows"),
                                               GLOBAL_PARAMETER("wk_global", "keys for global rows"),
                                               GLOBAL_PARAMETER("wv_global", "values for global rows"),
                                               SQUARE("wo", "Wo", "output map"),
                                               ARGUMENT_END};

static const Equation mixer_longformer_equations[] = {
    {"mixer_longformer", "Longformer (2004.05150), ours, causal",
     "row i >= globals: attention (eq 2) of q = rope(x W_Q), k = rope(x W_K), v = x W_V to the rows j <= i "
     "with j < globals or j > i - window (window 0: to all);\n"
     "row i < globals: the same with W_global to all rows j <= i;\n"
     "o = all heads times W_O, positions from 0 on",
     mixer_longformer_dims, mixer_longformer_in, mixer_out, mixer_longformer_run, NULL},
    {"longformer_layer", "Longformer (2004.05150), not causal",
     "q = x W_Q + b_Q, k = x W_K + b_K, v = x W_V + b_V, scale 1 / sqrt(head_width) per head;\n"
     "local row t: attention to all global rows (of any distance) and the local rows s with |t - s| <= "
     "window / "
     "2;\n"
     "global row: attention to all rows but padding, everything from the _global maps; padding row: 0",
     longformer_layer_dims, longformer_layer_in, mixer_out, longformer_layer_run, NULL},
    EQUATION_END};
