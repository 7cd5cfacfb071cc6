/* Sliding-window attention with persistent tokens in front as a whole sequence mixer (eqs 26-27). */
#pragma once
#include "../titans.c"

/* (26) x~ = [p_1 .. p_Np] || x   (27) y = SW-Attn*(x~), the last T rows of it; o = y W_O: x, o (T x D). */
static void mixer_swa_run(const Call *c) {
    Mixing m = mixing_at(c);
    int64_t Np = m.persistent, n = Np + m.T;
    real *x = R_NEW(n * m.D), *y = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, in(c, "persistent"), in(c, "x"), x);
    attention_branch(&m, c, "", n, m.window, Np, x, y);
    project(m.T, m.D, m.D, y + Np * m.D, in(c, "wo"), out(c, "o"));
    free(x);
    free(y);
}

/* Heads of dh numbers, G heads of queries for each of keys: q (T x HK G x dh), k, v (T x HK x dh), y as q; query head h
 * reads the keys of head h / G. */
static void grouped_heads(int64_t T, int64_t HK, int64_t G, int64_t dh, int64_t window, const real *q,
                          const real *k, const real *v, real *y) {
    const int64_t n = T * dh;
    real *q_h = R_NEW(4 * n), *k_h = q_h + n, *v_h = k_h + n, *y_h = v_h + n;
    for (int64_t h = 0; h < HK * G; h++) {
        head_get(T, HK * G, dh, h, q, q_h);
        head_get(T, HK, dh, h / G, k, k_h);
        head_get(T, HK, dh, h / G, v, v_h);
        window_attention(T, T, dh, window, 0, q_h, k_h, v_h, y_h);
        head_put(T, HK * G, dh, h, y_h, y);
    }
    free(q_h);
}

/* Sliding-window attention with fewer heads of keys than of queries and rotary positions of any base (Mistral's layer):
 * x, o (T x D), W_Q (D x H dh), W_K, W_V (D x HK dh), W_O (H dh x D). Parameters: SWA_LAYER_PARAMETERS of the branch. */
static void swa_layer(const Call *c, const char *branch, const real *x, real *o) {
    const int64_t T = dim(c, "tokens"), D = dim(c, "width"), H = dim(c, "heads"), HK = dim(c, "key_heads");
    const int64_t dh = dim(c, "head_width");
    const double base = (double)RE(in(c, "rope_base")[0]);
    real *q = R_NEW(2 * T * H * dh), *y = q + T * H * dh;
    real *k = R_NEW(2 * T * HK * dh), *v = k + T * HK * dh;
    project(T, D, H * dh, x, param(c, branch, "wq"), q);
    project(T, D, HK * dh, x, param(c, branch, "wk"), k);
    project(T, D, HK * dh, x, param(c, branch, "wv"), v);
    rope_of_base(T, H, dh, 0, base, q, q);
    rope_of_base(T, HK, dh, 0, base, k, k);
    grouped_heads(T, HK, H / HK, dh, dim(c, "window"), q, k, v, y);
    project(T, H * dh, D, y, param(c, branch, "wo"), o);
    free(q);
    free(k);
}
static void swa_layer_run(const Call *c) { swa_layer(c, "", in(c, "x"), out(c, "o")); }

static int64_t swa_query_width(const Call *c) { return dim(c, "heads") * dim(c, "head_width"); }
static int64_t swa_key_width(const Call *c) { return dim(c, "key_heads") * dim(c, "head_width"); }
#define SWA_LAYER_SIZES                                                                                      \
    HEADS, SIZE("key_heads", "HK", "heads of keys and values, which divide heads"),                          \
        SIZE("head_width", "dh", "numbers of one head, even"), WINDOW,                                       \
        DERIVED("query_columns", NULL, swa_query_width, "heads head_width"),                                 \
        DERIVED("key_columns", NULL, swa_key_width, "key_heads head_width")
#define SWA_LAYER_PARAMETERS(branch)                                                                         \
    {branch "wq", "Wq", "width query_columns", NUMBER, "W_Q"},                                               \
        {branch "wk", "Wk", "width key_columns", NUMBER, "W_K"},                                             \
        {branch "wv", "Wv", "width key_columns", NUMBER, "W_V"}, {                                           \
        branch "wo", "Wo", "query_columns width", NUMBER, "output map"                                       \
    }
#define ROPE_BASE                                                                                            \
    { "rope_base", NULL, "1", LIMIT, "base of the rotary positions' angles, 10000 elsewhere" }
static const Dimension swa_layer_dims[] = {TOKENS, WIDTH, SWA_LAYER_SIZES, DIMENSION_END};
static const Argument swa_layer_in[] = {MIXER_X, SWA_LAYER_PARAMETERS(""), ROPE_BASE, ARGUMENT_END};
static const Dimension mixer_swa_dims[] = {ROTARY_SIZES, PERSISTENT, WINDOW, POSITIONS, DIMENSION_END};
static const Argument mixer_swa_in[] = {MIXER_X, PERSISTENT_TOKENS, ATTENTION_PARAMETERS("", ""),
                                        SQUARE("wo", "Wo", "output map"), ARGUMENT_END};
static const Equation mixer_swa_equations[] = {
    {"mixer_swa", "eqs 26-27",
     "(26) u = [p_1 .. p_Np] || x   (27) o = window_attention of "
     "u with rotary positions, prefix = persistent,\n"
     "its last rows times W_O; positions=none: without rope; positions=alibi: without rope, alibi_attention",
     mixer_swa_dims, mixer_swa_in, mixer_out, mixer_swa_run, NULL},
    {"swa_layer", "Jiang et al. 2023 (Mistral)",
     "window_attention of every head with rotary positions of base rope_base, head h of the "
     "queries with head h key_heads / heads of the keys,\ntimes W_O",
     swa_layer_dims, swa_layer_in, mixer_out, swa_layer_run, NULL},
    EQUATION_END};
