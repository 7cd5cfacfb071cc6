/* Causal multi-head attention with rotary positions as a whole sequence mixer (eqs 1-2). */
#pragma once
#include "../attention.c"

/* Channels of head h: x (T x H x dh) -> y (T x dh). */
static void head_get(int64_t T, int64_t H, int64_t dh, int64_t h, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++) real_copy(dh, x + (t * H + h) * dh, y + t * dh);
}

/* The reverse: y (T x dh) -> head h of x (T x H x dh). */
static void head_put(int64_t T, int64_t H, int64_t dh, int64_t h, const real *y, real *x) {
    for (int64_t t = 0; t < T; t++) real_copy(dh, y + t * dh, x + (t * H + h) * dh);
}

/* (2) for H heads side by side: q, k, v, y (T x H x dh). */
static void attention_heads(int64_t T, int64_t H, int64_t dh, const real *q, const real *k, const real *v,
                            real *y) {
    real *q_h = R_NEW(T * dh), *k_h = R_NEW(T * dh), *v_h = R_NEW(T * dh), *y_h = R_NEW(T * dh);
    for (int64_t h = 0; h < H; h++) {
        head_get(T, H, dh, h, q, q_h);
        head_get(T, H, dh, h, k, k_h);
        head_get(T, H, dh, h, v, v_h);
        attention(T, T, dh, q_h, k_h, v_h, y_h);
        head_put(T, H, dh, h, y_h, y);
    }
    free(q_h);
    free(k_h);
    free(v_h);
    free(y_h);
}

/* o = [attention(rope(x W_Q), rope(x W_K), x W_V) of every head] W_O, positions from 0:
 * x, o (T x D), W (D x D), D = H dh. dims T D H; in x Wq Wk Wv Wo; out o. */
static void mixer_attention_run(const int64_t *dims, const void *const *in, void *const *out) {
    int64_t T = dims[0], D = dims[1], H = dims[2], dh = D / H;
    real *q = R_NEW(T * D), *k = R_NEW(T * D), *v = R_NEW(T * D), *y = R_NEW(T * D);
    project(T, D, D, IN(0), IN(1), q);
    project(T, D, D, IN(0), IN(2), k);
    project(T, D, D, IN(0), IN(3), v);
    rope(T, H, dh, 0, q, q);
    rope(T, H, dh, 0, k, k);
    attention_heads(T, H, dh, q, k, v, y);
    project(T, D, D, y, IN(4), OUT(0));
    free(q);
    free(k);
    free(v);
    free(y);
}

static void mixer_attention_shape(const int64_t *dims, int64_t *in, int64_t *out) {
    in[0] = out[0] = dims[0] * dims[1];
    in[1] = in[2] = in[3] = in[4] = dims[1] * dims[1];
}

static const Equation mixer_attention_equations[] = {{"mixer_attention", "eqs 1-2, rotary positions", "T D H",
                                                      "x Wq Wk Wv Wo", "o", mixer_attention_shape,
                                                      mixer_attention_run},
                                                     EQUATION_END};
