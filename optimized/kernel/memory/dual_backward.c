#pragma once
/* Backward of the dual form; step numbers are those of the derivation in docs/dual-form.md. */
#include "kernel/memory/dual.c"

/* Backward of memory_dual_update for layer l (step 5' of the derivation); dW, dS belong to the chunk's end.
 */
static void memory_update_backward(MemoryChunk *c, int l, const float *W, const float *S, const float *dW,
                                   const float *dS, int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l],
                  at = memory_at(c, l);
    MemoryGates *g = memory_gates_of(c, l);
    const float *last_c = g->C + (n - 1) * c->ldc, *last_p = g->P + (n - 1) * c->ldc, *H = c->H[l - 1];
    g->dbeta[n - 1] += flat_dot(in * out, W + at, dW + at);
    g->da0[n - 1] += flat_dot(in * out, S + at, dW + at);
    g->dp0[n - 1] += flat_dot(in * out, S + at, dS + at);
    for (int pass = 0; pass < 2; pass++) {
        const float *last = pass ? last_p : last_c, *d_end = (pass ? dS : dW) + at;
        float *dw = pass ? g->deta : g->dkeep; /* d(ws), d(wc): free until memory_gates_backward */
        gemm_serial(GEMM_NT, n, in, out, c->D[l], ldo, d_end, out, c->left, ldi, 0);
        for (int64_t i = 0; i < n; i++) {
            const float weight = -last[i] * g->theta[i];
            float *dh = c->dH[l - 1] + i * ldi;
            dw[i] -= row_dot(in, H + i * ldi, c->left + i * ldi);
            FOR_VECTORS (j, in) {
                vec_store(dh + j,
                          vec_fma(vec_set1(weight), vec_load(c->left + i * ldi + j), vec_load(dh + j)));
            }
            c->coefficient[i] = weight;
        }
        rows_scale(n, in, ldi, c->coefficient, H, c->left);
        gemm_serial(GEMM_NN, n, out, in, c->left, ldi, d_end, out, c->dD[l], ldo, 1);
    }
}

/* What the last token's coefficients owe to wc = C theta and ws = P theta. */
static void memory_last_backward(MemoryGates *g, int64_t ld, int64_t n) {
    const float *last_c = g->C + (n - 1) * ld, *last_p = g->P + (n - 1) * ld, *dwc = g->dkeep, *dws = g->deta;
    for (int64_t i = 0; i < n; i++) {
        g->dC[(n - 1) * ld + i] += dwc[i] * g->theta[i];
        g->dP[(n - 1) * ld + i] += dws[i] * g->theta[i];
        g->dtheta[i] += fmaf(dwc[i], last_c[i], dws[i] * last_p[i]);
    }
}

/* Step 5' for all layers, then moves dW, dS from the chunk's end to its start. */
static void memory_updates_backward(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                    int64_t n) {
    for (int l = 1; l <= c->layers; l++) memory_update_backward(c, l, W, S, dW, dS, n);
    for (int set = 0; set < c->sets; set++) memory_last_backward(&c->gates[set], c->ldc, n);
    for (int l = 1; l <= c->layers; l++) {
        const MemoryGates *g = memory_gates_of(c, l);
        const Vec beta = vec_set1(g->beta[n - 1]), a0 = vec_set1(g->a0[n - 1]), p0 = vec_set1(g->p0[n - 1]);
        const int64_t count = c->width[l - 1] * c->width[l];
        float *to_w = dW + memory_at(c, l), *to_s = dS + memory_at(c, l);
        FOR_VECTORS (j, count) {
            const int64_t lanes = vec_lanes(j, count);
            const Vec w = vec_load_n(to_w + j, lanes), s = vec_load_n(to_s + j, lanes);
            vec_store_n(to_s + j, vec_fma(a0, w, vec_mul(p0, s)), lanes);
            vec_store_n(to_w + j, vec_mul(beta, w), lanes);
        }
    }
}

/* dN = -(dO D'), then N' into dD, dF = C theta * dN (in place of N) and dCt += F * dN. */
static void memory_weights_backward(MemoryChunk *c, int l, int64_t n) {
    const int64_t out = c->width[l], ldo = c->ld[l];
    const MemoryGates *g = memory_gates_of(c, l);
    memory_weigh(c, g, n);
    memory_upper_apply(c, n, out, c->N, c->dO, c->dD[l], ldo);
    rows_transpose(n, out, c->D[l], ldo, c->transposed, c->ldc);
    memory_lower_product(c, n, out, c->dO, ldo, c->transposed, c->N);
    for (int64_t t = 0; t < n; t++) {
        const float *C = g->C + t * c->ldc, *F = c->F + t * c->ldc;
        float *N = c->N + t * c->ldc, *dCt = g->dCt + t * c->ldc;
        FOR_VECTORS (i, padded(n)) {
            const Vec dn = vec_sub(vec_zero(), i <= t ? vec_load(N + i) : vec_zero());
            const Vec f = i <= t ? vec_load(F + i) : vec_zero();
            vec_store(dCt + i, vec_fma(f, dn, vec_load(dCt + i)));
            vec_store(N + i, vec_mul(vec_mul(vec_load(C + i), vec_load(g->theta + i)), dn));
        }
    }
}

/* Step 4' for layer l: dO is given; leaves dZ of the layer's input in c->dZ. */
static void memory_query_backward(MemoryChunk *c, int l, const float *W, const float *S, float *dW, float *dS,
                                  int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l],
                  at = memory_at(c, l);
    const float *Z = c->Z[l - 1], *H = c->H[l - 1];
    const MemoryGates *g = memory_gates_of(c, l);
    rows_transpose(n, in, H, ldi, c->transposed, c->ldc);
    memory_lower_product(c, n, in, Z, ldi, c->transposed, c->F);
    memory_weights_backward(c, l, n);
    memory_upper_apply(c, n, in, c->N, Z, c->dH[l - 1], ldi);
    for (int pass = 0; pass < 2; pass++) {
        const float *weight = pass ? g->a0 : g->beta;
        float *dweight = pass ? g->da0 : g->dbeta;
        gemm_serial(GEMM_NT, n, in, out, c->dO, ldo, (pass ? S : W) + at, out, c->right, ldi, 0);
        for (int64_t t = 0; t < n; t++) {
            float *dz = c->dZ + t * ldi;
            const float *r = c->right + t * ldi;
            const Vec factor = vec_set1(weight[t]);
            dweight[t] += row_dot(in, Z + t * ldi, r);
            FOR_VECTORS (j, in) {
                vec_store(dz + j, vec_fma(factor, vec_load(r + j), pass ? vec_load(dz + j) : vec_zero()));
            }
        }
        rows_scale(n, in, ldi, weight, Z, c->left);
        gemm_serial(GEMM_TN, in, out, n, c->left, ldi, c->dO, ldo, (pass ? dS : dW) + at, out, 1);
    }
    memory_lower_apply(c, n, in, c->N, H, c->dZ, ldi);
}

static void memory_queries_backward(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                    int64_t n) {
    for (int l = c->layers; l >= 1; l--) {
        memory_query_backward(c, l, W, S, dW, dS, n);
        if (l > 1) memory_slope(c, l - 1, n, c->O[l - 1], c->sigma_o[l - 1], c->dZ, c->dO);
    }
}

/* Step 3': adjoint of memory_coefficients, t descending. */
static void memory_gates_backward(MemoryGates *g, int64_t ld, int64_t n) {
    for (int64_t t = 0; t < n; t++)
        FOR_VECTORS (i, padded(n)) {
            const Vec d = vec_load(g->dCt + t * ld + i), theta = vec_load(g->theta + i);
            vec_store(g->dtheta + i, vec_fma(d, vec_load(g->C + t * ld + i), vec_load(g->dtheta + i)));
            vec_store(g->dC + t * ld + i, vec_fma(d, theta, vec_load(g->dC + t * ld + i)));
        }
    for (int64_t t = n - 1; t >= 0; t--) {
        float *dC = g->dC + t * ld, *dP = g->dP + t * ld;
        const float a0 = t ? g->a0[t - 1] : 0.0f, beta = t ? g->beta[t - 1] : 1.0f,
                    p0 = t ? g->p0[t - 1] : 1.0f;
        const Vec keep = vec_set1(g->keep[t]), eta = vec_set1(g->eta[t]);
        g->dkeep[t] = fmaf(g->da0[t], a0, g->dbeta[t] * beta);
        if (t) g->dkeep[t] += row_dot(padded(t), dC, g->C + (t - 1) * ld);
        FOR_VECTORS (i, t + 1) vec_store(dP + i, vec_add(vec_load(dP + i), vec_load(dC + i)));
        g->dp0[t] += g->da0[t];
        g->deta[t] = g->dp0[t] * p0;
        if (!t) break;
        g->deta[t] += row_dot(padded(t), dP, g->P + (t - 1) * ld);
        FOR_VECTORS (i, t) {
            vec_store(dC - ld + i, vec_fma(keep, vec_load(dC + i), vec_load(dC - ld + i)));
            vec_store(dP - ld + i, vec_fma(eta, vec_load(dP + i), vec_load(dP - ld + i)));
        }
        g->da0[t - 1] = fmaf(g->keep[t], g->da0[t], g->da0[t - 1]);
        g->dbeta[t - 1] = fmaf(g->keep[t], g->dbeta[t], g->dbeta[t - 1]);
        g->dp0[t - 1] = fmaf(g->eta[t], g->dp0[t], g->dp0[t - 1]);
    }
}
