#pragma once
/* Scratch of one head and one chunk. Index l runs over the layer boundaries 0..L as in docs/dual-form.md; every
 * matrix is chunk x ld[l] with rows padded by zeros. Names are those of the derivation: A pre-activation, H
 * output, E = dl/dH, D = dl/dA of the key path; Z input, O pre-activation of the query path; sigma_* the
 * logistic factor of the activation at A and O; d* gradients. */
#include "kernel/serial.h"
#include "kernel/memory.h"
#include "vec/rows.h"

enum { MEMORY_LAYERS = 4, MEMORY_BLOCK = 16, MEMORY_TRACE = 9 };
#define MEMORY_TINY 7.8886091e-31f /* 2^-100 */
#define MEMORY_NORM_EPS 1e-6f

/* What has decayed below MEMORY_TINY is 0, by a comparison: on every CPU at the same place. */
static Vec memory_flush(Vec x) {
    const Vec size = vec_max(x, vec_sub(vec_zero(), x));
    return vec_less(size, vec_set1(MEMORY_TINY), vec_zero(), x);
}
static float memory_flush_one(float x) { return fabsf(x) < MEMORY_TINY ? 0.0f : x; }

/* One set of alpha, theta, eta: of all layers, or of one. Rows of chunk numbers; P, C and their gradients
 * chunk x ldc (dual.c). */
typedef struct {
    float *keep, *theta, *eta, *beta, *a0, *p0, *P, *C;
    float *dkeep, *dtheta, *deta, *dbeta, *da0, *dp0, *dP, *dC, *dCt;
} MemoryGates;

/* Layer normalisation of one path: normalised rows and 1 / standard deviation. */
typedef struct {
    float *hat, *inverse;
} MemoryNorm;

typedef struct {
    const MemoryShape *shape;
    int layers, sets;
    const int64_t *width;
    int64_t ld[5], ldc, offset[5], weights, forward;
    float *A[5], *H[5], *E[5], *D[5], *Z[5], *O[5], *sigma_a[5], *sigma_o[5], *decay[5], *X, *Y;
    float *dH[5], *dD[5], *dA[5], *ddecay[5], *dE, *dZ, *dO, *dY, *left, *right, *transposed;
    float *F, *N, *coefficient, *trace, *copy;
    MemoryNorm key, query;
    MemoryGates gates[MEMORY_LAYERS];
} MemoryChunk;

static int64_t memory_sets(const MemoryShape *s) { return s->per_layer ? s->layers : 1; }
static int64_t memory_channels(const MemoryShape *s) { return s->channelwise ? s->width[s->layers] : 1; }

static MemoryGates *memory_gates_of(MemoryChunk *c, int l) {
    return &c->gates[c->shape->per_layer ? l - 1 : 0];
}

/* Scratch being laid out: what has been used from `base`, which is NULL while it is only measured. */
typedef struct {
    float *base;
    int64_t used;
} MemoryLayout;

static void memory_take_all(MemoryLayout *layout, int64_t floats, float **const *each, size_t count) {
    for (size_t i = 0; i < count; i++) *each[i] = rows_part(layout->base, &layout->used, padded(floats));
}
#define TAKE_ALL(layout, floats, ...)                                                                        \
    memory_take_all(layout, floats, (float **const[]){__VA_ARGS__},                                          \
                    sizeof((float **const[]){__VA_ARGS__}) / sizeof(float **))

static void memory_layout_forward(MemoryChunk *c, int64_t rows, int64_t widest, MemoryLayout *layout) {
    for (int l = 0; l <= c->layers; l++)
        TAKE_ALL(layout, rows * c->ld[l], &c->A[l], &c->H[l], &c->E[l], &c->D[l], &c->Z[l], &c->O[l],
                 &c->decay[l], &c->sigma_a[l], &c->sigma_o[l]);
    TAKE_ALL(layout, widest, &c->X, &c->Y, &c->left, &c->transposed, &c->key.hat, &c->query.hat);
    TAKE_ALL(layout, rows, &c->coefficient, &c->key.inverse, &c->query.inverse);
    TAKE_ALL(layout, rows * rows, &c->F, &c->N);
    for (int i = 0; i < c->sets; i++) {
        MemoryGates *g = &c->gates[i];
        TAKE_ALL(layout, rows, &g->keep, &g->theta, &g->eta, &g->beta, &g->a0, &g->p0);
        TAKE_ALL(layout, rows * rows, &g->P, &g->C);
    }
}

static void memory_layout_backward(MemoryChunk *c, int64_t rows, int64_t widest, MemoryLayout *layout) {
    for (int l = 0; l <= c->layers; l++)
        TAKE_ALL(layout, rows * c->ld[l], &c->dH[l], &c->dD[l], &c->dA[l], &c->ddecay[l]);
    TAKE_ALL(layout, widest, &c->dE, &c->dZ, &c->dO, &c->dY, &c->right);
    TAKE_ALL(layout, (rows + 1) * MEMORY_TRACE * VEC_LANES, &c->trace);
    TAKE_ALL(layout, 2 * padded(c->weights), &c->copy);
    for (int i = 0; i < c->sets; i++) {
        MemoryGates *g = &c->gates[i];
        TAKE_ALL(layout, rows, &g->dkeep, &g->dtheta, &g->deta, &g->dbeta, &g->da0, &g->dp0);
        TAKE_ALL(layout, rows * rows, &g->dP, &g->dC, &g->dCt);
    }
}

/* Lays scratch for `rows` tokens out from `base` (NULL: only measures), first what forward passes use: c->forward floats,
 * which is all that they touch. Returns its size in floats. */
static int64_t memory_layout(const MemoryShape *s, MemoryChunk *c, int64_t rows, float *base) {
    MemoryLayout layout = {base, 0};
    int64_t widest = 0;
    memset(c, 0, sizeof *c);
    c->shape = s;
    c->layers = s->layers;
    c->sets = (int)memory_sets(s);
    c->width = s->width;
    c->ldc = rows;
    for (int l = 0; l <= s->layers; l++) {
        c->ld[l] = rows_stride(s->width[l]);
        if (rows * c->ld[l] > widest) widest = rows * c->ld[l];
        c->offset[l] = c->weights;
        if (l > 0) c->weights += s->width[l - 1] * s->width[l];
    }
    memory_layout_forward(c, rows, widest, &layout);
    c->forward = layout.used;
    memory_layout_backward(c, rows, widest, &layout);
    return layout.used;
}

/* W[l] of a flat weight array; offset[l] is where layer l begins. */
INLINE int64_t memory_at(const MemoryChunk *c, int l) { return c->offset[l]; }

/* decay[l][t][j] = keep of output channel j of layer l: what the equations call 1 - alpha. */
static void memory_spread_decay(MemoryChunk *c, const float *keep, int64_t t) {
    const int64_t channels = memory_channels(c->shape);
    for (int l = 1; l <= c->layers; l++) {
        const float *set = keep + (c->shape->per_layer ? l - 1 : 0) * channels;
        float *row = c->decay[l] + t * c->ld[l];
        for (int64_t j = 0, i = 0; j < c->width[l]; j++, i = i + 1 < channels ? i + 1 : 0) row[j] = set[i];
    }
}

/* Gates of n tokens from token `at` (batch tokens + t) of head h; the decay of every channel when the form at
 * hand reads it. */
static void memory_load_gates(MemoryChunk *c, const MemoryInput *in, int64_t at, int64_t h, int64_t n,
                              int spread) {
    const MemoryShape *s = c->shape;
    const int64_t channels = memory_channels(s);
    for (int64_t t = 0; t < n; t++) {
        const int64_t first = ((at + t) * s->heads + h) * c->sets;
        for (int g = 0; g < c->sets; g++) {
            c->gates[g].keep[t] = in->keep[(first + g) * channels];
            c->gates[g].theta[t] = in->theta[first + g];
            c->gates[g].eta[t] = in->eta[first + g];
        }
        if (spread) memory_spread_decay(c, in->keep + first * channels, t);
    }
}

static void memory_load(MemoryChunk *c, const MemoryInput *in, int64_t b, int64_t h, int64_t t, int64_t n,
                        int spread) {
    const MemoryShape *s = c->shape;
    const int64_t token = b * s->tokens + t, n0 = s->width[0], nl = s->width[s->layers];
    const int L = s->layers;
    rows_load(n, n0, in->k + (token * s->heads + h) * n0, s->heads * n0, c->H[0], c->ld[0]);
    rows_load(n, n0, in->q + (token * s->heads + h) * n0, s->heads * n0, c->Z[0], c->ld[0]);
    rows_load(n, nl, in->v + (token * s->heads + h) * nl, s->heads * nl, c->E[L], c->ld[L]);
    memory_load_gates(c, in, token, h, n, spread);
}
