#pragma once
/* The chunk by matrix products, for decay per head: states are weighted sums over the chunk's tokens. */
#include "kernel/memory/network.c"

/* Coefficients of dual-form states (erratum E5), tokens counted from 0:
 * P[t][i] = prod eta_(i+1..t), C[t][i] = keep_t C[t-1][i] + P[t][i]; beta, a0, p0 are the weights of M_0, S_0
 * in M_t and of S_0 in S_t. Sums of products of numbers in [0,1]: no division, no cancellation (E3); what is
 * below 2^-100 is 0 (memory_flush), long before it would be a denormal number. */
static void memory_coefficients(MemoryGates *g, int64_t ld, int64_t n) {
    float beta = 1.0f, a0 = 0.0f, p0 = 1.0f;
    memset(g->P, 0, (size_t)(padded(n) * ld) * sizeof(float));
    memset(g->C, 0, (size_t)(padded(n) * ld) * sizeof(float));
    for (int64_t t = 0; t < n; t++) {
        float *P = g->P + t * ld, *C = g->C + t * ld;
        const Vec keep = vec_set1(g->keep[t]), eta = vec_set1(g->eta[t]);
        if (t > 0)
            FOR_VECTORS (i, t) vec_store(P + i, memory_flush(vec_mul(eta, vec_load(P - ld + i))));
        P[t] = 1.0f;
        FOR_VECTORS (i, t + 1) {
            const Vec previous = t > 0 ? vec_load(C - ld + i) : vec_zero();
            vec_store(C + i, memory_flush(vec_fma(keep, previous, vec_load(P + i))));
        }
        g->beta[t] = beta = memory_flush_one(g->keep[t] * beta);
        g->p0[t] = p0 = memory_flush_one(g->eta[t] * p0);
        g->a0[t] = a0 = memory_flush_one(fmaf(g->keep[t], a0, p0));
    }
}

static int64_t memory_block_end(int64_t i, int64_t n) { return i + MEMORY_BLOCK < n ? i + MEMORY_BLOCK : n; }

/* F = X Y' on and below the diagonal, by row blocks; y_transposed is Y'. */
static void memory_lower_product(MemoryChunk *c, int64_t n, int64_t width, const float *X, int64_t ld,
                                 const float *y_transposed, float *F) {
    for (int64_t i = 0; i < n; i += MEMORY_BLOCK) {
        const int64_t end = memory_block_end(i, n);
        gemm_serial(GEMM_NN, end - i, padded(end), width, X + i * ld, ld, y_transposed, c->ldc,
                    F + i * c->ldc, c->ldc, 0);
    }
}

/* out += T X for lower triangular T. */
static void memory_lower_apply(MemoryChunk *c, int64_t n, int64_t width, const float *T, const float *X,
                               float *out, int64_t ld) {
    for (int64_t i = 0; i < n; i += MEMORY_BLOCK) {
        const int64_t end = memory_block_end(i, n);
        gemm_serial(GEMM_NN, end - i, width, end, T + i * c->ldc, c->ldc, X, ld, out + i * ld, ld, 1);
    }
}

/* out += T' X for lower triangular T. */
static void memory_upper_apply(MemoryChunk *c, int64_t n, int64_t width, const float *T, const float *X,
                               float *out, int64_t ld) {
    for (int64_t i = 0; i < n; i += MEMORY_BLOCK)
        gemm_serial(GEMM_TN, memory_block_end(i, n) - i, width, n - i, T + i * c->ldc + i, c->ldc, X + i * ld,
                    ld, out + i * ld, ld, 1);
}

/* N[t][i] = -C[t][i] theta_i F[t][i] for i <= t, 0 above. */
static void memory_weigh(MemoryChunk *c, const MemoryGates *g, int64_t n) {
    for (int64_t t = 0; t < n; t++) {
        const float *C = g->C + t * c->ldc, *F = c->F + t * c->ldc;
        float *N = c->N + t * c->ldc;
        FOR_VECTORS (i, padded(n)) {
            const Vec weight = vec_mul(vec_load(C + i), vec_load(g->theta + i));
            vec_store(N + i, vec_sub(vec_zero(), vec_mul(weight, i <= t ? vec_load(F + i) : vec_zero())));
        }
    }
}

/* Query path of layer l at all tokens: O = (beta Z) W + (a0 Z) S - (C theta * Z H') D. */
static void memory_dual_query(MemoryChunk *c, int l, const float *W, const float *S, int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l];
    const MemoryGates *g = memory_gates_of(c, l);
    rows_transpose(n, in, c->H[l - 1], ldi, c->transposed, c->ldc);
    memory_lower_product(c, n, in, c->Z[l - 1], ldi, c->transposed, c->F);
    memory_weigh(c, g, n);
    rows_scale(n, in, ldi, g->beta, c->Z[l - 1], c->left);
    gemm_serial(GEMM_NN, n, out, in, c->left, ldi, W + memory_at(c, l), out, c->O[l], ldo, 0);
    rows_scale(n, in, ldi, g->a0, c->Z[l - 1], c->left);
    gemm_serial(GEMM_NN, n, out, in, c->left, ldi, S + memory_at(c, l), out, c->O[l], ldo, 1);
    memory_lower_apply(c, n, out, c->N, c->D[l], c->O[l], ldo);
    if (l < c->layers) memory_activate(c, l, n, c->O[l], c->sigma_o[l], c->Z[l]);
}

/* Final state of layer l: W = beta W + a0 S - (wc H)' D, S = p0 S - (ws H)' D, coefficients of the last
 * token. */
static void memory_dual_update(MemoryChunk *c, int l, float *W, float *S, int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], count = in * out;
    const MemoryGates *g = memory_gates_of(c, l);
    const Vec beta = vec_set1(g->beta[n - 1]), a0 = vec_set1(g->a0[n - 1]), p0 = vec_set1(g->p0[n - 1]);
    const float *last_c = g->C + (n - 1) * c->ldc, *last_p = g->P + (n - 1) * c->ldc;
    W += memory_at(c, l);
    S += memory_at(c, l);
    FOR_VECTORS (j, count) {
        const int64_t lanes = vec_lanes(j, count);
        const Vec s = vec_load_n(S + j, lanes);
        vec_store_n(W + j, vec_fma(beta, vec_load_n(W + j, lanes), vec_mul(a0, s)), lanes);
        vec_store_n(S + j, vec_mul(p0, s), lanes);
    }
    for (int64_t i = 0; i < n; i++) c->coefficient[i] = -last_c[i] * g->theta[i];
    rows_scale(n, in, ldi, c->coefficient, c->H[l - 1], c->left);
    gemm_serial(GEMM_TN, in, out, n, c->left, ldi, c->D[l], c->ld[l], W, out, 1);
    for (int64_t i = 0; i < n; i++) c->coefficient[i] = -last_p[i] * g->theta[i];
    rows_scale(n, in, ldi, c->coefficient, c->H[l - 1], c->left);
    gemm_serial(GEMM_TN, in, out, n, c->left, ldi, c->D[l], c->ld[l], S, out, 1);
}

static void memory_dual(MemoryChunk *c, float *W, float *S, int64_t n) {
    for (int g = 0; g < c->sets; g++) memory_coefficients(&c->gates[g], c->ldc, n);
    for (int l = 1; l <= c->layers; l++) memory_dual_query(c, l, W, S, n);
    for (int l = 1; l <= c->layers; l++) memory_dual_update(c, l, W, S, n);
}
