/* A second derivation of every tolerance, by hand: |computed - exact| <= k u G, u = 2^-24. G, the gauge, is the
 * equation evaluated on absolute values with every minus made plus; k counts the roundings on the way to a result
 * (docs/numerics.md derives each). The exact values are those of the reference in quad; judged are the reference
 * in float32 and every kernel of the equation on every instruction set. */
#include "equation/cases.h"
#include "kernel_runs.h"
#include "ledger.h"

enum { SEEDS = 3 };
static const double u = 0x1p-24;
static const double e = 2.5; /* units of u that exp may be off by: 1.02 ulp of ours, 1 ulp of libm's */

/* Fills G with k G for every element of every output. */
typedef void (*Gauge)(const Case *c, double *const *G);

static const double *in(const Case *c, const char *name) { return case_in(c, name); }

/* sum_i |x_i| |W_ij|: x (n), W (n x m), column j */
static double dot_abs(const double *x, const double *W, int64_t n, int64_t m, int64_t j) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += fabs(x[i] * W[i * m + j]);
    return sum;
}

/* ---- eqs 1-2, 20, 27 ------------------------------------------------------------------------------------- */

/* d products and d - 1 sums, any order: k = d. */
static void gauge_qkv(const Case *c, double *const *G) {
    const int64_t D = case_dim(c, "D");
    for (int o = 0; o < 3; o++)
        for (int64_t i = 0; i < c->out_size[o]; i++)
            G[o][i] = (double)D * dot_abs(c->in[0] + i / D * D, c->in[1 + o], D, D, i % D);
}

/* Factors are rounded before, which is no error but the equation. Float32 sums K products and c one after the other, K + 1
 * roundings; the definition's chains make 16, their sum 1, and one for every block. */
static void gauge_bf16_product(const Case *c, double *const *G) {
    const int64_t K = case_dim(c, "K"), N = case_dim(c, "N"), chain = (K < 32 ? K + 1 : 32) / 2;
    const double blocks = ceil((double)K / 32), k = fmax((double)K + 1, (double)chain + 1 + blocks);
    for (int64_t i = 0; i < c->out_size[0]; i++) {
        G[0][i] = fabs(c->in[2][i]);
        for (int64_t n = 0; n < K; n++) /* 2^-8 more than the rounded factors */
            G[0][i] += (1 + 0x1p-7) * fabs(c->in[0][i / N * K + n] * c->in[1][n * N + i % N]);
        G[0][i] *= k;
        G[1][i] = G[0][i];
    }
}

/* One row of attention to n keys. A score is off by (d + 2) u S, S the largest sum |q_i k_i| scale, and so is
 * the one subtracted: exp turns this into a relative 2 (d + 4) S u of every weight, numerator and denominator
 * alike; exp itself 2 e, sums 2 n, the division 1; a new largest score per block rescales: e + 2. */
static double attention_row(int64_t n, int64_t d, double scale, const double *q, const double *k,
                            const char *visible, double *p) {
    double most = 0, top = -INFINITY, total = 0;
    for (int64_t j = 0; j < n; j++) {
        double size = 0;
        p[j] = 0;
        for (int64_t i = 0; i < d; i++)
            p[j] += q[i] * k[j * d + i] * scale, size += fabs(q[i] * k[j * d + i]) * scale;
        if (visible[j]) most = fmax(most, size), top = fmax(top, p[j]);
    }
    for (int64_t j = 0; j < n; j++) total += p[j] = visible[j] ? exp(p[j] - top) : 0;
    for (int64_t j = 0; j < n; j++) p[j] /= total;
    const double blocks = ceil((double)n / ATTEND_BLOCK) + 1;
    return 2 * (double)n + 1 + 2 * e + 2 * (double)(d + 4) * most + blocks * (e + 2);
}

static void attention_gauge(int64_t T, int64_t S, int64_t d, int64_t m, double scale, int64_t window,
                            int64_t prefix, int causal, const double *q, const double *k, const double *v,
                            double *G) {
    double *p = oracle_zeros(S);
    char *visible = calloc((size_t)S, 1);
    for (int64_t t = 0; t < T; t++) {
        const int64_t row = S - T + t;
        for (int64_t j = 0; j < S; j++)
            visible[j] = !causal || (j <= row && (!window || j < prefix || row - j < window));
        const double units = attention_row(S, d, scale, q + t * d, k, visible, p);
        for (int64_t c = 0; c < m; c++) G[t * m + c] = units * dot_abs(p, v, S, m, c);
    }
    free(p);
    free(visible);
}

static void gauge_attention(const Case *c, double *const *G) {
    const int64_t d = case_dim(c, "dh"), windowed = !strcmp(c->name, "window_attention");
    attention_gauge(case_dim(c, "T"), case_dim(c, "S"), d, d, 1 / sqrt((double)d),
                    windowed ? case_dim(c, "window") : 0, windowed ? case_dim(c, "prefix") : 0, 1, in(c, "q"),
                    in(c, "k"), in(c, "v"), G[0]);
}

static void gauge_softmax_ffn(const Case *c, double *const *G) {
    const int64_t T = case_dim(c, "T"), d = case_dim(c, "d");
    for (int64_t t = 0; t < T; t++) /* no token sees another: one row at a time, every key visible */
        attention_gauge(1, case_dim(c, "n"), d, case_dim(c, "m"), 1, 0, 0, 0, in(c, "x") + t * d, in(c, "Wk"),
                        in(c, "Wv"), G[0] + t * case_dim(c, "m"));
}

/* ---- eqs 3-7 --------------------------------------------------------------------------------------------- */

static double feature_value(int64_t phi, double x) {
    return phi == 0 ? fabs(x) : phi == 1 ? (x > 0 ? x + 1 : exp(x)) : fmax(x, 0) + 0x1p-10;
}

/* phi >= 0: numerator and denominator are sums of positive weights, each off by n + d + 2 e: k = 2 (n + d + 2 e)
 * + 3. phi = id without normaliser: k = n + d + 1. M and z: n + 1, and e of phi. */
static void gauge_linear(const Case *c, double *const *G) {
    const int64_t T = case_dim(c, "T"), d = case_dim(c, "d"), m = case_dim(c, "m"), phi = case_dim(c, "phi");
    const int recurrent = c->outputs > 1, normalised = !recurrent || case_dim(c, "normalised");
    const double *q = in(c, "q"), *k = in(c, "k"), *v = in(c, "v");
    double *M = oracle_zeros(d * m), *z = oracle_zeros(d);
    for (int64_t i = 0; recurrent && i < d * m; i++) M[i] = fabs(in(c, "M0")[i]);
    for (int64_t i = 0; recurrent && i < d; i++) z[i] = fabs(in(c, "z0")[i]);
    for (int64_t t = 0; t < T; t++) {
        double below = 0;
        for (int64_t i = 0; i < d; i++) {
            const double key = feature_value(phi, k[t * d + i]);
            for (int64_t j = 0; j < m; j++) M[i * m + j] += key * fabs(v[t * m + j]);
            z[i] += key;
            below += feature_value(phi, q[t * d + i]) * z[i];
        }
        for (int64_t j = 0; j < m; j++) {
            double above = 0;
            for (int64_t i = 0; i < d; i++) above += feature_value(phi, q[t * d + i]) * M[i * m + j];
            G[0][t * m + j] = normalised ? (2 * ((double)(T + d) + 2 * e) + 3) * above / below
                                         : ((double)(T + d) + 1 + (phi ? 2 * e : 0)) * above;
        }
    }
    for (int64_t i = 0; recurrent && i < d * m; i++) G[1][i] = ((double)T + 1 + (phi ? e : 0)) * M[i];
    for (int64_t i = 0; recurrent && i < d; i++) G[2][i] = ((double)T + 1 + (phi ? e : 0)) * z[i];
    free(M);
    free(z);
}

/* ---- eqs 8-15, 32-35: one token of a matrix memory --------------------------------------------------------- */

/* |k_i| (sum |M| |k| + |v|): the gauge of the gradient's element, without its factor 2 */
static double surprise_gauge(const Case *c, const double *M, int64_t n0, int64_t n1, int64_t p) {
    const double *k = in(c, "k");
    return fabs(k[p / n1]) * (dot_abs(k, M, n0, n1, p % n1) + fabs(in(c, "v")[p % n1]));
}

/* The prediction error is a dot product of n0 + 1 terms: k = n0 + 1. Loss: squares double that, and n1 sums.
 * Gradient: two products more. */
static void gauge_surprise(const Case *c, double *const *G) {
    const int64_t n0 = case_dim(c, "n0"), n1 = case_dim(c, "n1");
    G[0][0] = 0;
    for (int64_t j = 0; j < n1; j++) {
        const double error = dot_abs(in(c, "k"), in(c, "M"), n0, n1, j) + fabs(in(c, "v")[j]);
        G[0][0] += (double)(2 * n0 + n1 + 3) * error * error;
    }
    for (int64_t p = 0; p < n0 * n1; p++)
        G[1][p] = (double)(n0 + 3) * 2 * surprise_gauge(c, in(c, "M"), n0, n1, p);
}

static double scalar_in(const Case *c, const char *name, double otherwise) {
    return argument_find(c->e->in, name) < 0 ? otherwise : in(c, name)[0];
}

/* Eqs 8-10, 13-14: G = (1 + alpha) |M| + eta |S| + 2 theta |k| (|M| |k| + |v|), k = n0 + 8: the gradient's
 * n0 + 3, theta, eta, 1 - alpha and its product, three sums. */
static void gauge_step(const Case *c, double *const *G) {
    const int64_t n0 = case_dim(c, "n0"), n1 = case_dim(c, "n1");
    const double alpha = scalar_in(c, "alpha", 0), theta = scalar_in(c, "theta", 0),
                 eta = scalar_in(c, "eta", 0), units = (double)n0 + 8;
    const int momentum = argument_find(c->e->in, "S") >= 0;
    for (int64_t p = 0; p < n0 * n1; p++) {
        const double moved =
            (momentum ? eta * fabs(in(c, "S")[p]) : 0) + 2 * theta * surprise_gauge(c, in(c, "M"), n0, n1, p);
        G[0][p] = units * ((1 + alpha) * fabs(in(c, "M")[p]) + moved);
        if (momentum) G[1][p] = units * moved;
    }
}

/* Eq 15: k = d. */
static void gauge_read(const Case *c, double *const *G) {
    const int64_t n0 = case_dim(c, "n0"), n1 = case_dim(c, "n1");
    for (int64_t j = 0; j < n1; j++) G[0][j] = (double)n0 * dot_abs(in(c, "q"), in(c, "M"), n0, n1, j);
}

/* y = q M1 of a token just written: n0 roundings more than the k of M, which holds k G. */
static void read_gauge(const Case *c, double k, const double *M, double *y) {
    const int64_t n0 = case_dim(c, "n0"), n1 = case_dim(c, "n1");
    for (int64_t j = 0; j < n1; j++) y[j] = dot_abs(in(c, "q"), M, n0, n1, j) * (k + (double)n0) / k;
}

/* Eqs 34-35 for one token: M - step k' (k M - v), decay (1 - alpha) before the error where there is one; the
 * step of Longhorn costs another n0 + 3. */
static void gauge_relative(const Case *c, double *const *G) {
    const int64_t n0 = case_dim(c, "n0"), n1 = case_dim(c, "n1");
    const int implicit = !strcmp(c->name, "longhorn");
    const double *k = in(c, "k"), alpha = scalar_in(c, "alpha", 0), beta = in(c, "theta")[0];
    const double units = (double)(n0 + 10 + (implicit ? n0 + 3 : 0));
    const double step = implicit ? beta / (1 + beta * dot(k, k, n0)) : beta;
    for (int64_t p = 0; p < n0 * n1; p++)
        G[1][p] =
            units * (1 + alpha) * (fabs(in(c, "M0")[p]) + step * surprise_gauge(c, in(c, "M0"), n0, n1, p));
    read_gauge(c, units, G[1], G[0]);
}

/* Eqs 32-33 for one token: a gate per channel, no factor 2. */
static void gauge_diagonal(const Case *c, double *const *G) {
    const int64_t n0 = case_dim(c, "n0"), n1 = case_dim(c, "n1");
    for (int64_t p = 0; p < n0 * n1; p++) {
        const int64_t j = p % n1;
        const double moved = in(c, "eta")[j] * fabs(in(c, "S0")[p]) +
                             in(c, "theta")[j] * surprise_gauge(c, in(c, "M0"), n0, n1, p);
        G[1][p] = ((double)n0 + 8) * ((1 + in(c, "alpha")[j]) * fabs(in(c, "M0")[p]) + moved);
        G[2][p] = ((double)n0 + 8) * moved;
    }
    read_gauge(c, (double)n0 + 8, G[1], G[0]);
}

/* ---- eqs 16-18: one chunk ---------------------------------------------------------------------------------- */

/* The chunk's own recurrence on absolute values, gradients frozen at M_0: k = 2 d + 4 b + 16, and d more to
 * read. */
static void gauge_chunk(const Case *c, double *const *G) {
    const int64_t T = case_dim(c, "T"), n0 = case_dim(c, "n0"), n1 = case_dim(c, "n1"), P = n0 * n1;
    const int closed = !strcmp(c->name, "chunk_linear");
    const double *k = in(c, "k"), *v = in(c, "v"), *start = in(c, closed ? "W0" : "M0");
    const double units = (double)(2 * n0 + 4 * T + 16);
    double *M = oracle_zeros(P), *S = oracle_zeros(P);
    for (int64_t p = 0; p < P; p++) M[p] = fabs(start[p]), S[p] = closed ? 0 : fabs(in(c, "S0")[p]);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t p = 0; p < P; p++) {
            const double miss = dot_abs(k + t * n0, start, n0, n1, p % n1) + fabs(v[t * n1 + p % n1]);
            S[p] = (closed ? 0 : in(c, "eta")[t]) * S[p] +
                   2 * in(c, "theta")[t] * fabs(k[t * n0 + p / n1]) * miss;
            M[p] = (1 - in(c, "alpha")[t]) * M[p] + S[p];
        }
        for (int64_t j = 0; !closed && j < n1; j++)
            G[0][t * n1 + j] = (units + (double)n0) * dot_abs(in(c, "q") + t * n0, M, n0, n1, j);
    }
    for (int64_t p = 0; p < P; p++) {
        G[closed ? 0 : 1][p] = units * M[p];
        if (!closed) G[2][p] = units * S[p];
    }
    free(M);
    free(S);
}

/* Two roundings a token and the product with theta: k = 2 T + 2. */
static void gauge_momentum(const Case *c, double *const *G) {
    const int64_t T = case_dim(c, "T"), n = case_dim(c, "n");
    for (int64_t i = 0; i < n; i++) {
        double S = fabs(in(c, "S0")[i]);
        for (int64_t t = 0; t < T; t++) {
            S = in(c, "eta")[t] * S + in(c, "theta")[t] * fabs(in(c, "u")[t * n + i]);
            G[0][t * n + i] = (double)(2 * T + 2) * S;
        }
    }
}

/* Section 3.2. The recursion adds positive numbers: three roundings a step. */
static void gauge_lti_kernel(const Case *c, double *const *G) {
    for (int64_t n = 0; n < c->out_size[0]; n++) G[0][n] = (double)(3 * n + 3) * c->out[0][n];
}

/* The closed form cancels: its powers bring n + 2, and rho - eta (rho + eta) / |rho - eta|. */
static void gauge_lti_closed(const Case *c, double *const *G) {
    const double rho = 1 - in(c, "alpha")[0], eta = in(c, "eta")[0], apart = fabs(rho - eta);
    for (int64_t n = 0; n < c->out_size[0]; n++) {
        const double powers = pow(rho, (double)(n + 1)) + pow(eta, (double)(n + 1));
        G[0][n] = apart == 0 ? (double)(n + 3) * c->out[0][n]
                             : ((double)(n + 4) * powers + c->out[0][n] * (rho + eta)) / apart;
    }
}

/* A direct convolution with positive kernels: k = 3 b + 4. */
static void gauge_lti(const Case *c, double *const *G) {
    const int64_t T = case_dim(c, "T"), n = case_dim(c, "n");
    const double rho = 1 - in(c, "alpha")[0], theta = in(c, "theta")[0], eta = in(c, "eta")[0];
    const double *kernel = in(c, "kernel"), *M0 = in(c, "M0"), *S0 = in(c, "S0");
    for (int64_t t = 1; t <= T; t++)
        for (int64_t p = 0; p < n; p++) {
            double state = pow(rho, (double)t) * fabs(M0[p]) + eta * fabs(kernel[t - 1] * S0[p]);
            double momentum = pow(eta, (double)t) * fabs(S0[p]);
            for (int64_t i = 1; i <= t; i++) {
                const double size = theta * fabs(in(c, "u")[(i - 1) * n + p]);
                state += fabs(kernel[t - i]) * size;
                momentum += pow(eta, (double)(t - i)) * size;
            }
            G[0][(t - 1) * n + p] = (double)(3 * T + 4) * state;
            G[1][(t - 1) * n + p] = (double)(3 * T + 4) * momentum;
        }
}

/* ---- section 4.4, eq 28 ------------------------------------------------------------------------------------ */

static double conv_gauge(const Case *c, int64_t i, double *value) {
    const int64_t w = case_dim(c, "w"), D = c->in_size[1] / w;
    double size = 0;
    *value = 0;
    for (int64_t j = 0; j < w; j++) {
        const int64_t at = i + (j - (w - 1)) * D;
        const double x = at < 0 ? in(c, "tail")[at + (w - 1) * D] : in(c, "x")[at];
        const double term = x * in(c, "weight")[j * D + i % D];
        *value += term, size += fabs(term);
    }
    return size;
}

/* w products and sums: k = w + 1. */
static void gauge_conv(const Case *c, double *const *G) {
    double none;
    for (int64_t i = 0; i < c->out_size[0]; i++)
        G[0][i] = ((double)case_dim(c, "w") + 1) * conv_gauge(c, i, &none);
}

/* SiLU's slope is below 1.1; its own value costs exp, a sum, a division: e + 3. */
static double silu_gauge(const Case *c, int64_t i, double *value) {
    double a;
    const double size = conv_gauge(c, i, &a);
    *value = a / (1 + exp(-a));
    return 1.1 * ((double)case_dim(c, "w") + 1) * size + (e + 3) * fabs(*value);
}

static void gauge_conv_silu(const Case *c, double *const *G) {
    double none;
    for (int64_t i = 0; i < c->out_size[0]; i++) G[0][i] = silu_gauge(c, i, &none);
}

/* y = x / |x|: an error of x_j moves y_i by y_i y_j / |x|; the norm itself is d / 2 + 4 off. */
static void gauge_conv_silu_l2(const Case *c, double *const *G) {
    const int64_t d = case_dim(c, "dh");
    double *x = oracle_zeros(d), *off = oracle_zeros(d);
    for (int64_t group = 0; group < c->out_size[0] / d; group++) {
        double along = 0;
        for (int64_t i = 0; i < d; i++) off[i] = silu_gauge(c, group * d + i, x + i);
        const double length = sqrt(dot(x, x, d) + 1e-6);
        for (int64_t i = 0; i < d; i++) along += fabs(x[i]) / length * off[i];
        for (int64_t i = 0; i < d; i++)
            G[0][group * d + i] =
                (off[i] + fabs(x[i]) / length * along) / length + ((double)d / 2 + 4) * fabs(x[i]) / length;
    }
    free(x);
    free(off);
}

/* A norm is a relative d / 2 + 4: half the sum of squares', the root, the division, the gain. */
static double norm_units(int64_t d) { return (double)d / 2 + 4; }

static void gauge_norm(const Case *c, double *const *G) {
    const int64_t d = case_dim(c, "d");
    for (int64_t i = 0; i < c->out_size[0]; i++) G[0][i] = norm_units(d) * fabs(c->out[0][i]);
}

/* norm(y) sigmoid(norm(m)): each norm as above; sigmoid's slope is s (1 - s). */
static void gauge_titans_gate(const Case *c, double *const *G) {
    const int64_t d = case_dim(c, "dh"), D = c->in_size[2];
    for (int64_t i = 0; i < c->out_size[0]; i++) {
        const double *m = in(c, "m") + i / d * d;
        const double a = m[i % d] / sqrt(dot(m, m, d) / (double)d + 1e-6) * in(c, "gain_m")[i % D];
        const double past = exp(-a) / (1 + exp(-a)); /* 1 - sigmoid */
        G[0][i] = (norm_units(d) * (1 + past * fabs(a)) + e + 4) * fabs(c->out[0][i]);
    }
}

/* ---- the rows ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *equation;
    Gauge gauge;
} gauges[] = {
    {"qkv", gauge_qkv},
    {"bf16_product", gauge_bf16_product},
    {"attention", gauge_attention},
    {"window_attention", gauge_attention},
    {"softmax_ffn", gauge_softmax_ffn},
    {"linear_attention", gauge_linear},
    {"linear_memory", gauge_linear},
    {"surprise", gauge_surprise},
    {"momentary_rule", gauge_step},
    {"momentum_rule", gauge_step},
    {"memory_step", gauge_step},
    {"memory_read", gauge_read},
    {"memory_chunk", gauge_chunk},
    {"chunk_closed", gauge_chunk},
    {"chunk_linear", gauge_chunk},
    {"chunk_momentum", gauge_momentum},
    {"lti_kernel", gauge_lti_kernel},
    {"lti_kernel_closed", gauge_lti_closed},
    {"chunk_lti", gauge_lti},
    {"conv", gauge_conv},
    {"conv_silu", gauge_conv_silu},
    {"conv_silu_l2", gauge_conv_silu_l2},
    {"l2_norm", gauge_norm},
    {"rms_norm", gauge_norm},
    {"titans_gate", gauge_titans_gate},
    {"diagonal_lmm", gauge_diagonal},
    {"delta_net", gauge_relative},
    {"gated_delta_net", gauge_relative},
    {"longhorn", gauge_relative},
    {"ttt_layer", gauge_relative},
};

static Gauge gauge_of(const char *equation) {
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        if (!strcmp(gauges[i].equation, equation)) return gauges[i].gauge;
    cr_assert_fail("%s has no gauge", equation);
    return 0;
}

typedef struct {
    double *exact[EQUATION_ARGUMENTS], *allowed[EQUATION_ARGUMENTS];
    double worst; /* largest error over what is allowed */
    int64_t checks;
} Judge;

/* The case's exact outputs and what each may be off by; the gauge of the closed kernel and of norms reads the
 * exact outputs. An allowance above 1 % of the largest output says nothing. */
static Judge judge_new(Case *c, Gauge gauge) {
    Judge j = {.worst = 0};
    oracle_run(&reference_quad, &c->dims, constant(c->in), NULL, c->out, NULL, NULL, NULL);
    for (int o = 0; o < EQUATION_ARGUMENTS; o++) {
        j.exact[o] = oracle_zeros(c->out_size[o]);
        j.allowed[o] = oracle_zeros(c->out_size[o]);
        if (o < c->outputs) memcpy(j.exact[o], c->out[o], (size_t)c->out_size[o] * sizeof(double));
    }
    gauge(c, j.allowed);
    for (int o = 0; o < c->outputs; o++) {
        for (int64_t i = 0; i < c->out_size[o]; i++) j.allowed[o][i] = u * j.allowed[o][i] + 0x1p-126;
        cr_assert(largest(j.allowed[o], c->out_size[o]) <= 0.01 * largest(j.exact[o], c->out_size[o]),
                  "%s output %d: k u G = %g of %g says nothing", c->name, o,
                  largest(j.allowed[o], c->out_size[o]), largest(j.exact[o], c->out_size[o]));
    }
    return j;
}

static void judge_free(Judge *j) {
    for (int o = 0; o < EQUATION_ARGUMENTS; o++) free(j->exact[o]), free(j->allowed[o]);
}

/* got: the outputs of `who`. */
static void judge(Judge *j, const Case *c, const char *who, float *const *got) {
    for (int o = 0; o < c->outputs; o++) {
        int64_t at;
        const double ratio = largest_ratio(c->out_size[o], got[o], j->exact[o], j->allowed[o], &at);
        cr_assert(ratio <= 1, "%s, seed %llu, %s: output %d[%lld] = %.9g, want %.9g +- %.3g (ratio %.3g)",
                  c->name, (unsigned long long)c->seed, who, o, (long long)at, (double)got[o][at],
                  j->exact[o][at], j->allowed[o][at], ratio);
        if (ratio > j->worst) j->worst = ratio;
        j->checks +=
            c->out_size[o] + expect_refusals(c->name, c->out_size[o], got[o], j->exact[o], j->allowed[o]);
    }
}

static void judge_reference(Judge *j, const Case *c) {
    double *single[EQUATION_ARGUMENTS];
    float *got[EQUATION_ARGUMENTS];
    for (int o = 0; o < EQUATION_ARGUMENTS; o++) {
        single[o] = oracle_zeros(c->out_size[o]);
        got[o] = run_array(c->out_size[o], 0.0f);
    }
    oracle_run(&reference_float, &c->dims, constant(c->in), NULL, single, NULL, NULL, NULL);
    for (int o = 0; o < c->outputs; o++)
        for (int64_t i = 0; i < c->out_size[o]; i++) got[o][i] = (float)single[o][i];
    judge(j, c, "reference in float32", got);
    for (int o = 0; o < EQUATION_ARGUMENTS; o++) free(single[o]), run_array_free(got[o]);
}

static void judge_kernels(Judge *j, const Case *c) {
    KernelAdapter a;
    for (int i = 0; kernel_adapter_at(i, &a); i++) {
        if (strcmp(a.equation, c->name) != 0) continue;
        for (int k = 0; kernels_at(k); k++) {
            if (!kernels_supported(kernels_at(k))) continue;
            KernelRun r;
            kernel = kernels_at(k);
            run_new(&r, c, 0);
            a.run(&r);
            judge(j, c, a.kernel, r.out);
            run_free(&r, c);
        }
    }
}

/* Inputs with all the bits that float32 has, but the gates, which are multiples of 2^-12 (kernels take 1 - alpha);
 * and what an equation needs: a normaliser that is a sum of positive weights, no memory before. */
static void prepare(Case *c) {
    uint64_t state = c->seed;
    for (int i = 0; i < c->inputs; i++)
        for (int64_t j = 0; j < c->in_size[i] && !role_is_gate(c->e->in[i].role); j++)
            c->in[i][j] = (double)(float)(c->in[i][j] + 0x1p-12 * uniform(&state));
    if (!strcmp(c->name, "linear_memory") && case_dim(c, "normalised")) {
        case_set(c, "M0", 0);
        case_set(c, "z0", 0);
    }
    if (!strcmp(c->name, "chunk_lti")) /* some kernel that float32 holds: c_n of rho = 3/4, eta = 1/2 */
        for (int64_t n = 0; n < case_in_size(c, "kernel"); n++)
            case_in(c, "kernel")[n] = (float)(4 * (pow(0.75, (double)n + 1) - pow(0.5, (double)n + 1)));
}

Test(gauge, every_equation_in_float32_and_every_kernel_is_within_k_u_G) {
    for (int i = 0; case_at(i); i++) {
        double worst = 0;
        int64_t checks = 0;
        if (!case_used(case_at(i), "gauge")) continue;
        const Dims dims = case_dims(case_at(i));
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case c = case_at_dims(&dims, seed);
            prepare(&c);
            Judge j = judge_new(&c, gauge_of(c.name));
            judge_reference(&j, &c);
            judge_kernels(&j, &c);
            checks += j.checks;
            worst = fmax(worst, j.worst);
            judge_free(&j);
            case_free(&c);
        }
        ledger_record("gauge", case_at(i)->equation, checks, worst);
    }
}

/* The confluent kernel and 2^-12 beside it: finite, and as far off as its conditioning says. */
Test(gauge, closed_kernel_loses_what_its_conditioning_says) {
    for (int beside = 0; beside < 2; beside++) {
        Case c = case_new("lti_kernel_closed", 1, "tokens=64");
        case_set(&c, "alpha", 0.25);
        case_set(&c, "eta", 0.75 + beside * 0x1p-12);
        Judge j = judge_new(&c, gauge_lti_closed);
        judge_reference(&j, &c);
        ledger_record("gauge", beside ? "lti_kernel_closed.beside" : "lti_kernel_closed.confluent", j.checks,
                      j.worst);
        judge_free(&j);
        case_free(&c);
    }
}

/* Eq 2 does not know in which order keys stand: any permutation of (k, v) seen by one query, within 2 k. */
Test(gauge, attention_of_permuted_keys_stays_within_2_k_u_G) {
    enum { S = 100, DH = 8 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Case c = case_new("attention", seed, "tokens=1 keys=%d head_width=%d", S, DH);
        Judge j = judge_new(&c, gauge_attention);
        double *k = case_in(&c, "k"), *v = case_in(&c, "v");
        judge_kernels(&j, &c);
        for (int64_t s = 0; s < S / 2; s++) /* reversed */
            for (int64_t i = 0; i < DH; i++) {
                const int64_t a = s * DH + i, b = (S - 1 - s) * DH + i;
                const double key = k[a], value = v[a];
                k[a] = k[b], k[b] = key;
                v[a] = v[b], v[b] = value;
            }
        judge_kernels(&j, &c); /* against the same exact values: k u G on each side of them */
        judge_reference(&j, &c);
        ledger_record("gauge", "attention.permuted", j.checks, j.worst);
        judge_free(&j);
        case_free(&c);
    }
}

/* A long stream: after every chunk the kernel's own state is where the next one starts, so that each chunk is
 * judged alone and the bound never compounds. */
Test(gauge, each_chunk_of_a_long_stream_is_within_k_u_G_of_its_own_start) {
    enum { CHUNKS = 64, B = 16, N0 = 17, N1 = 18, P = N0 * N1 };
    KernelAdapter a;
    for (int k = 0; kernel_adapter_at(k, &a); k++) {
        double worst = 0;
        int64_t checks = 0;
        float state[2 * P] = {0};
        if (strcmp(a.equation, "memory_chunk") != 0) continue;
        kernel = kernels_at(0);
        for (uint64_t chunk = 1; chunk <= CHUNKS; chunk++) {
            Case c = case_new("memory_chunk", chunk, "tokens=%d chunk=%d memory_layers=1 n0=%d n1=%d", B, B,
                              N0, N1);
            for (int64_t p = 0; p < P; p++)
                case_in(&c, "M0")[p] = (double)state[p], case_in(&c, "S0")[p] = (double)state[P + p];
            for (int64_t i = 0; i < B * N0; i++) case_in(&c, "k")[i] /= 4; /* keys of length about 1/2 */
            Judge j = judge_new(&c, gauge_chunk);
            KernelRun r;
            run_new(&r, &c, 0);
            a.run(&r);
            judge(&j, &c, a.kernel, r.out);
            memcpy(state, r.out[1], P * sizeof(float));
            memcpy(state + P, r.out[2], P * sizeof(float));
            checks += j.checks;
            worst = fmax(worst, j.worst);
            run_free(&r, &c);
            judge_free(&j);
            case_free(&c);
        }
        cr_assert(state[0] != 0.0f);
        ledger_record("gauge stream", a.kernel, checks, worst);
    }
}
