/* Scans with one decay for every channel and number of the state: Mamba's selective scan (Gu and Dao 2023) and
 * Longhorn's as released (Liu et al. 2024), whose decay is the diagonal of (35)'s I - delta k k'. A state is (N x D):
 * row n holds the n-th number of every channel. */
#pragma once
#include "layers.c"

/* T tokens of D channels in G groups of D / G: u, step (T x D), A (N x D), B, C (T x G x N), skip (D). */
typedef struct Selective {
    int64_t T, D, N, G;
    const real *u, *step, *A, *B, *C, *skip;
} Selective;

/* h_t,n,d = exp(step_t,d A_n,d) h_{t-1},n,d + step_t,d B_t,g,n u_t,d,  y_t,d = sum_n C_t,g,n h_t,n,d + skip_d u_t,d,
 * g the group of channel d: h (N x D) in place, y (T x D). */
static void selective_scan(const Selective *x, real *h, real *y) {
    for (int64_t t = 0; t < x->T; t++)
        for (int64_t d = 0; d < x->D; d++) {
            const int64_t at = t * x->D + d, g = d / (x->D / x->G), row = (t * x->G + g) * x->N;
            real sum = 0;
            for (int64_t n = 0; n < x->N; n++) {
                real *s = h + n * x->D + d;
                *s = exp(x->step[at] * x->A[n * x->D + d]) * *s + x->step[at] * x->u[at] * x->B[row + n];
                sum += x->C[row + n] * *s;
            }
            y[at] = sum + x->skip[d] * x->u[at];
        }
}

/* The step of Longhorn's implicit update, beta / (1 + beta k.k) with beta = sigma(z), as 1 / (1 + exp(-z) + k.k): z is a
 * channel's, k (N) the token's. Where exp would overflow, both sides are multiplied by beta. */
static real longhorn_step(real z, int64_t N, const real *k) {
    real square = 0, beta = sigmoid(z);
    for (int64_t n = 0; n < N; n++) square += k[n] * k[n];
    return RE(z) < 0 ? beta / (1 + beta * square) : 1 / (1 + exp(-z) + square);
}

/* h_t,n,d = (1 - step_t,d k_t,n^2) h_{t-1},n,d + step_t,d k_t,n u_t,d,  y_t,d = sum_n q_t,n h_t,n,d + skip_d u_t,d:
 * u, step (T x D), k, q (T x N), h (N x D) in place, y (T x D). */
static void longhorn_scan(int64_t T, int64_t D, int64_t N, const real *u, const real *step, const real *k,
                          const real *q, const real *skip, real *h, real *y) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t d = 0; d < D; d++) {
            const int64_t at = t * D + d;
            real sum = 0;
            for (int64_t n = 0; n < N; n++) {
                const real key = k[t * N + n];
                real *s = h + n * D + d;
                *s = (1 - step[at] * (key * key)) * *s + step[at] * u[at] * key;
                sum += q[t * N + n] * *s;
            }
            y[at] = sum + skip[d] * u[at];
        }
}

/* y silu(z) in place where there is a gate. */
static void scan_gate(const Call *c, int64_t n, real *y) {
    if (dim(c, "gated")) swiglu(1, n, in(c, "z"), y, y);
}

static void selective_scan_run(const Call *c) {
    const int64_t T = dim(c, "tokens"), D = dim(c, "channels"), N = dim(c, "state");
    real *step = R_NEW(T * D);
    for (int64_t i = 0; i < T * D; i++) {
        step[i] = in(c, "delta")[i] + in(c, "delta_bias")[i % D];
        if (dim(c, "softplus")) step[i] = softplus(step[i]);
    }
    const Selective x = {T,    D,          N,          dim(c, "groups"), in(c, "u"),
                         step, in(c, "A"), in(c, "B"), in(c, "C"),       in(c, "skip")};
    real_copy(N * D, in(c, "state0"), out(c, "state"));
    selective_scan(&x, out(c, "state"), out(c, "y"));
    scan_gate(c, T * D, out(c, "y"));
    free(step);
}

static void longhorn_scan_run(const Call *c) {
    const int64_t T = dim(c, "tokens"), D = dim(c, "channels"), N = dim(c, "state");
    real *step = R_NEW(T * D);
    for (int64_t i = 0; i < T * D; i++)
        step[i] = longhorn_step(in(c, "delta")[i] + in(c, "delta_bias")[i % D], N, in(c, "k") + i / D * N);
    real_copy(N * D, in(c, "state0"), out(c, "state"));
    longhorn_scan(T, D, N, in(c, "u"), step, in(c, "k"), in(c, "q"), in(c, "skip"), out(c, "state"),
                  out(c, "y"));
    scan_gate(c, T * D, out(c, "y"));
    free(step);
}

#define CHANNELS SIZE("channels", "D", "channels, each with a state of its own")
#define SCAN_STATE SIZE("state", "N", "numbers of the state of a channel")
#define SCAN_GATED SWITCH("gated", NULL, 0, "1: y is multiplied by silu(z)")
#define SCAN_STEP                                                                                            \
    {"delta", NULL, "tokens channels", NUMBER, "the step before its bias"}, {                                \
        "delta_bias", NULL, "channels", NUMBER, "added to delta"                                             \
    }
#define SCAN_ENDS                                                                                            \
    {"skip", "D", "channels", NUMBER, "what of u is added to y"},                                            \
        {"z", NULL, "tokens channels", NUMBER, "the gate before silu; read if gated"}, {                     \
        "state0", NULL, "state channels", NUMBER, "the state before the first token"                         \
    }
static const Dimension selective_scan_dims[] = {
    TOKENS,
    CHANNELS,
    SCAN_STATE,
    {"groups", "G", 1, SIZE_MOST, 1, NULL, "groups of channels in a row that share B and C", NULL},
    SWITCH("softplus", NULL, 0, "1: the step is softplus(delta + delta_bias), else delta + delta_bias"),
    SCAN_GATED,
    DIMENSION_END};
static const Dimension longhorn_scan_dims[] = {TOKENS, CHANNELS, SCAN_STATE, SCAN_GATED, DIMENSION_END};
static const Argument selective_scan_in[] = {
    {"u", NULL, "tokens channels", NUMBER, "rows"},
    SCAN_STEP,
    {"A", NULL, "state channels", NUMBER, "rates, negative where a state fades"},
    {"B", NULL, "tokens groups state", NUMBER, "how u enters the state"},
    {"C", NULL, "tokens groups state", NUMBER, "how the state is read"},
    SCAN_ENDS,
    ARGUMENT_END};
static const Argument longhorn_scan_in[] = {{"u", NULL, "tokens channels", NUMBER, "rows, the values"},
                                            SCAN_STEP,
                                            {"k", NULL, "tokens state", NUMBER, "keys, of all channels"},
                                            {"q", NULL, "tokens state", NUMBER, "queries, of all channels"},
                                            SCAN_ENDS,
                                            ARGUMENT_END};
static const Argument scan_out[] = {
    {"y", "out", "tokens channels", NUMBER, "rows"},
    {"state", NULL, "state channels", NUMBER, "the state after the last token"},
    ARGUMENT_END};

static const Equation selective_scan_equations[] = {
    {"selective_scan", "Gu and Dao 2023, algorithm 2",
     "s = delta + delta_bias, softplus: s = log(1 + exp(s)); per channel: h_t = exp(s_t A) h_{t-1} + s_t B_t "
     "u_t,\n"
     "y_t = C_t.h_t + skip u_t, gated: times silu(z_t); B and C are those of the channel's group",
     selective_scan_dims, selective_scan_in, scan_out, selective_scan_run, NULL},
    {"longhorn_scan", "Liu et al. 2024, algorithm 1; the diagonal of eq 35",
     "s_t = beta / (1 + beta |k_t|^2), beta = sigma(delta_t + delta_bias); per channel: h_t = (1 - s_t "
     "k_t^2) "
     "h_{t-1} + s_t k_t u_t,\n"
     "the square number by number, y_t = q_t.h_t + skip u_t, gated: times silu(z_t)",
     longhorn_scan_dims, longhorn_scan_in, scan_out, longhorn_scan_run, NULL},
    EQUATION_END};
