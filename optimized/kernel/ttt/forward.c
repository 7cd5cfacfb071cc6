#pragma once
/* A mini-batch forward: the inner gradient at its first weights, then reads and the next weights by products. */
#include "kernel/ttt/chunk.c"

/* z = h W[l] + b[l] for n rows. */
static void ttt_map(const TttChunk *c, const float *w, int l, int64_t n, const float *h, float *z) {
    const int64_t in = c->width[l - 1], out = c->width[l];
    const float *b = w + ttt_bias_at(c, l);
    rows_load(n, out, b, 0, z, c->ld[l]);
    gemm_serial(GEMM_NN, n, out, in, h, c->ld[l - 1], w + ttt_weight_at(c, l), out, z, c->ld[l], 1);
}

static void ttt_gelu(const TttChunk *c, int l, int64_t n, const float *z, float *sigma, float *h) {
    const int64_t width = padded(c->width[l]), ld = c->ld[l];
    for (int64_t at = 0; at < n * ld; at += ld)
        EACH_VECTORS(j, count, lanes, at, at + width, vecs_activate(count, 1, z + j, sigma + j, h + j));
}

/* out = in * gelu'(z) */
static void ttt_gelu_slope(const TttChunk *c, int l, int64_t n, const float *z, const float *sigma,
                           const float *in, float *out) {
    FOR_ROWS (c, l, n, j) {
        vec_store(out + j, vec_mul(vec_load(in + j), vec_gelu_d1(vec_load(z + j), vec_load(sigma + j))));
    }
}

/* D[L] of row t from A[L]; `error` holds v on entry, LN - (v - k) on return, and slope its product with the gain. */
static void ttt_loss_row(TttChunk *c, int64_t t) {
    const int64_t width = c->width[0], at = t * c->ld[0];
    float *hat = c->hat + at, *error = c->error + at, *slope = c->slope + at;
    c->inverse[t] = row_normalise(width, c->shape->eps, c->A[c->layers] + at, hat);
    FOR_VECTORS (j, width) {
        const Vec gain = vec_load(c->gain + j),
                  target = vec_sub(vec_load(error + j), vec_load(c->H[0] + at + j));
        const Vec e = vec_sub(vec_fma(gain, vec_load(hat + j), vec_load(c->bias + j)), target);
        vec_store(error + j, e);
        vec_store(slope + j, vec_mul(gain, e));
    }
    row_normalise_slope(width, hat, c->inverse[t], slope, c->D[c->layers] + at);
}

/* H, A, B, D, E of rows from .. from + n - 1 at the weights w. */
static void ttt_inner(TttChunk *c, const float *w, int64_t from, int64_t n) {
    const int L = c->layers;
    int64_t row[3] = {0};
    for (int l = 0; l <= L; l++) row[l] = from * c->ld[l];
    for (int l = 1; l <= L; l++) {
        ttt_map(c, w, l, n, c->H[l - 1] + row[l - 1], c->A[l] + row[l]);
        if (l < L) ttt_gelu(c, l, n, c->A[l] + row[l], c->sigma_a[l] + row[l], c->H[l] + row[l]);
    }
    for (int64_t t = from; t < from + n; t++) ttt_loss_row(c, t);
    for (int l = L - 1; l >= 1; l--) {
        gemm_serial(GEMM_NT, n, c->width[l], c->width[l + 1], c->D[l + 1] + row[l + 1], c->ld[l + 1],
                    w + ttt_weight_at(c, l + 1), c->width[l + 1], c->B[l] + row[l], c->ld[l], 0);
        ttt_gelu_slope(c, l, n, c->A[l] + row[l], c->sigma_a[l] + row[l], c->B[l] + row[l], c->D[l] + row[l]);
    }
    for (int l = 1; l <= L; l++)
        rows_scale(n, c->width[l], c->ld[l], c->rate + from, c->D[l] + row[l], c->E[l] + row[l]);
}

/* N[t][i] = -reader_t (F[t][i] + 1) for i <= t, 0 behind. */
static void ttt_weigh(TttChunk *c, int l, int64_t from, int64_t n) {
    for (int64_t t = from; t < from + n; t++) {
        const Vec reader = vec_set1(-c->reader[t]), one = vec_set1(1.0f);
        FOR_VECTORS (i, from + n) {
            const Vec score = vec_mul(reader, vec_add(vec_load(c->F[l] + t * c->ldc + i), one));
            vec_store(c->N + t * c->ldc + i, vec_first(score, t + 1 - i));
        }
    }
}

/* Reads of rows from .. from + n - 1: Q, F, O. */
static void ttt_query(TttChunk *c, const float *w, int64_t from, int64_t n) {
    const int64_t m = from + n, at = from * c->ldc;
    for (int l = 1; l <= c->layers; l++) {
        const int64_t in = c->width[l - 1], ldi = c->ld[l - 1], ldo = c->ld[l], row = from * ldo;
        const float *Q = c->Q[l - 1] + from * ldi;
        ttt_map(c, w, l, n, Q, c->O[l] + row);
        gemm_serial(GEMM_NT, n, m, in, Q, ldi, c->H[l - 1], ldi, c->F[l] + at, c->ldc, 0);
        ttt_weigh(c, l, from, n);
        gemm_serial(GEMM_NN, n, c->width[l], m, c->N + at, c->ldc, c->E[l], ldo, c->O[l] + row, ldo, 1);
        if (l < c->layers) ttt_gelu(c, l, n, c->O[l] + row, c->sigma_o[l] + row, c->Q[l] + row);
    }
}

/* y = residual + LN(O[L]), into the caller's rows. */
static void ttt_output(TttChunk *c, const TttPart *p, float *y) {
    const TttShape *s = c->shape;
    const int64_t width = c->width[0], ld = c->ld[0];
    const float *residual = s->own ? c->O[c->layers] : c->Q[0];
    for (int64_t t = p->from; t < p->from + p->n; t++) {
        float *hat = c->read_hat + t * ld, *out = c->left + t * ld;
        c->read_inverse[t] = row_normalise(width, s->eps, c->O[c->layers] + t * ld, hat);
        FOR_VECTORS (j, width) {
            const Vec normed = vec_fma(vec_load(c->gain + j), vec_load(hat + j), vec_load(c->bias + j));
            vec_store(out + j, vec_add(vec_load(residual + t * ld + j), normed));
        }
    }
    if (y)
        rows_save(p->n, width, c->left + p->from * ld, ld,
                  y + ((p->b * s->tokens + p->t) * s->heads + p->h) * width, s->heads * width);
}

/* b += sum of n rows, which lie at a stride ld. */
static void ttt_add_rows(int64_t n, int64_t width, const float *rows, int64_t ld, float *b) {
    FOR_VECTORS (j, width) {
        const int64_t lanes = vec_lanes(j, width);
        Vec sum = vec_load_n(b + j, lanes);
        for (int64_t t = 0; t < n; t++) sum = vec_add(sum, vec_load(rows + t * ld + j));
        vec_store_n(b + j, sum, lanes);
    }
}

/* left = -reader_n E[l], n the last of m tokens. */
static void ttt_last(TttChunk *c, int l, int64_t m) {
    const Vec reader = vec_set1(-c->reader[m - 1]);
    FOR_ROWS (c, l, m, j) vec_store(c->left + j, vec_mul(reader, vec_load(c->E[l] + j)));
}

/* The mini-batch of m tokens is over: its last token's weights. */
static void ttt_update(TttChunk *c, float *w, int64_t m) {
    for (int l = 1; l <= c->layers; l++) {
        const int64_t out = c->width[l];
        ttt_last(c, l, m);
        gemm_serial(GEMM_TN, c->width[l - 1], out, m, c->H[l - 1], c->ld[l - 1], c->left, c->ld[l],
                    w + ttt_weight_at(c, l), out, 1);
        ttt_add_rows(m, out, c->left, c->ld[l], w + ttt_bias_at(c, l));
    }
}
