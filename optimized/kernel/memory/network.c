#pragma once
/* The memory as a function: activation, output residual and layer normalisation, the gradient of the
 * associative loss (eq 12) and that gradient's own backward pass. */
#include "kernel/memory/chunk.c"
#include "vec/normal.h"

static void memory_activate(const MemoryChunk *c, int l, int64_t n, const float *x, float *sigma,
                            float *out) {
    const int gelu = c->shape->gelu;
    const int64_t width = padded(c->width[l]), ld = c->ld[l];
    for (int64_t at = 0; at < n * ld; at += ld)
        EACH_VECTORS(j, count, lanes, at, at + width, vecs_activate(count, gelu, x + j, sigma + j, out + j));
}

/* out = in * act'(x), sigma the logistic factor at x. */
static void memory_slope(const MemoryChunk *c, int l, int64_t n, const float *x, const float *sigma,
                         const float *in, float *out) {
    const int gelu = c->shape->gelu;
    FOR_ROWS (c, l, n, j) {
        const Vec v = vec_load(x + j), s = vec_load(sigma + j);
        vec_store(out + j, vec_mul(vec_load(in + j), gelu ? vec_gelu_d1(v, s) : vec_silu_d1(v, s)));
    }
}

/* M(x) from the last layer's A: out = residual x + (norm ? hat(A) : A). */
static void memory_output(const MemoryChunk *c, int64_t n, const float *A, const float *x,
                          const MemoryNorm *norm, float *out) {
    const int64_t width = c->width[c->layers], ld = c->ld[c->layers];
    for (int64_t t = 0; t < n; t++) {
        const float *y = A + t * ld;
        if (c->shape->norm) {
            norm->inverse[t] = row_normalise(width, MEMORY_NORM_EPS, y, norm->hat + t * ld);
            y = norm->hat + t * ld;
        }
        FOR_VECTORS (j, width) {
            const Vec v = vec_load(y + j);
            vec_store(out + t * ld + j, c->shape->residual ? vec_add(vec_load(x + t * ld + j), v) : v);
        }
    }
}

/* dA of memory_output from d(out), row by row; they may be the same array. */
static void memory_output_slope(const MemoryChunk *c, int64_t n, const MemoryNorm *norm, const float *e,
                                float *out) {
    const int64_t width = c->width[c->layers], ld = c->ld[c->layers];
    for (int64_t t = 0; t < n; t++)
        if (c->shape->norm)
            row_normalise_slope(width, norm->hat + t * ld, norm->inverse[t], e + t * ld, out + t * ld);
        else if (out != e)
            memcpy(out + t * ld, e + t * ld, (size_t)ld * sizeof(float));
}

/* Inner gradient at weights W for n tokens: H, A, then E, D (eq 12 back-propagated). E[L] holds v on entry.
 */
static void memory_inner_gradient(MemoryChunk *c, const float *W, int64_t n) {
    const int L = c->layers;
    for (int l = 1; l <= L; l++) {
        gemm_serial(GEMM_NN, n, c->width[l], c->width[l - 1], c->H[l - 1], c->ld[l - 1], W + memory_at(c, l),
                    c->width[l], c->A[l], c->ld[l], 0);
        if (l < L) memory_activate(c, l, n, c->A[l], c->sigma_a[l], c->H[l]);
    }
    memory_output(c, n, c->A[L], c->H[0], &c->key, c->H[L]);
    const Vec two = vec_set1(2.0f);
    FOR_ROWS (c, L, n, j) {
        vec_store(c->E[L] + j, vec_mul(two, vec_sub(vec_load(c->H[L] + j), vec_load(c->E[L] + j))));
    }
    memory_output_slope(c, n, &c->key, c->E[L], c->D[L]);
    for (int l = L; l >= 2; l--) {
        gemm_serial(GEMM_NT, n, c->width[l - 1], c->width[l], c->D[l], c->ld[l], W + memory_at(c, l),
                    c->width[l], c->E[l - 1], c->ld[l - 1], 0);
        memory_slope(c, l - 1, n, c->A[l - 1], c->sigma_a[l - 1], c->E[l - 1], c->D[l - 1]);
    }
}

/* From dD[L], the gradient of the loss's gradient at A[L], back to the loss: E[L] = 2 (M(k) - v), D[L] = J(A)
 * E. Leaves d(E[L]) in dD[L] and d(A[L]) in dA[L]; adds the residual's share to dH[0]. The derivative of J
 * itself is -inverse / width (hat (dD . D) + (J dD) (E . hat) + D (dD . hat)), erratum E20. */
static void memory_loss_backward(MemoryChunk *c, int64_t n) {
    const int L = c->layers;
    const int64_t width = c->width[L], ld = c->ld[L];
    const Vec two = vec_set1(2.0f);
    for (int64_t t = 0; t < n; t++) {
        float *dD = c->dD[L] + t * ld, *dA = c->dA[L] + t * ld, *dk = c->dH[0] + t * c->ld[0];
        const float *D = c->D[L] + t * ld, *E = c->E[L] + t * ld, *hat = c->key.hat + t * ld;
        NormalDots dots = {0};
        if (c->shape->norm) {
            dots = row_normalise_dots(width, hat, D, E, dD);
            row_normalise_slope(width, hat, c->key.inverse[t], dD, dD);
        }
        FOR_VECTORS (j, width) {
            const Vec dh = vec_mul(two, vec_load(dD + j));
            vec_store(dA + j, dh);
            if (c->shape->residual) vec_store(dk + j, vec_add(vec_load(dk + j), dh));
        }
        if (!c->shape->norm) continue;
        row_normalise_slope(width, hat, c->key.inverse[t], dA, dA);
        row_normalise_bend(width, hat, c->key.inverse[t], dots, D, dD, dA);
    }
}

/* Through the inner gradient (second order) and the inner forward. Leaves dK in dH[0] and dV / -2 in dD[L].
 */
static void memory_inner_backward(MemoryChunk *c, const float *W, float *dW, int64_t n) {
    const int L = c->layers, gelu = c->shape->gelu;
    for (int l = 1; l < L; l++) {
        FOR_ROWS (c, l, n, j) {
            const Vec x = vec_load(c->A[l] + j), s = vec_load(c->sigma_a[l] + j), dd = vec_load(c->dD[l] + j);
            vec_store(c->dE + j, vec_mul(dd, gelu ? vec_gelu_d1(x, s) : vec_silu_d1(x, s)));
            vec_store(c->dA[l] + j, vec_mul(vec_mul(dd, vec_load(c->E[l] + j)),
                                            gelu ? vec_gelu_d2(x, s) : vec_silu_d2(x, s)));
        }
        gemm_serial(GEMM_NN, n, c->width[l + 1], c->width[l], c->dE, c->ld[l], W + memory_at(c, l + 1),
                    c->width[l + 1], c->dD[l + 1], c->ld[l + 1], 1);
        gemm_serial(GEMM_TN, c->width[l], c->width[l + 1], n, c->dE, c->ld[l], c->D[l + 1], c->ld[l + 1],
                    dW + memory_at(c, l + 1), c->width[l + 1], 1);
    }
    memory_loss_backward(c, n);
    for (int l = L; l >= 1; l--) {
        if (l < L)
            FOR_ROWS (c, l, n, j) {
                const Vec x = vec_load(c->A[l] + j), s = vec_load(c->sigma_a[l] + j);
                const Vec slope = gelu ? vec_gelu_d1(x, s) : vec_silu_d1(x, s);
                vec_store(c->dA[l] + j, vec_fma(vec_load(c->dH[l] + j), slope, vec_load(c->dA[l] + j)));
            }
        gemm_serial(GEMM_TN, c->width[l - 1], c->width[l], n, c->H[l - 1], c->ld[l - 1], c->dA[l], c->ld[l],
                    dW + memory_at(c, l), c->width[l], 1);
        gemm_serial(GEMM_NT, n, c->width[l - 1], c->width[l], c->dA[l], c->ld[l], W + memory_at(c, l),
                    c->width[l], c->dH[l - 1], c->ld[l - 1], 1);
    }
}

/* The query path at fixed weights (eqs 15, 21): Z[0] -> Y. */
static void memory_read_rows(MemoryChunk *c, const float *W, int64_t n) {
    for (int l = 1; l <= c->layers; l++) {
        gemm_serial(GEMM_NN, n, c->width[l], c->width[l - 1], c->Z[l - 1], c->ld[l - 1], W + memory_at(c, l),
                    c->width[l], c->O[l], c->ld[l], 0);
        if (l < c->layers) memory_activate(c, l, n, c->O[l], c->sigma_o[l], c->Z[l]);
    }
    memory_output(c, n, c->O[c->layers], c->Z[0], &c->query, c->Y);
}

/* Its backward: dY -> dZ (of Z[0]), adds to dW. */
static void memory_read_rows_backward(MemoryChunk *c, const float *W, float *dW, int64_t n) {
    memory_output_slope(c, n, &c->query, c->dY, c->dO);
    for (int l = c->layers; l >= 1; l--) {
        gemm_serial(GEMM_TN, c->width[l - 1], c->width[l], n, c->Z[l - 1], c->ld[l - 1], c->dO, c->ld[l],
                    dW + memory_at(c, l), c->width[l], 1);
        gemm_serial(GEMM_NT, n, c->width[l - 1], c->width[l], c->dO, c->ld[l], W + memory_at(c, l),
                    c->width[l], c->dZ, c->ld[l - 1], 0);
        if (l > 1) memory_slope(c, l - 1, n, c->O[l - 1], c->sigma_o[l - 1], c->dZ, c->dO);
    }
    if (c->shape->residual)
        FOR_ROWS (c, 0, n, j) {
            vec_store(c->dZ + j, vec_add(vec_load(c->dZ + j), vec_load(c->dY + j)));
        }
}
