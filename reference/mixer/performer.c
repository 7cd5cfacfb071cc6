/* Performer: linear attention over positive random features. The published layer, and as a sequence mixer the
 * causal form (ours), whose features are named by a seed. */
#pragma once
#include "../favor.c"

/* y = x W + b: x (T x n), W (n x m), b (m), y (T x m). */
static void performer_map(int64_t T, int64_t n, int64_t m, const real *x, const real *W, const real *b,
                          real *y) {
    project(T, n, m, x, W, y);
    for (int64_t i = 0; i < T * m; i++) y[i] = y[i] + b[i % m];
}

/* o = [favor of every head: q = x W_Q + b_Q, k = x W_K + b_K, v = x W_V + b_V] W_O + b_O. */
static void performer_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width"), H = dim(c, "heads"), d = dim(c, "head_width"),
            n = H * d;
    Favor f = favor_at(c, d, dim(c, "causal"));
    real *q = R_NEW(4 * T * n), *k = q + T * n, *v = k + T * n, *y = v + T * n;
    performer_map(T, D, n, in(c, "x"), in(c, "wq"), in(c, "bq"), q);
    performer_map(T, D, n, in(c, "x"), in(c, "wk"), in(c, "bk"), k);
    performer_map(T, D, n, in(c, "x"), in(c, "wv"), in(c, "bv"), v);
    favor_heads(&f, FAVOR_PUBLISHED, H, q, k, v, in(c, "projection"), NULL, y);
    performer_map(T, n, D, y, in(c, "wo"), in(c, "bo"), out(c, "o"));
    free(q);
}

/* o = [favor_running of every head: q = x W_Q, k = x W_K, v = x W_V] W_O: x, o (T x D), W (D x D). */
static void mixer_performer_run(const Call *c) {
    Mixing m = mixing_at(c);
    Favor f = favor_at(c, m.dh, 1);
    int64_t n = m.T * m.D;
    real *q = R_NEW(4 * n), *k = q + n, *v = k + n, *y = v + n, *P = R_NEW(f.M * f.d);
    normals_orthogonal(f.M, f.d, dim(c, "feature_seed"), P);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wq"), q);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wk"), k);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wv"), v);
    favor_heads(&f, FAVOR_RUNNING, m.H, q, k, v, P, NULL, y);
    project(m.T, m.D, m.D, y, in(c, "wo"), out(c, "o"));
    free(q);
    free(P);
}

static const Dimension performer_layer_dims[] = {TOKENS,          WIDTH,        HEADS,        HEAD_WIDTH,
                                                 RANDOM_FEATURES, FAVOR_KERNEL, FAVOR_CAUSAL, DIMENSION_END};
#define PERFORMER_MAP(letter, meaning)                                                                       \
    {"w" letter, NULL, "width heads head_width", NUMBER, meaning}, {                                         \
        "b" letter, NULL, "heads head_width", NUMBER, "its bias"                                             \
    }
static const Argument performer_layer_in[] = {MIXER_X,
                                              FAVOR_PROJECTION,
                                              PERFORMER_MAP("q", "W_Q"),
                                              PERFORMER_MAP("k", "W_K"),
                                              PERFORMER_MAP("v", "W_V"),
                                              {"wo", NULL, "heads head_width width", NUMBER, "output map"},
                                              {"bo", NULL, "width", NUMBER, "its bias"},
                                              ARGUMENT_END};

static const Dimension mixer_performer_dims[] = {
    MIXER_SIZES, RANDOM_FEATURES, FAVOR_KERNEL,
    COUNT("feature_seed", NULL, "names the random features: the same for every layer and head"),
    DIMENSION_END};
static const Argument mixer_performer_in[] = {MIXER_X, ATTENTION_PARAMETERS("", ""),
                                              SQUARE("wo", "Wo", "output map"), ARGUMENT_END};
static const Equation mixer_performer_equations[] = {
    {"performer_layer", "Choromanski et al. 2009.14794, as in performer-pytorch 1.1.4",
     "o = [favor of every head: q = x W_Q + b_Q, k = x W_K + b_K, v = x W_V + b_V] W_O + b_O",
     performer_layer_dims, performer_layer_in, mixer_out, performer_layer_run, NULL},
    {"mixer_performer", "Choromanski et al. 2009.14794 (ours, causal)",
     "o = [favor_running of every head: q = x W_Q, k = x W_K, v = x W_V] W_O;\n"
     "projection: row by row random_features x head_width normal numbers, sqrt(-2 log(1 - u)) cos(2 pi w), "
     "u, w in turn from splitmix64 of state feature_seed,\n"
     "(z >> 11) 2^-53; every row minus its parts along those before it in its block of head_width rows, "
     "one after the other and in double, and then as long as it was",
     mixer_performer_dims, mixer_performer_in, mixer_out, mixer_performer_run, NULL},
    EQUATION_END};
