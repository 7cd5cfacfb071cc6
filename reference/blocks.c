/* What published layers put around attention and the paper does not: norms with their own eps, gain and bias, and the
 * exact GELU. Tokens are rows. */
#pragma once
#include "layers.c"

/* erf(x) of 0 <= x < 2: 2/sqrt(pi) x e^(-x^2) sum_n (2 x^2)^n / (3 5 .. (2n+1)), terms of one sign, summed from the
 * smallest inwards. */
static real erf_series(real x) {
    real sum = 1, square = x * x;
    for (int64_t n = 60; n > 0; n--) sum = 1 + square * 2 / (real)(2 * n + 1) * sum;
    return R(1.1283791670955126) * x * exp(-square) * sum;
}

/* 1 - erf(x) of x >= 2: e^(-x^2) / sqrt(pi) / (x + 1/2 / (x + 2/2 / (x + 3/2 / ..))). */
static real erf_rest(real x) {
    real below = x;
    for (int64_t n = 240; n > 0; n--) below = x + (real)n / (2 * below);
    return R(0.56418958354775629) * exp(-x * x) / below;
}

static real error_function(real x) {
    const real size = RE(x) < 0 ? -x : x, erf = RE(size) < 2 ? erf_series(size) : 1 - erf_rest(size);
    return RE(x) < 0 ? -erf : erf;
}

/* x Phi(x), Phi the normal distribution. */
static real gelu_exact(real x) { return x * (1 + error_function(x * R(0.70710678118654752))) / 2; }

/* y = (x - mean x) / sqrt(mean (x - mean x)^2 + eps) gain + bias, per row: x, y (T x d), gain, bias (d), bias may be
 * NULL. */
static void affine_norm(int64_t T, int64_t d, real eps, const real *x, const real *gain, const real *bias,
                        real *y) {
    group_norm(T, d, 1, eps, x, y);
    for (int64_t i = 0; i < T * d; i++) y[i] = y[i] * gain[i % d] + (bias ? bias[i % d] : R(0));
}

/* y = x / sqrt(mean x^2 + eps) gain, per row: x, y (T x d), gain (d). */
static void root_norm(int64_t T, int64_t d, real eps, const real *x, const real *gain, real *y) {
    group_norm(T, d, 0, eps, x, y);
    for (int64_t i = 0; i < T * d; i++) y[i] = y[i] * gain[i % d];
}

/* y = x W + b: x (T x n), W (n x m), b (m), y (T x m). */
static void project_biased(int64_t T, int64_t n, int64_t m, const real *x, const real *W, const real *b,
                           real *y) {
    project(T, n, m, x, W, y);
    for (int64_t i = 0; i < T * m; i++) y[i] += b[i % m];
}

static void gelu_exact_run(const Call *c) {
    for (int64_t i = 0; i < dim(c, "n"); i++) out(c, "y")[i] = gelu_exact(in(c, "x")[i]);
}
static const Argument gelu_exact_out[] = {{"y", NULL, "n", NUMBER, "gelu of each"}, ARGUMENT_END};

static void affine_norm_run(const Call *c) {
    affine_norm(dim(c, "tokens"), dim(c, "width"), in(c, "eps")[0], in(c, "x"), in(c, "gain"), in(c, "bias"),
                out(c, "y"));
}
#define NORM_EPS                                                                                             \
    { "eps", NULL, "1", LIMIT, "added to the mean square under the root" }
static const Argument affine_norm_in[] = {{"x", NULL, "tokens width", NUMBER, "rows"},
                                          {"gain", NULL, "width", GAIN, "factor of every column"},
                                          {"bias", NULL, "width", NUMBER, "added to every column"},
                                          NORM_EPS,
                                          ARGUMENT_END};

static const Equation blocks_equations[] = {
    {"gelu_exact", "Hendrycks and Gimpel 2016", "y = x (1 + erf(x / sqrt 2)) / 2", silu_dims, silu_in,
     gelu_exact_out, gelu_exact_run, NULL},
    {"affine_norm", "Ba et al. 2016, layer norm",
     "y = (x - mean x) / sqrt(mean (x - mean x)^2 + eps) gain + bias, every row by itself", norm_dims,
     affine_norm_in, y_out, affine_norm_run, NULL},
    EQUATION_END};
