/* Linformer (Wang et al. 2020, arXiv 2006.04768): keys and values compressed along the sequence. The layer as
 * published, in which every token sees all, and a causal mixer by segments, which is ours. */
#pragma once
#include "../titans.c"

/* slot_j = sum_c P[c][j] x_c: P (its first n rows, n x k), x (n x d), slots (k x d). */
static void linformer_compress(int64_t n, int64_t k, int64_t d, const real *P, const real *x, real *slots) {
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < d; i++) {
            real sum = 0;
            for (int64_t c = 0; c < n; c++) sum += P[c * k + j] * x[c * d + i];
            slots[j * d + i] = sum;
        }
}

/* One query of every head to the n rows of k and v, which have `shared` 1 head for all or one each: q, y (H x dh). */
static void linformer_read(int64_t H, int64_t dh, int64_t n, int64_t shared, const real *q, const real *k,
                           const real *v, real *y) {
    int64_t *seen = rows_new(n), heads = shared ? 1 : H;
    real *k_h = R_NEW(n * dh), *v_h = R_NEW(n * dh);
    for (int64_t j = 0; j < n; j++) seen[j] = j;
    for (int64_t h = 0; h < H; h++) {
        head_get(n, heads, dh, shared ? 0 : h, k, k_h);
        head_get(n, heads, dh, shared ? 0 : h, v, v_h);
        attend(dh, n, seen, q + h * dh, k_h, v_h, y + h * dh);
    }
    free(seen);
    free(k_h);
    free(v_h);
}

/* ---- as published ------------------------------------------------------------------------------------------- */

static int64_t linformer_inner(const Call *c) { return dim(c, "heads") * dim(c, "head_width"); }
static int64_t linformer_key_columns(const Call *c) {
    return dim(c, "one_kv_head") ? dim(c, "head_width") : linformer_inner(c);
}
static int64_t linformer_value_columns(const Call *c) {
    return dim(c, "share_kv") ? 0 : linformer_key_columns(c);
}
static int64_t linformer_value_slots(const Call *c) { return dim(c, "share_kv") ? 0 : dim(c, "slots"); }

static void linformer_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width"), H = dim(c, "heads"), dh = dim(c, "head_width");
    int64_t R = dim(c, "slots"), inner = linformer_inner(c), n = linformer_key_columns(c);
    int64_t shared = dim(c, "share_kv"), one = dim(c, "one_kv_head");
    real *q = R_NEW(T * inner), *rows = R_NEW(T * n), *k = R_NEW(R * n), *v = R_NEW(R * n);
    real *y = R_NEW(T * inner);
    project(T, D, inner, in(c, "x"), in(c, "wq"), q);
    project(T, D, n, in(c, "x"), in(c, "wk"), rows);
    linformer_compress(T, R, n, in(c, "compress_k"), rows, k);
    if (!shared) project(T, D, n, in(c, "x"), in(c, "wv"), rows);
    linformer_compress(T, R, n, in(c, shared ? "compress_k" : "compress_v"), rows, v);
    for (int64_t t = 0; t < T; t++) linformer_read(H, dh, R, one, q + t * inner, k, v, y + t * inner);
    project(T, inner, D, y, in(c, "wo"), out(c, "o"));
    for (int64_t i = 0; i < T * D; i++) out(c, "o")[i] = out(c, "o")[i] + in(c, "bo")[i % D];
    free(q);
    free(rows);
    free(k);
    free(v);
    free(y);
}

/* ---- causal, by segments ------------------------------------------------------------------------------------ */

/* Token t of segment s sees k slots of every segment before it and the rows of its own up to itself: keys or values
 * x (T x D) -> seen ((s k + t - s C + 1) x D), P (C x k). Returns how many. */
static int64_t linformer_seen(int64_t t, int64_t C, int64_t k, int64_t D, const real *P, const real *x,
                              real *seen) {
    int64_t s = t / C, own = t - s * C + 1;
    for (int64_t i = 0; i < s; i++) linformer_compress(C, k, D, P, x + i * C * D, seen + i * k * D);
    real_copy(own * D, x + s * C * D, seen + s * k * D);
    return s * k + own;
}

static void mixer_linformer_run(const Call *c) {
    Mixing m = mixing_at(c);
    int64_t C = m.segment, slots = dim(c, "slots"), n = m.T * m.D, most = m.T / C * slots + C;
    real *q = R_NEW(n), *k = R_NEW(n), *v = R_NEW(n), *y = R_NEW(n);
    real *keys = R_NEW(most * m.D), *values = R_NEW(most * m.D);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wq"), q);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wk"), k);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wv"), v);
    rope(m.T, m.H, m.dh, 0, q, q);
    rope(m.T, m.H, m.dh, 0, k, k);
    for (int64_t t = 0; t < m.T; t++) {
        linformer_seen(t, C, slots, m.D, in(c, "compress_k"), k, keys);
        int64_t count = linformer_seen(t, C, slots, m.D, in(c, "compress_v"), v, values);
        linformer_read(m.H, m.dh, count, 0, q + t * m.D, keys, values, y + t * m.D);
    }
    project(m.T, m.D, m.D, y, in(c, "wo"), out(c, "o"));
    free(q);
    free(k);
    free(v);
    free(y);
    free(keys);
    free(values);
}

static const Dimension linformer_layer_dims[] = {
    TOKENS,
    WIDTH,
    HEADS,
    HEAD_WIDTH,
    SIZE("length", "N", "rows of the compression, at least tokens; the first tokens ones are used"),
    SIZE("slots", "R", "rows that keys and values are compressed to"),
    SWITCH("one_kv_head", NULL, 0, "1: keys and values have one head for all"),
    SWITCH("share_kv", NULL, 0, "1: values are the keys, compressed alike"),
    DERIVED("inner", NULL, linformer_inner, "heads head_width"),
    DERIVED("key_columns", NULL, linformer_key_columns, "inner, or head_width if one_kv_head"),
    DERIVED("value_columns", NULL, linformer_value_columns, "key_columns, or 0 if share_kv"),
    DERIVED("value_slots", NULL, linformer_value_slots, "slots, or 0 if share_kv"),
    DIMENSION_END};
static const Argument linformer_layer_in[] = {
    MIXER_X,
    {"wq", NULL, "width inner", NUMBER, "queries"},
    {"wk", NULL, "width key_columns", NUMBER, "keys"},
    {"wv", NULL, "width value_columns", NUMBER, "values"},
    {"compress_k", "E", "length slots", NUMBER, "weight of every row's key in every slot"},
    {"compress_v", "F", "length value_slots", NUMBER, "weight of every row's value in every slot"},
    {"wo", NULL, "inner width", NUMBER, "output map"},
    {"bo", NULL, "width", NUMBER, "its bias"},
    ARGUMENT_END};

static const Dimension mixer_linformer_dims[] = {
    ROTARY_SIZES, SIZE("segment", "C", "tokens of a segment, compressed when it is over"),
    SIZE("slots", "k", "keys and values that a segment is compressed to"), DIMENSION_END};
static const Argument mixer_linformer_in[] = {
    MIXER_X,
    ATTENTION_PARAMETERS("", ""),
    {"compress_k", "E", "segment slots", NUMBER, "weight of every token's key in every slot"},
    {"compress_v", "F", "segment slots", NUMBER, "weight of every token's value in every slot"},
    SQUARE("wo", "Wo", "output map"),
    ARGUMENT_END};

static const Equation mixer_linformer_equations[] = {
    {"mixer_linformer", "Linformer (2006.04768), ours, causal",
     "q = rope(x W_Q), k = rope(x W_K), v = x W_V, positions from 0 on; token t of segment s = t / segment "
     "attends (eq 2, one softmax) to\n"
     "slots sum_c compress_k[c][j] k_{i segment + c} with values sum_c compress_v[c][j] v_{i segment + c} of "
     "every segment i < s,\n"
     "and to the keys and values of its own segment up to t; o = all heads times W_O",
     mixer_linformer_dims, mixer_linformer_in, mixer_out, mixer_linformer_run, NULL},
    {"linformer_layer", "Linformer (2006.04768), not causal",
     "q = x W_Q, k = x W_K, v = x W_V (share_kv: v = k, compress_v = compress_k); k'_j = sum_t "
     "compress_k[t][j] k_t,\n"
     "v'_j = sum_t compress_v[t][j] v_t; o = [attention of every head of q_t to k', v', scale 1 / "
     "sqrt(head_width)] W_O + b_O",
     linformer_layer_dims, linformer_layer_in, mixer_out, linformer_layer_run, NULL},
    EQUATION_END};
