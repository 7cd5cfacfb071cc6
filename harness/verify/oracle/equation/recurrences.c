/* The recurrences and the small functions of the relatives of Titans, from their published equations. */
#include "oracle/oracle.h"
#include "oracle/layers.h"
#include "oracle/recurrence.h"

#include <math.h>

static Quad *take(const OracleCall *c, const char *name, int64_t n) { return quads_from(in(c, name), n); }

static Quad *take_state(const OracleCall *c, const char *name, const Heads *h) {
    return take(c, name, h->heads * h->K * h->V);
}

/* Runs the heads and hands out both results. */
static void give(const OracleCall *c, const Heads *h) {
    Quad *state = quads(h->heads * h->K * h->V);
    quads_to(out(c, "o"), heads_read(h, state), h->tokens * h->heads * h->V);
    quads_to(out(c, "state"), state, h->heads * h->K * h->V);
}

static Quad *exponentials(Quad *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = quad_exp(x[i]);
    return x;
}

/* How many numbers there are per head: 0, 1 or all. */
static int64_t columns(const OracleCall *c, const char *name, int64_t all) {
    const int64_t choice = size(c, name);
    return choice == 2 ? all : choice;
}

static void general_delta_rule(const OracleCall *c) {
    Heads h = {.tokens = size(c, "tokens"),
               .heads = size(c, "heads"),
               .key_heads = size(c, "key_heads"),
               .K = size(c, "key_width"),
               .V = size(c, "value_width"),
               .removes = (int)size(c, "removal")};
    const int64_t T = h.tokens, rows = T * h.heads, decays = columns(c, "decay", h.K),
                  rates = columns(c, "rate", h.V);
    Quad *q = take(c, "q", T * h.key_heads * h.K), *k = take(c, "k", T * h.key_heads * h.K);
    if (size(c, "normalise")) {
        apply_l2_norm(q, T * h.key_heads, h.K);
        apply_l2_norm(k, T * h.key_heads, h.K);
    }
    h.q = q, h.k = k, h.v = take(c, "v", rows * h.V);
    if (decays) h.keep = spread(exponentials(take(c, "g", rows * decays), rows * decays), rows, decays, h.K);
    if (rates) h.rate = spread(take(c, "beta", rows * rates), rows, rates, h.V);
    if (h.removes == REMOVES_PAIR) h.a = take(c, "a", rows * h.K), h.b = take(c, "b", rows * h.K);
    h.state0 = take_state(c, "state0", &h);
    h.scale = size(c, "scaled") ? 1 / quad_sqrt(h.K) : 1;
    give(c, &h);
}

/* The matrix D_ts = gamma^(t - s) of the paper's parallel form, one factor per token. */
static void retention(const OracleCall *c) {
    Heads h = {.tokens = size(c, "tokens"),
               .heads = size(c, "heads"),
               .key_heads = size(c, "heads"),
               .K = size(c, "key_width"),
               .V = size(c, "value_width")};
    const int64_t H = h.heads;
    Quad *keep = quads(h.tokens * H * h.K);
    for (int64_t i = 0; i < h.tokens * H * h.K; i++) keep[i] = in(c, "gamma")[i / h.K % H];
    h.q = take(c, "q", h.tokens * H * h.K), h.k = take(c, "k", h.tokens * H * h.K);
    h.v = take(c, "v", h.tokens * H * h.V), h.keep = keep;
    h.state0 = take_state(c, "state0", &h), h.scale = 1 / quad_sqrt(h.K);
    give(c, &h);
}

/* What dt becomes, [T][H]. */
static Quad *dual_steps(const OracleCall *c, int64_t T, int64_t H) {
    const Quad low = in(c, "dt_min")[0], high = in(c, "dt_max")[0];
    Quad *dt = take(c, "dt", T * H);
    for (int64_t i = 0; i < T * H; i++) {
        dt[i] += in(c, "dt_bias")[i % H];
        if (size(c, "softplus")) dt[i] = quad_softplus(dt[i]);
        dt[i] = dt[i] < low ? low : dt[i];
        dt[i] = dt[i] > high ? high : dt[i];
    }
    return dt;
}

/* Per head the matrix of a semiseparable map: y_t = sum_s (C_t.B_s) exp(A sum_{s < r <= t} dt_r) dt_s x_s, and what
 * is left of state0, and D x_t. */
static void state_space_dual(const OracleCall *c) {
    const int64_t T = size(c, "tokens"), H = size(c, "heads"), V = size(c, "value_width"),
                  G = size(c, "key_heads"), N = size(c, "state_width");
    const Quad *dt = dual_steps(c, T, H), *x = take(c, "x", T * H * V),
               *state0 = take(c, "state0", H * V * N);
    const Quad *B = take(c, "B", T * G * N), *C = take(c, "C", T * G * N);
    for (int64_t t = 0; t < T; t++)
        for (int64_t p = 0; p < H * V; p++) {
            const int64_t h = p / V, g = h / (H / G);
            const Quad A = in(c, "A")[h];
            Quad y = in(c, "D")[h] * x[t * H * V + p], since = 0;
            for (int64_t s = t; s >= 0; since += dt[s * H + h], s--) {
                Quad dot = 0;
                for (int64_t n = 0; n < N; n++) dot += C[(t * G + g) * N + n] * B[(s * G + g) * N + n];
                y += dot * quad_exp(A * since) * dt[s * H + h] * x[s * H * V + p];
            }
            for (int64_t n = 0; n < N; n++)
                y += C[(t * G + g) * N + n] * quad_exp(A * since) * state0[p * N + n];
            out(c, "y")[t * H * V + p] = (double)y;
        }
    for (int64_t i = 0; i < H * V * N; i++) {
        const int64_t p = i / N, h = p / V, g = h / (H / G);
        Quad S = 0, since = 0;
        for (int64_t s = T - 1; s >= 0; since += dt[s * H + h], s--)
            S += quad_exp(in(c, "A")[h] * since) * dt[s * H + h] * x[s * H * V + p] *
                 B[(s * G + g) * N + i % N];
        out(c, "state")[i] = (double)(S + quad_exp(in(c, "A")[h] * since) * state0[i]);
    }
}

static void momentum_delta_rule(const OracleCall *c) {
    const int64_t T = size(c, "tokens"), H = size(c, "heads"), K = size(c, "key_width"),
                  V = size(c, "value_width");
    const Quad scale = size(c, "scaled") ? 1 / quad_sqrt(K) : 1;
    Quad *o = quads(T * H * V), *S = quads(H * K * V), *M = quads(H * K * V);
    for (int64_t h = 0; h < H; h++) {
        const Momentum head = {
            .tokens = T,
            .K = K,
            .V = V,
            .q = head_of(take(c, "q", T * H * K), T, H, K, h),
            .k = head_of(take(c, "k", T * H * K), T, H, K, h),
            .p = head_of(take(c, "p", T * H * K), T, H, K, h),
            .v = head_of(take(c, "v", T * H * V), T, H, V, h),
            .alpha = exponentials(head_of(take(c, "log_alpha", T * H), T, H, 1, h), T),
            .mu = exponentials(head_of(take(c, "log_mu", T * H), T, H, 1, h), T),
            .beta = head_of(take(c, "beta", T * H), T, H, 1, h),
            .eta = head_of(take(c, "eta", T * H), T, H, 1, h),
            .S0 = take(c, "state0", H * K * V) + h * K * V,
            .M0 = take(c, "momentum0", H * K * V) + h * K * V,
        };
        head_to(o, momentum_read(&head, S + h * K * V, M + h * K * V), T, H, V, h);
    }
    for (int64_t i = 0; i < T * H * V; i++) o[i] *= scale;
    quads_to(out(c, "o"), o, T * H * V);
    quads_to(out(c, "state"), S, H * K * V), quads_to(out(c, "momentum"), M, H * K * V);
}

/* What both scans do with what their states say: + skip u, times silu(z). */
static void give_scan(const OracleCall *c, const Heads *h, const Quad *u) {
    const int64_t T = h->tokens, D = h->heads;
    Quad *state = quads(D * h->K), *y = heads_read(h, state);
    const Quad *z = take(c, "z", T * D);
    for (int64_t i = 0; i < T * D; i++) {
        y[i] += in(c, "skip")[i % D] * u[i];
        if (size(c, "gated")) y[i] *= quad_silu(z[i]);
    }
    quads_to(out(c, "y"), y, T * D);
    quads_to(out(c, "state"), transposed(state, D, h->K), D * h->K);
}

/* The step of every channel before its function, [T][D]. */
static Quad *biased_steps(const OracleCall *c, int64_t T, int64_t D) {
    Quad *s = take(c, "delta", T * D);
    for (int64_t i = 0; i < T * D; i++) s[i] += in(c, "delta_bias")[i % D];
    return s;
}

/* A channel is a head with values of one number. */
static void selective_scan(const OracleCall *c) {
    Heads h = {.tokens = size(c, "tokens"),
               .heads = size(c, "channels"),
               .key_heads = size(c, "groups"),
               .K = size(c, "state"),
               .V = 1,
               .scale = 1};
    const int64_t T = h.tokens, D = h.heads, N = h.K;
    const Quad *A = transposed(take(c, "A", N * D), N, D), *u = take(c, "u", T * D);
    Quad *s = biased_steps(c, T, D), *keep = quads(T * D * N);
    for (int64_t i = 0; i < T * D && size(c, "softplus"); i++) s[i] = quad_softplus(s[i]);
    for (int64_t i = 0; i < T * D * N; i++) keep[i] = quad_exp(s[i / N] * A[i % (D * N)]);
    h.keep = keep, h.rate = s, h.v = u;
    h.k = take(c, "B", T * h.key_heads * N), h.q = take(c, "C", T * h.key_heads * N);
    h.state0 = transposed(take(c, "state0", N * D), N, D);
    give_scan(c, &h, u);
}

/* The step as 1 / (1 / beta + |k|^2), 1 / beta = 1 + e^-delta. */
static void longhorn_scan(const OracleCall *c) {
    Heads h = {.tokens = size(c, "tokens"),
               .heads = size(c, "channels"),
               .key_heads = 1,
               .K = size(c, "state"),
               .V = 1,
               .scale = 1};
    const int64_t T = h.tokens, D = h.heads, N = h.K;
    const Quad *k = take(c, "k", T * N), *u = take(c, "u", T * D);
    Quad *s = biased_steps(c, T, D), *keep = quads(T * D * N);
    for (int64_t i = 0; i < T * D; i++) {
        const Quad *key = k + i / D * N;
        s[i] = 1 + quad_exp(-s[i]);
        for (int64_t n = 0; n < N; n++) s[i] += key[n] * key[n];
        s[i] = 1 / s[i];
        for (int64_t n = 0; n < N; n++) keep[i * N + n] = 1 - s[i] * key[n] * key[n];
    }
    h.keep = keep, h.rate = s, h.v = u, h.k = k, h.q = take(c, "q", T * N);
    h.state0 = transposed(take(c, "state0", N * D), N, D);
    give_scan(c, &h, u);
}

/* x Phi(x) with the tanh of the paper's approximation. */
static Quad gelu(Quad x) {
    const Quad inner = constant(quad_sqrt(2 / quad_pi())) * (x + constant((Quad)44715 / 1000000) * x * x * x);
    return x / 2 * (1 + quad_tanh(inner));
}

enum { SIGMOID, SILU, GELU, TANH, EXP, SOFTPLUS, LOG_SIGMOID, RELU, ELU1 };

static Quad function_of(Quad x, int64_t function) {
    switch (function) {
    case SIGMOID:
        return quad_sigmoid(x);
    case SILU:
        return quad_silu(x);
    case GELU:
        return gelu(x);
    case TANH:
        return quad_tanh(x);
    case EXP:
        return quad_exp(x);
    case SOFTPLUS:
        return x > 20 ? x : quad_softplus(x);
    case LOG_SIGMOID:
        return -quad_softplus(-x);
    case RELU:
        return x > 0 ? x : 0;
    case ELU1:
        return x > 0 ? x + 1 : quad_exp(x);
    default:
        return (Quad)NAN;
    }
}

static void elementwise(const OracleCall *c) {
    for (int64_t i = 0; i < size(c, "n"); i++)
        out(c, "y")[i] = (double)function_of(in(c, "x")[i], size(c, "function"));
}

/* The variance as the mean square less the square of the mean. */
static void head_norm(const OracleCall *c) {
    const int64_t dh = size(c, "head_width"), groups = size(c, "tokens") * size(c, "heads");
    for (int64_t g = 0; g < groups; g++) {
        const Quad *y = quads_from(in(c, "y") + g * dh, dh), *z = quads_from(in(c, "z") + g * dh, dh);
        Quad mean = 0, square = 0;
        for (int64_t i = 0; i < dh; i++) mean += y[i] / dh, square += y[i] * y[i] / dh;
        if (!size(c, "centred")) mean = 0;
        const Quad root = quad_sqrt(square - mean * mean + in(c, "eps")[0]);
        for (int64_t i = 0; i < dh; i++) {
            const Quad gate = size(c, "gate") == 1   ? quad_silu(z[i])
                              : size(c, "gate") == 2 ? quad_sigmoid(z[i])
                                                     : 1;
            out(c, "o")[g * dh + i] = (double)(in(c, "gain")[i] * ((y[i] - mean) / root) * gate);
        }
    }
}

static void short_conv(const OracleCall *c) {
    const int64_t T = size(c, "tokens"), D = size(c, "width"), w = size(c, "taps");
    Quad *y = convolution(take(c, "x", T * D), take(c, "weight", w * D), NULL, T, D, w);
    for (int64_t i = 0; i < T * D; i++) y[i] += in(c, "bias")[i % D];
    apply_silu(y, T * D);
    quads_to(out(c, "y"), y, T * D);
}

static const OracleEquation equations[] = {{"general_delta_rule", general_delta_rule},
                                           {"retention", retention},
                                           {"state_space_dual", state_space_dual},
                                           {"momentum_delta_rule", momentum_delta_rule},
                                           {"selective_scan", selective_scan},
                                           {"longhorn_scan", longhorn_scan},
                                           {"elementwise", elementwise},
                                           {"head_norm", head_norm},
                                           {"short_conv", short_conv},
                                           {0, 0}};
const OracleEquations oracle_equations_recurrences = {equations};
