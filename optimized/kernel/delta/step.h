/* One token forward, for N vectors of columns of a state whose rows lie `DELTA_TILE` floats apart. */
#pragma once
#include "kernel/delta/token.h"

/* What a token does to a state: u and w of those columns, kept for the way back; NULL: not wanted. */
typedef struct {
    float *u, *w;
} DeltaTrace;

/* S (before) becomes `after`, which may be S. v, o: 16 N columns of the token, of which `columns` exist. */
INLINE void delta_step(const DeltaTask *t, const DeltaToken *x, int64_t row, int64_t c, int N, const float *S,
                       float *after, float *o, DeltaTrace trace, DeltaRemoval removal) {
    const DeltaShape *s = t->shape;
    Vec u[4], read[4], w[4];
    for (int j = 0; j < N; j++) u[j] = read[j] = vec_zero();
    for (int64_t i = 0; i < s->keys && removal != DELTA_NONE; i++) {
        const Vec reading = vec_set1(x->reading[i]), asking = vec_set1(x->asking[i]);
        for (int j = 0; j < N; j++) {
            const Vec state = vec_load(S + i * DELTA_TILE + 16 * j);
            u[j] = vec_fma(reading, state, u[j]);
            read[j] = vec_fma(asking, state, read[j]);
        }
    }
    for (int j = 0; j < N; j++) {
        const int64_t lanes = vec_lanes(c + 16 * j, s->values);
        if (lanes <= 0) {
            w[j] = vec_zero();
            continue;
        }
        const Vec v = vec_load_n(t->in->v + row * s->values + c + 16 * j, lanes);
        w[j] = vec_mul(delta_rate(t, row, c + 16 * j, lanes), removal == DELTA_KEY ? vec_sub(v, u[j]) : v);
        w[j] = vec_first(w[j], lanes);
    }
    for (int64_t i = 0; i < s->keys; i++) {
        const Vec decay = vec_set1(x->decay[i]), k = vec_set1(x->k[i]);
        const Vec b = vec_set1(removal == DELTA_PAIR ? x->b[i] : 0.0f);
        const Vec q = vec_set1(removal == DELTA_NONE ? x->q[i] : 0.0f);
        for (int j = 0; j < N; j++) {
            Vec state = vec_load(S + i * DELTA_TILE + 16 * j);
            if (s->decays) state = vec_mul(decay, state);
            state = vec_fma(k, w[j], state);
            if (removal == DELTA_PAIR) state = vec_fma(b, u[j], state);
            if (removal == DELTA_NONE) read[j] = vec_fma(q, state, read[j]);
            vec_store(after + i * DELTA_TILE + 16 * j, state);
        }
    }
    for (int j = 0; j < N; j++) {
        if (removal != DELTA_NONE) read[j] = vec_fma(vec_set1(x->qk), w[j], read[j]);
        if (removal == DELTA_PAIR) read[j] = vec_fma(vec_set1(x->qb), u[j], read[j]);
        const int64_t lanes = vec_lanes(c + 16 * j, s->values);
        if (o && lanes > 0)
            vec_store_n(o + row * s->values + c + 16 * j, vec_mul(vec_set1(s->scale), read[j]), lanes);
        if (trace.u) vec_store(trace.u + 16 * j, u[j]);
        if (trace.w) vec_store(trace.w + 16 * j, w[j]);
    }
}

/* The same with the rule known to the compiler. */
INLINE void delta_step_by_rule(const DeltaTask *t, const DeltaToken *x, int64_t row, int64_t c, int N,
                               const float *S, float *after, float *o, DeltaTrace trace) {
    if (t->shape->removal == DELTA_NONE)
        delta_step(t, x, row, c, N, S, after, o, trace, DELTA_NONE);
    else if (t->shape->removal == DELTA_KEY)
        delta_step(t, x, row, c, N, S, after, o, trace, DELTA_KEY);
    else
        delta_step(t, x, row, c, N, S, after, o, trace, DELTA_PAIR);
}

/* One token on all columns of the tile, DELTA_VECS vectors at a time, the rest one by one. */
static void delta_token_step(const DeltaTask *t, const DeltaToken *x, int64_t token, const float *S,
                             float *after, float *o, DeltaTrace trace) {
    const int64_t row = delta_row(t, token), vectors = (t->columns + 15) / 16;
    int64_t j = 0;
    for (; j + DELTA_VECS <= vectors; j += DELTA_VECS)
        delta_step_by_rule(t, x, row, t->c + 16 * j, DELTA_VECS, S + 16 * j, after + 16 * j, o,
                           (DeltaTrace){trace.u ? trace.u + 16 * j : 0, trace.w ? trace.w + 16 * j : 0});
    for (; j < vectors; j++)
        delta_step_by_rule(t, x, row, t->c + 16 * j, 1, S + 16 * j, after + 16 * j, o,
                           (DeltaTrace){trace.u ? trace.u + 16 * j : 0, trace.w ? trace.w + 16 * j : 0});
}
