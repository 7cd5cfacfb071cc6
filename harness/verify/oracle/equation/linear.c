/* Eqs 3-7, the time-invariant chunk of section 3.2 and appendix C behind the reference's tensors. A matrix
 * memory W is [in][out], the transpose of the paper's M. */
#include "oracle/oracle.h"
#include "oracle/memory.h"

enum { IDENTITY, ELU_PLUS_ONE, RELU };

/* The kernels of eq 3. */
static Quad feature(Quad x, int64_t phi) {
    if (phi == IDENTITY) return x;
    if (phi == ELU_PLUS_ONE) return x > 0 ? x + 1 : quad_exp(x);
    return (x > 0 ? x : 0) + (Quad)1 / 1024;
}

static Quad *features(const double *x, int64_t n, int64_t phi) {
    Quad *y = quads_from(x, n);
    for (int64_t i = 0; i < n; i++) y[i] = feature(y[i], phi);
    return y;
}

/* Eq 3 in its first form: weights phi(Q_i).phi(K_j) that are normalised. */
static void linear_attention(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), d = size(call, "key_width"), m = size(call, "value_width"),
                  phi = size(call, "phi");
    const Quad *q = features(in(call, "q"), T * d, phi), *k = features(in(call, "k"), T * d, phi),
               *v = quads_from(in(call, "v"), T * m);
    Quad *y = quads(T * m);
    for (int64_t i = 0; i < T; i++) {
        Quad total = 0;
        for (int64_t j = 0; j <= i; j++) {
            Quad weight = 0;
            for (int64_t c = 0; c < d; c++) weight += q[i * d + c] * k[j * d + c];
            total += weight;
            for (int64_t c = 0; c < m; c++) y[i * m + c] += weight * v[j * m + c];
        }
        for (int64_t c = 0; c < m; c++) y[i * m + c] /= total;
    }
    quads_to(out(call, "y"), y, T * m);
}

/* Eqs 4-5 with the sum of eq 4 written out, and the normaliser of eq 3. */
static void linear_memory(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), d = size(call, "key_width"), m = size(call, "value_width"),
                  phi = size(call, "phi");
    const Quad *q = features(in(call, "q"), T * d, phi), *k = features(in(call, "k"), T * d, phi),
               *v = quads_from(in(call, "v"), T * m);
    for (int64_t t = 0; t < T; t++) {
        Quad *M = quads_from(in(call, "M0"), d * m), *z = quads_from(in(call, "z0"), d), total = 0;
        for (int64_t j = 0; j <= t; j++)
            for (int64_t i = 0; i < d; i++) {
                z[i] += k[j * d + i];
                for (int64_t c = 0; c < m; c++) M[i * m + c] += k[j * d + i] * v[j * m + c];
            }
        Quad *y = quads_product(q + t * d, M, 1, d, m);
        for (int64_t i = 0; i < d; i++) total += q[t * d + i] * z[i];
        for (int64_t c = 0; c < m; c++)
            out(call, "y")[t * m + c] = (double)(size(call, "normalised") ? y[c] / total : y[c]);
        quads_to(out(call, "M"), M, d * m);
        quads_to(out(call, "z"), z, d);
    }
}

static Quad power(Quad base, int64_t n) {
    Quad product = 1;
    for (; n > 0; n--) product *= base;
    return product;
}

/* K_n = sum_s (1 - alpha)^s eta^(n - s), which E17 sums in closed form. */
static void lti_kernel(const OracleCall *call) {
    for (int64_t n = 0; n < size(call, "tokens"); n++) {
        Quad sum = 0;
        for (int64_t s = 0; s <= n; s++)
            sum += power(1 - (Quad)in(call, "alpha")[0], s) * power(in(call, "eta")[0], n - s);
        out(call, "kernel")[n] = (double)sum;
    }
}

/* Eqs 16 and 18 with constant gates: M_t = rho^t M_0 + eta K_{t-1} S_0 - theta sum_i K_{t-i} u_i. */
static void chunk_lti(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), n = size(call, "n");
    const Quad *K = quads_from(in(call, "kernel"), T), *M0 = quads_from(in(call, "M0"), n),
               *S0 = quads_from(in(call, "S0"), n);
    const Quad *u = quads_from(in(call, "u"), T * n), keep = 1 - (Quad)in(call, "alpha")[0],
               theta = in(call, "theta")[0], eta = in(call, "eta")[0];
    for (int64_t t = 1; t <= T; t++)
        for (int64_t c = 0; c < n; c++) {
            Quad M = power(keep, t) * M0[c] + eta * K[t - 1] * S0[c], S = power(eta, t) * S0[c];
            for (int64_t i = 1; i <= t; i++) {
                M -= K[t - i] * theta * u[(i - 1) * n + c];
                S -= power(eta, t - i) * theta * u[(i - 1) * n + c];
            }
            out(call, "M")[(t - 1) * n + c] = (double)M;
            out(call, "S")[(t - 1) * n + c] = (double)S;
        }
}

/* Eqs 32-33 with the gradient of the loss || M k - v ||^2 / 2 in forward mode; every gate is per output
 * channel. */
static void diagonal_lmm(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), n0 = size(call, "n0"), n1 = size(call, "n1");
    const Network n = {.layers = 1, .width = {n0, n1}};
    Quad *M = quads_from(in(call, "M0"), n0 * n1), *S = quads_from(in(call, "S0"), n0 * n1),
         *u = quads(n0 * n1), *y = quads(n1);
    for (int64_t t = 0; t < T; t++) {
        network_surprise(&n, M, quads_from(in(call, "k") + t * n0, n0),
                         quads_from(in(call, "v") + t * n1, n1), u);
        for (int64_t p = 0; p < n0 * n1; p++) {
            const int64_t gate = t * n1 + p % n1;
            S[p] = in(call, "eta")[gate] * S[p] - in(call, "theta")[gate] * u[p] / 2; /* E1 */
            M[p] = (1 - (Quad)in(call, "alpha")[gate]) * M[p] + S[p];                 /* E9 */
        }
        network_read(&n, M, quads_from(in(call, "q") + t * n0, n0), y);
        quads_to(out(call, "y") + t * n1, y, n1);
    }
    quads_to(out(call, "M"), M, n0 * n1);
    quads_to(out(call, "S"), S, n0 * n1);
}

/* Eqs 34-35 in rows: W_t = A_t W_{t-1} + rate k' v with the matrix A_t = keep (I - rate k' k). */
static void delta_rule(const OracleCall *call, int longhorn, const double *alpha) {
    const int64_t T = size(call, "tokens"), n0 = size(call, "n0"), n1 = size(call, "n1");
    Quad *W = quads_from(in(call, "M0"), n0 * n1);
    const Quad *K = quads_from(in(call, "k"), T * n0), *V = quads_from(in(call, "v"), T * n1),
               *Q = quads_from(in(call, "q"), T * n0);
    for (int64_t t = 0; t < T; t++) {
        const Quad *k = K + t * n0, keep = alpha ? 1 - (Quad)alpha[t] : 1;
        Quad length = 0, *A = quads(n0 * n0);
        for (int64_t i = 0; i < n0; i++) length += k[i] * k[i];
        const Quad rate = in(call, "theta")[t] / (longhorn ? 1 + in(call, "theta")[t] * length : 1);
        for (int64_t i = 0; i < n0; i++)
            for (int64_t j = 0; j < n0; j++) A[i * n0 + j] = keep * ((i == j) - rate * k[i] * k[j]);
        W = quads_product(A, W, n0, n0, n1);
        for (int64_t i = 0; i < n0; i++)
            for (int64_t c = 0; c < n1; c++) W[i * n1 + c] += rate * k[i] * V[t * n1 + c];
        quads_to(out(call, "y") + t * n1, quads_product(Q + t * n0, W, 1, n0, n1), n1);
    }
    quads_to(out(call, "M"), W, n0 * n1);
}

static void delta_net(const OracleCall *call) { delta_rule(call, 0, NULL); }

/* E16: the decay comes before the error is taken. */
static void gated_delta_net(const OracleCall *call) { delta_rule(call, 0, in(call, "alpha")); }

static void longhorn(const OracleCall *call) { delta_rule(call, 1, NULL); }

/* Eq 8 with the loss of appendix C. */
static void ttt_layer(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), n0 = size(call, "n0"), n1 = size(call, "n1");
    const Network n = {.layers = 1, .width = {n0, n1}};
    Quad *M = quads_from(in(call, "M0"), n0 * n1), *u = quads(n0 * n1), *y = quads(n1);
    for (int64_t t = 0; t < T; t++) {
        network_surprise(&n, M, quads_from(in(call, "k") + t * n0, n0),
                         quads_from(in(call, "v") + t * n1, n1), u);
        for (int64_t p = 0; p < n0 * n1; p++) M[p] -= in(call, "theta")[t] * u[p] / 2;
        network_read(&n, M, quads_from(in(call, "q") + t * n0, n0), y);
        quads_to(out(call, "y") + t * n1, y, n1);
    }
    quads_to(out(call, "M"), M, n0 * n1);
}

static const OracleEquation equations[] = {{"linear_attention", linear_attention},
                                           {"linear_memory", linear_memory},
                                           {"lti_kernel", lti_kernel},
                                           {"chunk_lti", chunk_lti},
                                           {"diagonal_lmm", diagonal_lmm},
                                           {"delta_net", delta_net},
                                           {"gated_delta_net", gated_delta_net},
                                           {"longhorn", longhorn},
                                           {"ttt_layer", ttt_layer},
                                           {0, 0}};
const OracleEquations oracle_equations_linear = {equations};
