/* Mamba (Gu and Dao 2023) as a whole sequence mixer: projection, short convolution, selective scan, gate. */
#pragma once
#include "../selective_scan.c"
#include "../titans.c"

/* E numbers in a row, D channels, N numbers of each one's state, R of the step before W_dt, K taps. */
typedef struct Mamba {
    int64_t T, E, D, N, R, K;
} Mamba;

static int64_t mamba_channels(const Call *c) {
    const int64_t inner = dim(c, "inner");
    return inner > 0 ? inner : 2 * dim(c, "width");
}
static int64_t mamba_rank(const Call *c) {
    const int64_t rank = dim(c, "dt_rank");
    return rank > 0 ? rank : (dim(c, "width") + 15) / 16;
}
static int64_t mamba_selected(const Call *c) { return mamba_rank(c) + 2 * dim(c, "state"); }

static Mamba mamba_at(const Call *c) {
    return (Mamba){dim(c, "tokens"), dim(c, "width"), mamba_channels(c),
                   dim(c, "state"),  mamba_rank(c),   dim(c, "taps")};
}

/* y += the bias of that name where the equation has one: y (T x n), bias (n). */
static void mamba_bias(const Call *c, const char *branch, const char *name, int64_t T, int64_t n, real *y) {
    char full[64];
    snprintf(full, sizeof full, "%s%s", branch, name);
    const real *bias = in_if(c, full);
    for (int64_t i = 0; bias && i < T * n; i++) y[i] = y[i] + bias[i % n];
}

/* u = silu(conv(x W_x) + b_conv), and the gate's z = x W_z: u, z (T x D). tail (K x D) or NULL, next (K x D) or NULL:
 * the rows of x W_x before, as in short_conv. */
static void mamba_input(const Mamba *m, const Call *c, const char *branch, const real *x, const real *tail,
                        real *u, real *z, real *next) {
    real *xi = R_NEW(m->T * m->D);
    project(m->T, m->E, m->D, x, param(c, branch, "wx"), xi);
    mamba_bias(c, branch, "b_x", m->T, m->D, xi);
    project(m->T, m->E, m->D, x, param(c, branch, "wz"), z);
    mamba_bias(c, branch, "b_z", m->T, m->D, z);
    short_conv(m->T, m->D, m->K, xi, param(c, branch, "conv"), param(c, branch, "b_conv"), tail, u, next);
    free(xi);
}

/* Columns from .. from + n - 1 of x (T x m) -> y (T x n). */
static void mamba_columns(int64_t T, int64_t m, int64_t from, int64_t n, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++) real_copy(n, x + t * m + from, y + t * n);
}

/* [r | B | C] = u W_select; step before softplus = r W_dt + b_dt: u, step (T x D), B, C (T x N). */
static void mamba_select(const Mamba *m, const Call *c, const char *branch, const real *u, real *step,
                         real *B, real *C) {
    const int64_t n = m->R + 2 * m->N;
    real *selected = R_NEW(m->T * n), *r = R_NEW(m->T * m->R);
    project_exact(m->T, m->D, n, u, param(c, branch, "w_select"), selected);
    mamba_columns(m->T, n, 0, m->R, selected, r);
    mamba_columns(m->T, n, m->R, m->N, selected, B);
    mamba_columns(m->T, n, m->R + m->N, m->N, selected, C);
    project_exact(m->T, m->R, m->D, r, param(c, branch, "w_dt"), step);
    mamba_bias(c, branch, "b_dt", m->T, m->D, step);
    free(selected);
    free(r);
}

/* The scan of u with what it selects, A = -exp(a_log): h (N x D) in place, y (T x D). */
static void mamba_scan(const Mamba *m, const Call *c, const char *branch, const real *u, real *h, real *y) {
    real *step = R_NEW(m->T * m->D), *A = R_NEW(m->N * m->D), *B = R_NEW(m->T * m->N),
         *C = R_NEW(m->T * m->N);
    mamba_select(m, c, branch, u, step, B, C);
    for (int64_t i = 0; i < m->T * m->D; i++) step[i] = softplus(step[i]);
    for (int64_t i = 0; i < m->N * m->D; i++) A[i] = -exp(param(c, branch, "a_log")[i]);
    const Selective s = {m->T, m->D, m->N, 1, u, step, A, B, C, param(c, branch, "skip")};
    selective_scan(&s, h, y);
    free(step);
    free(A);
    free(B);
    free(C);
}

/* o = (scan(u) silu(z)) W_o: x, o (T x E); h (N x D) in place, tail and next as mamba_input takes them. Parameters:
 * MAMBA_PARAMETERS of the branch. */
static void mamba(const Call *c, const char *branch, const real *x, const real *tail, real *h, real *o,
                  real *next) {
    const Mamba m = mamba_at(c);
    real *u = R_NEW(3 * m.T * m.D), *z = u + m.T * m.D, *y = z + m.T * m.D;
    mamba_input(&m, c, branch, x, tail, u, z, next);
    mamba_scan(&m, c, branch, u, h, y);
    swiglu(m.T, m.D, z, y, y);
    project(m.T, m.D, m.E, y, param(c, branch, "wo"), o);
    mamba_bias(c, branch, "b_o", m.T, m.E, o);
    free(u);
}

/* From nothing: zeros before the first token. */
static void mamba_whole(const Call *c, const char *branch, const real *x, real *o) {
    real *h = R_NEW(dim(c, "state") * mamba_channels(c));
    mamba(c, branch, x, NULL, h, o, NULL);
    free(h);
}

static void mixer_mamba_run(const Call *c) { mamba_whole(c, "", in(c, "x"), out(c, "o")); }

static void mamba_layer_run(const Call *c) {
    real_copy(dim(c, "state") * mamba_channels(c), in(c, "state0"), out(c, "state"));
    mamba(c, "", in(c, "x"), in(c, "conv_state0"), out(c, "state"), out(c, "o"), out(c, "conv_state"));
}

#define MAMBA_OPTIONS                                                                                        \
    SCAN_STATE, COUNT("inner", NULL, "channels; 0: 2 width"),                                                \
        COUNT("dt_rank", NULL, "numbers from which the step is made; 0: width / 16, rounded up"), TAPS,      \
        DERIVED("channels", NULL, mamba_channels, "inner, or 2 width"),                                      \
        DERIVED("rank", NULL, mamba_rank, "dt_rank, or width / 16 rounded up")
#define MAMBA_SELECTED DERIVED("selected", NULL, mamba_selected, "rank + 2 state, what u selects")
#define MAMBA_INPUT(branch)                                                                                  \
    {branch "wx", NULL, "width channels", NUMBER, "the scan's input"},                                       \
        {branch "wz", NULL, "width channels", NUMBER, "the gate"},                                           \
        {branch "conv", NULL, "taps channels", NUMBER,                                                       \
         "convolution, row 0 the oldest tap, the last row that of the current token"},                       \
    {                                                                                                        \
        branch "b_conv", NULL, "channels", NUMBER, "its bias"                                                \
    }
#define MAMBA_STEP(branch)                                                                                   \
    {branch "w_dt", NULL, "rank channels", NUMBER, "the step from r"}, {                                     \
        branch "b_dt", NULL, "channels", NUMBER, "its bias"                                                  \
    }
#define MAMBA_OUTPUT(branch)                                                                                 \
    {branch "skip", NULL, "channels", GAIN, "D, what of u is added"}, {                                      \
        branch "wo", NULL, "channels width", NUMBER, "output map"                                            \
    }
#define MAMBA_PARAMETERS(branch)                                                                             \
    MAMBA_INPUT(branch), {branch "w_select", NULL, "channels selected", NUMBER, "columns r | B | C"},        \
        MAMBA_STEP(branch), {branch "a_log", NULL, "state channels", NUMBER, "A = -exp(a_log)"},             \
        MAMBA_OUTPUT(branch)
#define MAMBA_BIASES(branch)                                                                                 \
    {branch "b_x", NULL, "channels", NUMBER, "bias of x W_x"},                                               \
        {branch "b_z", NULL, "channels", NUMBER, "bias of x W_z"}, {                                         \
        branch "b_o", NULL, "width", NUMBER, "bias of the output"                                            \
    }
#define MAMBA_FORMULA                                                                                        \
    "u = silu(conv(x W_x) + b_conv), [r | B | C] = u W_select, y = selective_scan of u with A = "            \
    "-exp(a_log), "                                                                                          \
    "step\n"                                                                                                 \
    "softplus(r W_dt + b_dt), B, C and skip, times silu(x W_z); o = y W_o"

static const Dimension mixer_mamba_dims[] = {TOKENS, WIDTH, MAMBA_OPTIONS, MAMBA_SELECTED, DIMENSION_END};
static const Argument mixer_mamba_in[] = {MIXER_X, MAMBA_PARAMETERS(""), ARGUMENT_END};
static const Argument mamba_layer_in[] = {
    MIXER_X,
    MAMBA_PARAMETERS(""),
    MAMBA_BIASES(""),
    {"conv_state0", NULL, "taps channels", NUMBER, "the last rows of x W_x + b_x before; row 0 is not read"},
    {"state0", NULL, "state channels", NUMBER, "the scan's state before the first token"},
    ARGUMENT_END};
static const Argument mamba_layer_out[] = {
    MIXER_O,
    {"conv_state", NULL, "taps channels", NUMBER, "the last rows of x W_x + b_x, with those before"},
    {"state", NULL, "state channels", NUMBER, "the scan's state after the last token"},
    ARGUMENT_END};

static const Equation mixer_mamba_equations[] = {
    {"mixer_mamba", "Gu and Dao 2023", MAMBA_FORMULA ", zeros before the first token", mixer_mamba_dims,
     mixer_mamba_in, mixer_out, mixer_mamba_run, NULL},
    {"mamba_layer", "Gu and Dao 2023",
     MAMBA_FORMULA " + b_o; biases b_x and b_z where x is projected; states in and out", mixer_mamba_dims,
     mamba_layer_in, mamba_layer_out, mamba_layer_run, NULL},
    EQUATION_END};
