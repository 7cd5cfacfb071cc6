/* Tokens forward. */
#pragma once
#include "kernel/momentum/token.h"

/* states: the tile's bands; errors: rows that keep e, or NULL as the snapshots. */
typedef struct {
    const DeltaTask *task;
    const MomentumInput *in;
    float *states, *o, *snapshots, *errors;
} MomentumForward;

/* e of the token from what it has read. */
INLINE Vec momentum_error(const MomentumToken *x, Vec read, int64_t j) {
    return vec_first(vec_sub(read, momentum_row(x, x->in->v, j)), vec_lanes(j, x->task->columns));
}

/* N vectors of columns from column j on: the token writes its e, reads its output, and p reads what the next one has for its
 * own error: one load and one store of both states for all of that. */
INLINE void momentum_step(const MomentumToken *x, const float *p, int N, float *states, const Vec *e,
                          Vec *output, Vec *read) {
    const int64_t keys = x->task->shape->keys;
    const float *q = x->q, *k = x->k;
    const Vec keep = x->keep, carry = x->carry, rate = x->rate, step = x->step;
    for (int n = 0; n < N; n++) output[n] = read[n] = vec_zero();
    for (int64_t i = 0; i < keys; i++) {
        const Vec writes = vec_mul(step, vec_set1(k[i])), asks = vec_set1(q[i]), reads = vec_set1(p[i]);
        float *at = states + i * MOMENTUM_KEY_ROWS;
        for (int n = 0; n < N; n++, at += VEC_LANES) {
            const Vec momentum = vec_fma(writes, e[n], vec_mul(carry, vec_load(at + MOMENTUM_BAND)));
            const Vec state = vec_fnma(rate, momentum, vec_mul(keep, vec_load(at)));
            output[n] = vec_fma(asks, state, output[n]);
            read[n] = vec_fma(reads, state, read[n]);
            vec_store(at + MOMENTUM_BAND, momentum);
            vec_store(at, state);
        }
    }
}

/* What the first token reads. */
INLINE void momentum_read(const MomentumToken *x, int N, const float *states, Vec *read) {
    for (int n = 0; n < N; n++) read[n] = vec_zero();
    for (int64_t i = 0; i < x->task->shape->keys; i++)
        for (int n = 0; n < N; n++)
            read[n] =
                vec_fma(vec_set1(x->p[i]), vec_load(states + i * MOMENTUM_KEY_ROWS + n * VEC_LANES), read[n]);
}

/* A block of tokens, N vectors of columns from column j on. */
INLINE void momentum_forward_band(const MomentumForward *y, int64_t from, int64_t j, int N) {
    const DeltaTask *t = y->task;
    const DeltaShape *s = t->shape;
    const int64_t head = t->batch * s->heads + t->head, both = 2 * s->keys * s->values,
                  to = delta_block_end(s, from);
    float *states = y->states + momentum_at(s, j);
    MomentumToken next = momentum_token(t, y->in, from);
    Vec e[4], output[4], read[4];
    momentum_read(&next, N, states, read);
    for (int64_t i = from; i < to; i++) {
        const MomentumToken x = next;
        if (y->snapshots && i % DELTA_CHUNK == 0)
            momentum_save(t, y->states, j, N,
                          y->snapshots + (head * delta_chunks(s) + i / DELTA_CHUNK) * both);
        if (i + 1 < to) next = momentum_token(t, y->in, i + 1);
        for (int n = 0; n < N; n++) {
            e[n] = momentum_error(&x, read[n], j + n * VEC_LANES);
            if (y->errors) momentum_give(&x, vec_set1(1.0f), e[n], y->errors, j + n * VEC_LANES);
        }
        momentum_step(&x, next.p, N, states, e, output, read);
        for (int n = 0; n < N; n++) momentum_give(&x, vec_set1(s->scale), output[n], y->o, j + n * VEC_LANES);
    }
}

static void momentum_forward_block(const MomentumForward *y, int64_t from) {
    const int64_t columns = y->task->columns;
    int64_t j = 0;
    for (; j + MOMENTUM_BAND - VEC_LANES < columns; j += MOMENTUM_BAND)
        momentum_forward_band(y, from, j, MOMENTUM_VECS);
    for (; j < columns; j += VEC_LANES) momentum_forward_band(y, from, j, 1);
}
