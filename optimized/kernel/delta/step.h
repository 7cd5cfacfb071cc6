/* One token forward, on a tile whose rows lie `DELTA_TILE` floats apart. */
#pragma once
#include "kernel/delta/token.h"

/* w of the token's columns, from the u that it has read; zero behind them. */
INLINE void delta_written_at(const DeltaTask *t, int64_t row, int64_t j, int64_t lanes, const float *u,
                             float *w) {
    const DeltaShape *s = t->shape;
    Vec v = vec_load_n(t->in->v + row * s->values + t->c + j, lanes);
    if (s->removal == DELTA_KEY) v = vec_sub(v, vec_load(u + j));
    vec_store(w + j, vec_first(vec_mul(delta_rate(t, row, t->c + j, lanes), v), lanes));
}
static void delta_written(const DeltaTask *t, int64_t row, const float *u, float *w) {
#define WRITTEN(j, lanes) delta_written_at(t, row, j, lanes, u, w)
    DELTA_VECTORS(t->columns, WRITTEN);
#undef WRITTEN
}

/* The u of a token that no other has read for. */
static void delta_read(const DeltaTask *t, const DeltaToken *x, const float *S, float *u) {
    for (int64_t j = 0; j < t->columns && t->shape->removal != DELTA_NONE; j += VEC_LANES) {
        Vec sum = vec_zero();
        for (int64_t i = 0; i < t->shape->keys; i++)
            sum = vec_fma(vec_set1(x->reading[i]), vec_load(S + i * DELTA_TILE + j), sum);
        vec_store(u + j, sum);
    }
}

/* o = scale q S' of the token's columns. */
static void delta_output(const DeltaTask *t, const DeltaToken *x, const float *read, float *o) {
    const DeltaShape *s = t->shape;
    for (int64_t j = 0; j < t->columns; j += VEC_LANES)
        vec_store_n(o + x->row * s->values + t->c + j, vec_mul(vec_set1(s->scale), vec_load(read + j)),
                    vec_lanes(j, t->columns));
}

/* Token x turns S into `after`, which may be S; meanwhile x asks for o, unless that is NULL, and the token after it reads
 * its u: one load and one store of the state for all of that. */
typedef struct {
    int64_t keys;
    const DeltaToken *x, *next;
    const float *S, *w, *u;
    float *after, *next_u, *o;
} DeltaStep;

/* For N vectors of columns from column j of the tile on. */
INLINE void delta_step(const DeltaStep *y, int64_t j, int N, DeltaRemoval removal, int decays, int asks) {
    const int64_t keys = y->keys;
    const float *k = y->x->k, *q = y->x->q, *b = y->x->b, *decay = y->x->decay, *reading = y->next->reading;
    const float *S = y->S + j;
    float *after = y->after + j;
    Vec w[4], u[4], on_q[4], read[4];
    for (int n = 0; n < N; n++) {
        w[n] = vec_load(y->w + j + 16 * n);
        u[n] = removal == DELTA_PAIR ? vec_load(y->u + j + 16 * n) : vec_zero();
        on_q[n] = read[n] = vec_zero();
    }
    for (int64_t i = 0; i < keys; i++) {
        const Vec factor = vec_set1(decays ? decay[i] : 1.0f), on_w = vec_set1(k[i]),
                  on_u = vec_set1(removal == DELTA_PAIR ? b[i] : 0.0f), ask = vec_set1(asks ? q[i] : 0.0f),
                  reads = vec_set1(removal == DELTA_NONE ? 0.0f : reading[i]);
        for (int n = 0; n < N; n++) {
            const int64_t at = i * DELTA_TILE + 16 * n;
            Vec state = vec_load(S + at);
            if (decays) state = vec_mul(factor, state);
            state = vec_fma(on_w, w[n], state);
            if (removal == DELTA_PAIR) state = vec_fma(on_u, u[n], state);
            if (asks) on_q[n] = vec_fma(ask, state, on_q[n]);
            if (removal != DELTA_NONE) read[n] = vec_fma(reads, state, read[n]);
            vec_store(after + at, state);
        }
    }
    for (int n = 0; n < N; n++) {
        if (asks) vec_store(y->o + j + 16 * n, on_q[n]);
        if (removal != DELTA_NONE) vec_store(y->next_u + j + 16 * n, read[n]);
    }
}

/* The same with all choices known to the compiler. */
INLINE void delta_step_by_rule(const DeltaStep *y, const DeltaShape *s, int64_t j, int N) {
#define DELTA_STEP(rule, some)                                                                               \
    if (s->removal == rule && !s->decays == !some) {                                                         \
        if (y->o)                                                                                            \
            delta_step(y, j, N, rule, some, 1);                                                              \
        else                                                                                                 \
            delta_step(y, j, N, rule, some, 0);                                                              \
    }
    DELTA_STEP(DELTA_NONE, 0)
    DELTA_STEP(DELTA_NONE, 1)
    DELTA_STEP(DELTA_KEY, 0)
    DELTA_STEP(DELTA_KEY, 1)
    DELTA_STEP(DELTA_PAIR, 0)
    DELTA_STEP(DELTA_PAIR, 1)
#undef DELTA_STEP
}

/* All columns of the tile, as many vectors at a time as fit into registers. */
static void delta_token_step(const DeltaTask *t, const DeltaStep *y) {
    const int64_t end = t->columns;
    int64_t j = 0;
    if (DELTA_VECS >= 4)
        for (; j + 48 < end; j += 64) delta_step_by_rule(y, t->shape, j, 4);
    if (DELTA_VECS >= 2)
        for (; j + 16 < end; j += 32) delta_step_by_rule(y, t->shape, j, 2);
    for (; j < end; j += 16) delta_step_by_rule(y, t->shape, j, 1);
}
