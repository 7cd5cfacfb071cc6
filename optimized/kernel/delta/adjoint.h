/* One chunk backwards: its states again from the snapshot, then token by token from the last one. */
#pragma once
#include "kernel/delta/step.h"

/* Sums over columns that a token's gradients are, for every key a vector whose lanes are added at the end. */
enum { SUM_Q, SUM_K, SUM_DECAY, SUM_B, SUM_N, SUMS };

/* states: of a chunk before each token and after the last; dS: gradient of the state. */
typedef struct {
    float *token, *states, *dS, *u, *w, *du, *dw, *sums;
} DeltaScratch;

static DeltaScratch delta_scratch(const DeltaShape *s, float *base, int64_t *floats) {
    const int64_t ld = delta_ld(s), matrix = ld * DELTA_TILE;
    int64_t used = 0;
    DeltaScratch x;
    x.token = rows_part(base, &used, DELTA_CHUNK * DELTA_ROWS * ld);
    x.states = rows_part(base, &used, (DELTA_CHUNK + 1) * matrix);
    x.dS = rows_part(base, &used, matrix);
    x.u = rows_part(base, &used, DELTA_CHUNK * DELTA_TILE);
    x.w = rows_part(base, &used, DELTA_CHUNK * DELTA_TILE);
    x.du = rows_part(base, &used, DELTA_TILE);
    x.dw = rows_part(base, &used, DELTA_TILE);
    x.sums = rows_part(base, &used, SUMS * ld * VEC_LANES);
    if (floats) *floats = used;
    return x;
}

/* What one token's way back needs of its tile. */
typedef struct {
    const DeltaTask *task;
    const DeltaToken *x;
    const float *before, *after, *u, *w, *d_o;
    float *dS, *du, *dw, *sums;
    int64_t ld, vectors;
} DeltaBack;

/* dS += q do; dw = k dS, du = b dS; and the sums over columns that need no du. do is scaled already. */
INLINE void delta_back_write(const DeltaBack *y, int64_t j, int N, DeltaRemoval removal, int first) {
    const DeltaShape *s = y->task->shape;
    Vec o[4], w[4], u[4], dw[4], du[4];
    for (int n = 0; n < N; n++) {
        o[n] = vec_load(y->d_o + 16 * (j + n));
        w[n] = vec_load(y->w + 16 * (j + n));
        u[n] = removal == DELTA_PAIR ? vec_load(y->u + 16 * (j + n)) : vec_zero();
        dw[n] = du[n] = vec_zero();
    }
    for (int64_t i = 0; i < s->keys; i++) {
        float *sum = y->sums + i * VEC_LANES;
        const int64_t block = y->ld * VEC_LANES, at = i * DELTA_TILE + 16 * j;
        const Vec q = vec_set1(y->x->q[i]), k = vec_set1(y->x->k[i]);
        const Vec b = vec_set1(removal == DELTA_PAIR ? y->x->b[i] : 0.0f);
        Vec on_q = first ? vec_zero() : vec_load(sum + SUM_Q * block);
        Vec on_k = first ? vec_zero() : vec_load(sum + SUM_K * block);
        Vec on_decay = first ? vec_zero() : vec_load(sum + SUM_DECAY * block);
        Vec on_b = first || removal != DELTA_PAIR ? vec_zero() : vec_load(sum + SUM_B * block);
        for (int n = 0; n < N; n++) {
            const Vec d = vec_fma(q, o[n], vec_load(y->dS + at + 16 * n));
            vec_store(y->dS + at + 16 * n, d);
            dw[n] = vec_fma(k, d, dw[n]);
            on_q = vec_fma(vec_load(y->after + at + 16 * n), o[n], on_q);
            on_k = vec_fma(d, w[n], on_k);
            if (s->decays) on_decay = vec_fma(d, vec_load(y->before + at + 16 * n), on_decay);
            if (removal != DELTA_PAIR) continue;
            du[n] = vec_fma(b, d, du[n]);
            on_b = vec_fma(d, u[n], on_b);
        }
        vec_store(sum + SUM_Q * block, on_q);
        vec_store(sum + SUM_K * block, on_k);
        vec_store(sum + SUM_DECAY * block, on_decay);
        if (removal == DELTA_PAIR) vec_store(sum + SUM_B * block, on_b);
    }
    for (int n = 0; n < N; n++) {
        vec_store(y->dw + 16 * (j + n), dw[n]);
        vec_store(y->du + 16 * (j + n), du[n]);
    }
}

/* dS = decay dS + reading du, and the sums over columns of S du. */
INLINE void delta_back_read(const DeltaBack *y, int64_t j, int N, DeltaRemoval removal, int first) {
    const DeltaShape *s = y->task->shape;
    Vec du[4];
    for (int n = 0; n < N; n++) du[n] = vec_load(y->du + 16 * (j + n));
    for (int64_t i = 0; i < s->keys; i++) {
        float *sum = y->sums + (SUM_N * y->ld + i) * VEC_LANES;
        const int64_t at = i * DELTA_TILE + 16 * j;
        const Vec decay = vec_set1(y->x->decay[i]);
        const Vec reading = vec_set1(removal != DELTA_NONE ? y->x->reading[i] : 0.0f);
        Vec on_n = first || removal == DELTA_NONE ? vec_zero() : vec_load(sum);
        for (int n = 0; n < N; n++) {
            Vec d = vec_load(y->dS + at + 16 * n);
            if (s->decays) d = vec_mul(decay, d);
            if (removal != DELTA_NONE) {
                d = vec_fma(reading, du[n], d);
                on_n = vec_fma(vec_load(y->before + at + 16 * n), du[n], on_n);
            }
            vec_store(y->dS + at + 16 * n, d);
        }
        if (removal != DELTA_NONE) vec_store(sum, on_n);
    }
}

INLINE void delta_back_by_rule(const DeltaBack *y, int reads, int64_t j, int N) {
    const DeltaRemoval removal = y->task->shape->removal;
    const int first = j == 0;
#define DELTA_BACK(rule)                                                                                     \
    if (removal == rule) {                                                                                   \
        if (reads)                                                                                           \
            delta_back_read(y, j, N, rule, first);                                                           \
        else                                                                                                 \
            delta_back_write(y, j, N, rule, first);                                                          \
    }
    DELTA_BACK(DELTA_NONE)
    DELTA_BACK(DELTA_KEY)
    DELTA_BACK(DELTA_PAIR)
#undef DELTA_BACK
}

/* All vectors of the tile in turn, so that every sum over columns goes from left to right on every instruction set. */
static void delta_back_pass(const DeltaBack *y, int reads) {
    int64_t j = 0;
    for (; j + DELTA_VECS <= y->vectors; j += DELTA_VECS) delta_back_by_rule(y, reads, j, DELTA_VECS);
    for (; j < y->vectors; j++) delta_back_by_rule(y, reads, j, 1);
}

/* dv, drate and, with DELTA_KEY, du of the token's columns; the rate's sum over the tile is returned. */
static float delta_back_values(const DeltaBack *y, int64_t row, const DeltaGradient *d) {
    const DeltaTask *t = y->task;
    const DeltaShape *s = t->shape;
    Vec rate_sum = vec_zero();
    for (int64_t j = 0; j < t->columns; j += VEC_LANES) {
        const int64_t at = row * s->values + t->c + j, lanes = vec_lanes(j, t->columns);
        const Vec dw = vec_load(y->dw + j), rate = delta_rate(t, row, t->c + j, lanes),
                  dv = vec_mul(rate, dw);
        Vec written = vec_load_n(t->in->v + at, lanes);
        if (s->removal == DELTA_KEY) {
            written = vec_sub(written, vec_load(y->u + j));
            vec_store(y->du + j, vec_first(vec_sub(vec_zero(), dv), lanes));
        }
        written = vec_first(vec_mul(written, dw), lanes);
        vec_store_n(d->v + at, vec_add(vec_load_n(d->v + at, lanes), dv), lanes);
        if (s->rates > 1) vec_store_n(d->rate + at, vec_add(vec_load_n(d->rate + at, lanes), written), lanes);
        rate_sum = vec_add(rate_sum, written);
    }
    return vec_sum(rate_sum);
}
