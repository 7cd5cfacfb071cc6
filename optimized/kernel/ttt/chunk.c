#pragma once
/* Scratch of one head and one mini-batch. Index l runs over the layer boundaries 0..L; every matrix is mini_batch x ld[l]
 * with rows padded by zeros. Key path: H inputs of layer l + 1, A = H W + b, B = dl/dH, D = dl/dA, E = rate D. Query path:
 * Q inputs, O pre-activations, F = Q H'. sigma_*: logistic factor of gelu; d*: gradients. */
#include "kernel/serial.h"
#include "kernel/ttt.h"
#include "vec/normal.h"

typedef struct {
    const TttShape *shape;
    int layers;
    const int64_t *width;
    int64_t ld[3], ldc, at[4], weights, forward;
    float *H[3], *A[3], *B[3], *D[3], *E[3], *Q[3], *O[3], *F[3], *sigma_a[3], *sigma_o[3];
    float *error, *slope, *hat, *inverse, *read_hat, *read_inverse, *reader, *rate, *gain, *bias, *N, *left;
    float *dH[3], *dA[3], *dD[3], *dE[3], *dO[3], *dQ, *dN, *dY, *dreader, *drate, *dgain, *dbias, *dtarget;
} TttChunk;

typedef struct {
    float *base;
    int64_t used;
} TttLayout;

static void ttt_take(TttLayout *layout, int64_t floats, float **const *each, size_t count) {
    for (size_t i = 0; i < count; i++) *each[i] = rows_part(layout->base, &layout->used, padded(floats));
}
#define TAKE(layout, floats, ...)                                                                            \
    ttt_take(layout, floats, (float **const[]){__VA_ARGS__},                                                 \
             sizeof((float **const[]){__VA_ARGS__}) / sizeof(float **))

/* Lays the scratch out from `base` (NULL: only measures), first what forward passes use: c->forward floats. */
static int64_t ttt_layout(const TttShape *s, TttChunk *c, float *base) {
    TttLayout layout = {base, 0};
    const int64_t rows = padded(s->mini_batch);
    int64_t widest = 0;
    memset(c, 0, sizeof *c);
    c->shape = s, c->layers = s->layers, c->width = s->width, c->ldc = rows;
    for (int l = 0; l <= s->layers; l++) {
        c->ld[l] = rows_stride(s->width[l]);
        if (rows * c->ld[l] > widest) widest = rows * c->ld[l];
        c->at[l] = c->weights;
        if (l > 0) c->weights += (s->width[l - 1] + 1) * s->width[l];
    }
    for (int l = 0; l <= s->layers; l++)
        TAKE(&layout, rows * c->ld[l], &c->H[l], &c->A[l], &c->B[l], &c->D[l], &c->E[l], &c->Q[l], &c->O[l],
             &c->sigma_a[l], &c->sigma_o[l]);
    for (int l = 1; l <= s->layers; l++) TAKE(&layout, rows * rows, &c->F[l]);
    TAKE(&layout, widest, &c->left, &c->error, &c->slope, &c->hat, &c->read_hat);
    TAKE(&layout, rows, &c->inverse, &c->read_inverse, &c->reader, &c->rate);
    TAKE(&layout, c->ld[0], &c->gain, &c->bias);
    TAKE(&layout, rows * rows, &c->N);
    c->forward = layout.used;
    for (int l = 0; l <= s->layers; l++)
        TAKE(&layout, rows * c->ld[l], &c->dH[l], &c->dA[l], &c->dD[l], &c->dE[l], &c->dO[l]);
    TAKE(&layout, widest, &c->dQ, &c->dY, &c->dtarget);
    TAKE(&layout, rows, &c->dreader, &c->drate);
    TAKE(&layout, c->ld[0], &c->dgain, &c->dbias);
    TAKE(&layout, rows * rows, &c->dN);
    return layout.used;
}

/* Where W[l] and b[l] lie in a head's weights. */
INLINE int64_t ttt_weight_at(const TttChunk *c, int l) { return c->at[l]; }
INLINE int64_t ttt_bias_at(const TttChunk *c, int l) { return c->at[l] + c->width[l - 1] * c->width[l]; }

/* The part of a mini-batch at hand: its tokens from .. from + n - 1 are tokens t .. t + n - 1 of batch member b, head h. */
typedef struct {
    int64_t b, h, t, from, n;
} TttPart;

static void ttt_load(TttChunk *c, const TttInput *in, const TttPart *p) {
    const TttShape *s = c->shape;
    const int64_t D = s->width[0], first = (p->b * s->tokens + p->t) * s->heads + p->h,
                  at = p->from * c->ld[0];
    rows_load(p->n, D, in->k + first * D, s->heads * D, c->H[0] + at, c->ld[0]);
    rows_load(p->n, D, in->v + first * D, s->heads * D, c->error + at, c->ld[0]);
    rows_load(p->n, D, in->q + first * D, s->heads * D, c->Q[0] + at, c->ld[0]);
    const Vec scale = vec_set1(s->scale);
    for (int64_t t = p->from; t < p->from + p->n; t++) {
        c->reader[t] = in->reader[first + (t - p->from) * s->heads];
        c->rate[t] = in->rate[first + (t - p->from) * s->heads];
        FOR_VECTORS (j, D) {
            float *q = c->Q[0] + t * c->ld[0] + j;
            vec_store(q, vec_mul(scale, vec_load(q)));
        }
    }
    rows_load(1, D, in->gain + p->h * D, D, c->gain, c->ld[0]);
    rows_load(1, D, in->bias + p->h * D, D, c->bias, c->ld[0]);
}

/* The rows of the open mini-batch's first n tokens, from or to a state. */
static void ttt_open_rows(TttChunk *c, float *state, int64_t from, int64_t n, int save) {
    float *at = state + c->weights;
    for (int l = 1; l <= c->layers; l++) {
        const int64_t M = c->shape->mini_batch, in = c->width[l - 1], out = c->width[l];
        float *h = c->H[l - 1] + from * c->ld[l - 1], *e = c->E[l] + from * c->ld[l];
        float *open_h = at + from * in, *open_e = at + M * in + from * out;
        if (save) {
            rows_save(n, in, h, c->ld[l - 1], open_h, in);
            rows_save(n, out, e, c->ld[l], open_e, out);
        } else {
            rows_load(n, in, open_h, in, h, c->ld[l - 1]);
            rows_load(n, out, open_e, out, e, c->ld[l]);
        }
        at += M * (in + out);
    }
}
