/* The states of a tile, and what one token of one head brings. */
#pragma once
#include "kernel/momentum.h"
#include "kernel/delta/tile.h"

/* A tile's states lie in bands of columns, which stay in the first cache for a block of tokens. Of a key a band has a row of
 * S and behind it one of M. */
enum {
    MOMENTUM_VECS = DELTA_VECS > 1 ? DELTA_VECS / 2 : 1,
    MOMENTUM_BAND = MOMENTUM_VECS * VEC_LANES,
    MOMENTUM_KEY_ROWS = 2 * MOMENTUM_BAND
};

static int64_t momentum_tile(const DeltaShape *s) {
    return (DELTA_TILE + MOMENTUM_BAND - 1) / MOMENTUM_BAND * s->keys * MOMENTUM_KEY_ROWS;
}

/* S of the first key at column j of the tile. */
INLINE int64_t momentum_at(const DeltaShape *s, int64_t j) {
    return j / MOMENTUM_BAND * s->keys * MOMENTUM_KEY_ROWS + j % MOMENTUM_BAND;
}

/* `vectors` vectors of columns of both states of a head, (2 x keys x values), from column j of one band on, into it and
 * back. */
static void momentum_load(const DeltaTask *t, const float *states, int64_t j, int64_t vectors, float *tile) {
    float *to = tile + momentum_at(t->shape, j);
    delta_columns_load(t, states, j, vectors, to, MOMENTUM_KEY_ROWS);
    delta_columns_load(t, states + t->shape->keys * t->shape->values, j, vectors, to + MOMENTUM_BAND,
                       MOMENTUM_KEY_ROWS);
}
static void momentum_save(const DeltaTask *t, const float *tile, int64_t j, int64_t vectors, float *states) {
    const float *from = tile + momentum_at(t->shape, j);
    delta_columns_save(t, from, MOMENTUM_KEY_ROWS, j, vectors, states);
    delta_columns_save(t, from + MOMENTUM_BAND, MOMENTUM_KEY_ROWS, j, vectors,
                       states + t->shape->keys * t->shape->values);
}

/* All bands of the tile. */
static void momentum_load_all(const DeltaTask *t, const float *states, float *tile) {
    for (int64_t j = 0; j < t->columns; j += MOMENTUM_BAND) momentum_load(t, states, j, MOMENTUM_VECS, tile);
}
static void momentum_save_all(const DeltaTask *t, const float *tile, float *states) {
    for (int64_t j = 0; j < t->columns; j += MOMENTUM_BAND) momentum_save(t, tile, j, MOMENTUM_VECS, states);
}

/* A token's row of every head, and its numbers. */
typedef struct {
    const DeltaTask *task;
    const MomentumInput *in;
    int64_t row, vectors;
    const float *q, *k, *p;
    Vec keep, carry, rate, step;
} MomentumToken;

static MomentumToken momentum_token(const DeltaTask *t, const MomentumInput *in, int64_t token) {
    const int64_t row = delta_row(t, token), K = t->shape->keys, key = row * K;
    return (MomentumToken){t,
                           in,
                           row,
                           (t->columns + 15) / 16,
                           in->q + key,
                           in->k + key,
                           in->p + key,
                           vec_set1(in->keep[row]),
                           vec_set1(in->carry[row]),
                           vec_set1(in->rate[row]),
                           vec_set1(in->step[row])};
}

/* 16 numbers of the token's row of values from column c of the tile on, zero behind them. */
INLINE Vec momentum_row(const MomentumToken *x, const float *rows, int64_t c) {
    return vec_load_n(rows + x->row * x->task->shape->values + x->task->c + c,
                      vec_lanes(c, x->task->columns));
}

/* 16 numbers times `factor` into the token's row of values. */
INLINE void momentum_give(const MomentumToken *x, Vec factor, Vec values, float *rows, int64_t c) {
    vec_store_n(rows + x->row * x->task->shape->values + x->task->c + c, vec_mul(factor, values),
                vec_lanes(c, x->task->columns));
}
