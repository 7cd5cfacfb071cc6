/* Forward, all tokens of a tile. Columns are apart: those that a token passes at a time are a band, which stays in the first
 * cache for a block of tokens, and what is read and written of them in registers. */
#pragma once
#include "kernel/delta/step.h"

/* own: DELTA_ROWS * ld floats for each of two tokens; S: the bands' states; snapshots: of the head, or NULL. */
typedef struct {
    const DeltaTask *task;
    float *own, *S, *o, *state, *snapshots;
} DeltaForward;

/* States of the band that begins with column j of the tile. */
INLINE float *delta_band(const DeltaForward *y, int64_t j) { return y->S + j * y->task->shape->keys; }

INLINE DeltaToken delta_forward_token(const DeltaForward *y, int64_t i) {
    return delta_token(y->task, i, y->own + i % 2 * DELTA_ROWS * delta_ld(y->task->shape));
}

/* Tokens x, of which x[0] is token i; u: what that has read, and then what the token behind them reads. */
INLINE void delta_forward_pass(const DeltaForward *y, int64_t i, int64_t j, int N, DeltaPass pass,
                               const DeltaToken *x, const float *reading, Vec *u) {
    const DeltaTask *t = y->task;
    const DeltaShape *s = t->shape;
    float *S = delta_band(y, j);
    Vec w[2][4], output[2][4], read[4];
    if (y->snapshots && i % DELTA_CHUNK == 0)
        delta_columns_save(t, S, 16 * N, j, N, y->snapshots + i / DELTA_CHUNK * s->keys * s->values);
    for (int m = 0; m < pass.tokens; m++) {
        delta_token_soon(t, i + m + 4);
        for (int n = 0; n < N; n++)
            w[m][n] = delta_writes(t, x[m].row, j + 16 * n, vec_lanes(j + 16 * n, t->columns), u[n]);
    }
    delta_step(&(DeltaStep){s->keys, 16 * N, x, reading, S, S}, N, pass, w, u, output, read);
    for (int m = 0; m < pass.tokens; m++)
        for (int n = 0; n < N; n++)
            vec_store_n(y->o + x[m].row * s->values + t->c + j + 16 * n,
                        vec_mul(vec_set1(s->scale), output[m][n]), vec_lanes(j + 16 * n, t->columns));
    for (int n = 0; n < N; n++) u[n] = read[n];
}

/* Tokens from..to, two at once, which only read the state after them: N vectors of columns from column j of the tile on. */
INLINE void delta_forward_twos(const DeltaForward *y, int64_t from, int64_t to, int64_t j, int N,
                               int decays) {
    Vec u[4];
    int64_t i = from;
    for (int n = 0; n < N; n++) u[n] = vec_zero();
    for (; i + 2 <= to; i += 2) {
        const DeltaToken x[2] = {delta_forward_token(y, i), delta_forward_token(y, i + 1)};
        delta_forward_pass(y, i, j, N, (DeltaPass){DELTA_NONE, decays, 2, 1}, x, 0, u);
    }
    if (i == to) return;
    const DeltaToken x = delta_forward_token(y, i);
    delta_forward_pass(y, i, j, N, (DeltaPass){DELTA_NONE, decays, 1, 1}, &x, 0, u);
}

/* The same, each with what the one before it has read for it. */
INLINE void delta_forward_ones(const DeltaForward *y, int64_t from, int64_t to, int64_t j, int N,
                               DeltaRemoval removal, int decays) {
    DeltaToken x = delta_forward_token(y, from), next = x;
    Vec u[4];
    delta_read(y->task, x.reading, delta_band(y, j), 16 * N, N, u);
    for (int64_t i = from; i < to; i++, x = next) {
        if (i + 1 < to) next = delta_forward_token(y, i + 1);
        delta_forward_pass(y, i, j, N, (DeltaPass){removal, decays, 1, 1}, &x, next.reading, u);
    }
}

INLINE void delta_forward_band(const DeltaForward *y, int64_t from, int64_t j, int N, DeltaRemoval removal,
                               int decays) {
    const int64_t to = delta_block_end(y->task->shape, from);
    if (from == 0) delta_columns_load(y->task, y->state, j, N, delta_band(y, j), 16 * N);
    if (removal == DELTA_NONE && DELTA_VECS >= 4)
        delta_forward_twos(y, from, to, j, N, decays);
    else
        delta_forward_ones(y, from, to, j, N, removal, decays);
    if (to == y->task->shape->tokens) delta_columns_save(y->task, delta_band(y, j), 16 * N, j, N, y->state);
}

/* All columns of the tile, a block of tokens at a time. */
static void delta_forward_tile(const DeltaForward *y) {
    const DeltaTask *t = y->task;
    int N;
    for (int64_t from = 0; from < t->shape->tokens; from += DELTA_BLOCK)
        for (int64_t j = 0; j < t->columns; j += 16 * N) {
#define BAND(N, rule, some) delta_forward_band(y, from, j, N, rule, some)
            N = delta_at_once(t->columns - j, DELTA_VECS);
            DELTA_BY_RULE(t->shape, N, BAND);
#undef BAND
        }
}
