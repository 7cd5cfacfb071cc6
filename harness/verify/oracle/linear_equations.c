/* Eqs 3-7, the time-invariant chunk of section 3.2 and appendix C behind the reference's tensors. A matrix
 * memory W is [in][out], the transpose of the paper's M. */
#include "equations.h"
#include "memory.h"

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
void oracle_linear_attention(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], d = dims[1], m = dims[2], phi = dims[3];
    const Quad *q = features(in[0], T * d, phi), *k = features(in[1], T * d, phi),
               *v = quads_from(in[2], T * m);
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
    quads_to(out[0], y, T * m);
}

/* Eqs 4-5 with the sum of eq 4 written out, and the normaliser of eq 3. */
void oracle_linear_memory(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], d = dims[1], m = dims[2], phi = dims[3];
    const Quad *q = features(in[2], T * d, phi), *k = features(in[3], T * d, phi),
               *v = quads_from(in[4], T * m);
    for (int64_t t = 0; t < T; t++) {
        Quad *M = quads_from(in[0], d * m), *z = quads_from(in[1], d), total = 0;
        for (int64_t j = 0; j <= t; j++)
            for (int64_t i = 0; i < d; i++) {
                z[i] += k[j * d + i];
                for (int64_t c = 0; c < m; c++) M[i * m + c] += k[j * d + i] * v[j * m + c];
            }
        Quad *y = quads_product(q + t * d, M, 1, d, m);
        for (int64_t i = 0; i < d; i++) total += q[t * d + i] * z[i];
        for (int64_t c = 0; c < m; c++) out[0][t * m + c] = (double)(dims[4] ? y[c] / total : y[c]);
        quads_to(out[1], M, d * m);
        quads_to(out[2], z, d);
    }
}

static Quad power(Quad base, int64_t n) {
    Quad product = 1;
    for (; n > 0; n--) product *= base;
    return product;
}

/* K_n = sum_s (1 - alpha)^s eta^(n - s), which E17 sums in closed form. */
void oracle_lti_kernel(const int64_t *dims, const double *const *in, double *const *out) {
    for (int64_t n = 0; n < dims[0]; n++) {
        Quad sum = 0;
        for (int64_t s = 0; s <= n; s++) sum += power(1 - (Quad)in[0][0], s) * power(in[1][0], n - s);
        out[0][n] = (double)sum;
    }
}

/* Eqs 16 and 18 with constant gates: M_t = rho^t M_0 + eta K_{t-1} S_0 - theta sum_i K_{t-i} u_i. */
void oracle_chunk_lti(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], n = dims[1];
    const Quad *K = quads_from(in[0], T), *M0 = quads_from(in[1], n), *S0 = quads_from(in[2], n);
    const Quad *u = quads_from(in[3], T * n), keep = 1 - (Quad)in[4][0], theta = in[5][0], eta = in[6][0];
    for (int64_t t = 1; t <= T; t++)
        for (int64_t c = 0; c < n; c++) {
            Quad M = power(keep, t) * M0[c] + eta * K[t - 1] * S0[c], S = power(eta, t) * S0[c];
            for (int64_t i = 1; i <= t; i++) {
                M -= K[t - i] * theta * u[(i - 1) * n + c];
                S -= power(eta, t - i) * theta * u[(i - 1) * n + c];
            }
            out[0][(t - 1) * n + c] = (double)M;
            out[1][(t - 1) * n + c] = (double)S;
        }
}

/* Eqs 32-33 with the gradient of the loss || M k - v ||^2 / 2 in forward mode; every gate is per output
 * channel. */
void oracle_diagonal_lmm(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], n0 = dims[1], n1 = dims[2];
    const Network n = {.layers = 1, .width = {n0, n1}};
    Quad *M = quads_from(in[0], n0 * n1), *S = quads_from(in[1], n0 * n1), *u = quads(n0 * n1),
         *y = quads(n1);
    for (int64_t t = 0; t < T; t++) {
        network_surprise(&n, M, quads_from(in[2] + t * n0, n0), quads_from(in[3] + t * n1, n1), u);
        for (int64_t p = 0; p < n0 * n1; p++) {
            const int64_t gate = t * n1 + p % n1;
            S[p] = in[7][gate] * S[p] - in[6][gate] * u[p] / 2; /* E1 */
            M[p] = (1 - (Quad)in[5][gate]) * M[p] + S[p];       /* E9 */
        }
        network_read(&n, M, quads_from(in[4] + t * n0, n0), y);
        quads_to(out[0] + t * n1, y, n1);
    }
    quads_to(out[1], M, n0 * n1);
    quads_to(out[2], S, n0 * n1);
}

/* Eqs 34-35 in rows: W_t = A_t W_{t-1} + rate k' v with the matrix A_t = keep (I - rate k' k). */
static void delta_rule(const int64_t *dims, const double *const *in, double *const *out, int longhorn,
                       const double *alpha) {
    const int64_t T = dims[0], n0 = dims[1], n1 = dims[2];
    Quad *W = quads_from(in[0], n0 * n1);
    const Quad *K = quads_from(in[1], T * n0), *V = quads_from(in[2], T * n1), *Q = quads_from(in[3], T * n0);
    for (int64_t t = 0; t < T; t++) {
        const Quad *k = K + t * n0, keep = alpha ? 1 - (Quad)alpha[t] : 1;
        Quad length = 0, *A = quads(n0 * n0);
        for (int64_t i = 0; i < n0; i++) length += k[i] * k[i];
        const Quad rate = in[4][t] / (longhorn ? 1 + in[4][t] * length : 1);
        for (int64_t i = 0; i < n0; i++)
            for (int64_t j = 0; j < n0; j++) A[i * n0 + j] = keep * ((i == j) - rate * k[i] * k[j]);
        W = quads_product(A, W, n0, n0, n1);
        for (int64_t i = 0; i < n0; i++)
            for (int64_t c = 0; c < n1; c++) W[i * n1 + c] += rate * k[i] * V[t * n1 + c];
        quads_to(out[0] + t * n1, quads_product(Q + t * n0, W, 1, n0, n1), n1);
    }
    quads_to(out[1], W, n0 * n1);
}

void oracle_delta_net(const int64_t *dims, const double *const *in, double *const *out) {
    delta_rule(dims, in, out, 0, NULL);
}

/* E16: the decay comes before the error is taken. */
void oracle_gated_delta_net(const int64_t *dims, const double *const *in, double *const *out) {
    delta_rule(dims, in, out, 0, in[5]);
}

void oracle_longhorn(const int64_t *dims, const double *const *in, double *const *out) {
    delta_rule(dims, in, out, 1, NULL);
}

/* Eq 8 with the loss of appendix C. */
void oracle_ttt_layer(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], n0 = dims[1], n1 = dims[2];
    const Network n = {.layers = 1, .width = {n0, n1}};
    Quad *M = quads_from(in[0], n0 * n1), *u = quads(n0 * n1), *y = quads(n1);
    for (int64_t t = 0; t < T; t++) {
        network_surprise(&n, M, quads_from(in[1] + t * n0, n0), quads_from(in[2] + t * n1, n1), u);
        for (int64_t p = 0; p < n0 * n1; p++) M[p] -= in[4][t] * u[p] / 2;
        network_read(&n, M, quads_from(in[3] + t * n0, n0), y);
        quads_to(out[0] + t * n1, y, n1);
    }
    quads_to(out[1], M, n0 * n1);
}
