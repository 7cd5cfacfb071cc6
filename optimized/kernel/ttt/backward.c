#pragma once
/* A mini-batch backward: its end, its reads, the rates, then through the inner gradient (second order) and the inner
 * forward. dw is d/d(weights), of the mini-batch's end on entry and of its start on return. */
#include "kernel/ttt/forward.c"

/* Clears what is added to; with `over` the gradient comes in through the weights of the end: W' = W - H' (reader_n E). */
static void ttt_update_backward(TttChunk *c, const float *dw, int64_t m, int over) {
    memset(c->dreader, 0, (size_t)m * sizeof(float));
    for (int l = 1; l <= c->layers; l++) {
        const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l];
        const float *G = dw + ttt_weight_at(c, l), *E = c->E[l];
        float *dE = c->dE[l], *dH = c->dH[l - 1];
        memset(dH, 0, (size_t)(m * ldi) * sizeof(float));
        memset(dE, 0, (size_t)(m * ldo) * sizeof(float));
        if (!over) continue;
        ttt_map(c, dw, l, m, c->H[l - 1], dE); /* H G + g: dw is laid out as weights are */
        for (int64_t t = 0; t < m; t++) c->dreader[m - 1] -= row_dot(out, dE + t * ldo, E + t * ldo);
        const Vec reader = vec_set1(-c->reader[m - 1]);
        FOR_ROWS (c, l, m, j) vec_store(dE + j, vec_mul(reader, vec_load(dE + j)));
        ttt_last(c, l, m);
        gemm_serial(GEMM_NT, m, in, out, c->left, ldo, G, out, dH, ldi, 0);
    }
}

/* dY -> dO[L], dgain, dbias. */
static void ttt_output_backward(TttChunk *c, int64_t m) {
    const int64_t width = c->width[0], ld = c->ld[0];
    for (int64_t t = 0; t < m; t++) {
        const float *dy = c->dY + t * ld, *hat = c->read_hat + t * ld;
        float *dO = c->dO[c->layers] + t * ld;
        FOR_VECTORS (j, width) {
            const Vec d = vec_load(dy + j);
            vec_store(c->dbias + j, vec_add(vec_load(c->dbias + j), d));
            vec_store(c->dgain + j, vec_fma(d, vec_load(hat + j), vec_load(c->dgain + j)));
            vec_store(dO + j, vec_mul(d, vec_load(c->gain + j)));
        }
        row_normalise_slope(width, hat, c->read_inverse[t], dO, dO);
        if (!c->shape->own) continue;
        FOR_VECTORS (j, width) vec_store(dO + j, vec_add(vec_load(dO + j), vec_load(dy + j)));
    }
}

/* dN holds dO E'; becomes dF = -reader_t dN on and below the diagonal, and dreader_t -= sum_i (F + 1) dN. */
static void ttt_scores_backward(TttChunk *c, int l, int64_t m) {
    for (int64_t t = 0; t < m; t++) {
        const Vec reader = vec_set1(-c->reader[t]), one = vec_set1(1.0f);
        Vec sum = vec_zero();
        FOR_VECTORS (i, m) {
            float *d = c->dN + t * c->ldc + i;
            const Vec dn = vec_first(vec_load(d), t + 1 - i);
            sum = vec_fma(vec_add(vec_load(c->F[l] + t * c->ldc + i), one), dn, sum);
            vec_store(d, vec_mul(reader, dn));
        }
        c->dreader[t] -= vec_sum(sum);
    }
}

/* Reads of layer l, dO[l] given: leaves dQ of its inputs. */
static void ttt_query_backward(TttChunk *c, int l, const float *w, float *dw, int64_t m) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l];
    const float *Q = c->Q[l - 1], *dO = c->dO[l];
    ttt_weigh(c, l, 0, m);
    gemm_serial(GEMM_TN, m, out, m, c->N, c->ldc, dO, ldo, c->dE[l], ldo, 1);
    gemm_serial(GEMM_NT, m, m, out, dO, ldo, c->E[l], ldo, c->dN, c->ldc, 0);
    ttt_scores_backward(c, l, m);
    gemm_serial(GEMM_TN, in, out, m, Q, ldi, dO, ldo, dw + ttt_weight_at(c, l), out, 1);
    ttt_add_rows(m, out, dO, ldo, dw + ttt_bias_at(c, l));
    gemm_serial(GEMM_NT, m, in, out, dO, ldo, w + ttt_weight_at(c, l), out, c->dQ, ldi, 0);
    gemm_serial(GEMM_NN, m, in, m, c->dN, c->ldc, c->H[l - 1], ldi, c->dQ, ldi, 1);
    gemm_serial(GEMM_TN, m, in, m, c->dN, c->ldc, Q, ldi, c->dH[l - 1], ldi, 1);
    if (l > 1) ttt_gelu_slope(c, l - 1, m, c->O[l - 1], c->sigma_o[l - 1], c->dQ, c->dO[l - 1]);
}

/* E = rate D */
static void ttt_rate_backward(TttChunk *c, int64_t m) {
    memset(c->drate, 0, (size_t)m * sizeof(float));
    for (int l = 1; l <= c->layers; l++) {
        for (int64_t t = 0; t < m; t++)
            c->drate[t] += row_dot(c->width[l], c->dE[l] + t * c->ld[l], c->D[l] + t * c->ld[l]);
        rows_scale(m, c->width[l], c->ld[l], c->rate, c->dE[l], c->dD[l]);
    }
}

/* D[l] = B[l] gelu'(A[l]), B[l] = D[l+1] W[l+1]': from dD[l] to dA[l], dD[l+1] and dw. */
static void ttt_back_backward(TttChunk *c, int l, const float *w, float *dw, int64_t m) {
    const int64_t in = c->width[l], out = c->width[l + 1], ldi = c->ld[l], ldo = c->ld[l + 1];
    FOR_ROWS (c, l, m, j) {
        const Vec x = vec_load(c->A[l] + j), s = vec_load(c->sigma_a[l] + j), d = vec_load(c->dD[l] + j);
        vec_store(c->left + j, vec_mul(d, vec_gelu_d1(x, s)));
        vec_store(c->dA[l] + j, vec_mul(vec_mul(d, vec_load(c->B[l] + j)), vec_gelu_d2(x, s)));
    }
    gemm_serial(GEMM_NN, m, out, in, c->left, ldi, w + ttt_weight_at(c, l + 1), out, c->dD[l + 1], ldo, 1);
    gemm_serial(GEMM_TN, in, out, m, c->left, ldi, c->D[l + 1], ldo, dw + ttt_weight_at(c, l + 1), out, 1);
}

/* Row t of ttt_loss_row: D = J (gain error), J at A[L], error = gain hat + bias - (v - k). */
static void ttt_loss_backward(TttChunk *c, int64_t t) {
    const int64_t width = c->width[0], at = t * c->ld[0];
    const float *hat = c->hat + at, *D = c->D[c->layers] + at, inverse = c->inverse[t];
    float *dD = c->dD[c->layers] + at, *dA = c->dA[c->layers] + at, *dtarget = c->dtarget + at;
    const NormalDots dots = row_normalise_dots(width, hat, D, c->slope + at, dD);
    row_normalise_slope(width, hat, inverse, dD, dD);
    FOR_VECTORS (j, width) {
        const Vec gain = vec_load(c->gain + j), d = vec_load(dD + j), de = vec_mul(gain, d);
        Vec dgain = vec_fma(d, vec_load(c->error + at + j), vec_load(c->dgain + j));
        dgain = vec_fma(de, vec_load(hat + j), dgain);
        vec_store(c->dgain + j, dgain);
        vec_store(c->dbias + j, vec_add(vec_load(c->dbias + j), de));
        vec_store(dtarget + j, vec_sub(vec_zero(), de));
        vec_store(dA + j, vec_mul(gain, de));
    }
    row_normalise_slope(width, hat, inverse, dA, dA);
    row_normalise_bend(width, hat, inverse, dots, D, dD, dA);
}

/* A[l] = H[l-1] W[l] + b[l]: adds to dH[l-1] and dw. */
static void ttt_map_backward(TttChunk *c, int l, const float *w, float *dw, int64_t m) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l];
    if (l < c->layers)
        FOR_ROWS (c, l, m, j) {
            const Vec slope = vec_gelu_d1(vec_load(c->A[l] + j), vec_load(c->sigma_a[l] + j));
            vec_store(c->dA[l] + j, vec_fma(vec_load(c->dH[l] + j), slope, vec_load(c->dA[l] + j)));
        }
    gemm_serial(GEMM_TN, in, out, m, c->H[l - 1], ldi, c->dA[l], ldo, dw + ttt_weight_at(c, l), out, 1);
    ttt_add_rows(m, out, c->dA[l], ldo, dw + ttt_bias_at(c, l));
    gemm_serial(GEMM_NT, m, in, out, c->dA[l], ldo, w + ttt_weight_at(c, l), out, c->dH[l - 1], ldi, 1);
}

static void ttt_chunk_backward(TttChunk *c, const float *w, float *dw, int64_t m, int over) {
    ttt_update_backward(c, dw, m, over);
    ttt_output_backward(c, m);
    for (int l = c->layers; l >= 1; l--) ttt_query_backward(c, l, w, dw, m);
    ttt_rate_backward(c, m);
    for (int l = 1; l < c->layers; l++) ttt_back_backward(c, l, w, dw, m);
    for (int64_t t = 0; t < m; t++) ttt_loss_backward(c, t);
    for (int l = c->layers; l >= 1; l--) ttt_map_backward(c, l, w, dw, m);
}
