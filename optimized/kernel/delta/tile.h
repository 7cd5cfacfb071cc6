/* Heads and tiles of columns, which the delta rules share: their rows, their states, their sums. */
#pragma once
#include "kernel/delta.h"
#include "base/parallel.h"
#include "vec/rows.h"

enum { DELTA_BLOCK = 64 }; /* tokens, whose rows stay in the second cache while bands of columns take turns */

INLINE int64_t delta_block_end(const DeltaShape *s, int64_t from) {
    return from + DELTA_BLOCK < s->tokens ? from + DELTA_BLOCK : s->tokens;
}

/* Work on 16 numbers at a time, of n: what(at, lanes), the compiler knows when lanes are all of them. */
#define DELTA_VECTORS(n, what)                                                                               \
    do {                                                                                                     \
        int64_t at_ = 0;                                                                                     \
        for (; at_ + VEC_LANES <= (n); at_ += VEC_LANES) what(at_, VEC_LANES);                               \
        if (at_ < (n)) what(at_, (n)-at_);                                                                   \
    } while (0)

/* One (sequence, head, tile of columns from c to end). */
typedef struct {
    const DeltaShape *shape;
    const DeltaInput *in;
    int64_t batch, head, tile, c, columns, width; /* columns: of the tile that exist; width: whole vectors */
} DeltaTask;

INLINE DeltaTask delta_task(const DeltaShape *s, const DeltaInput *in, int64_t i) {
    const int64_t tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE, tile = i % tiles, c = tile * DELTA_TILE;
    const int64_t left = s->values - c, columns = left < DELTA_TILE ? left : DELTA_TILE;
    return (DeltaTask){s, in, i / tiles / s->heads, i / tiles % s->heads, tile, c, columns, padded(columns)};
}
INLINE int64_t delta_tasks(const DeltaShape *s) {
    return s->batch * s->heads * ((s->values + DELTA_TILE - 1) / DELTA_TILE);
}

/* Row of a token in arrays of heads, and of key heads. */
INLINE int64_t delta_row(const DeltaTask *t, int64_t token) {
    return (t->batch * t->shape->tokens + token) * t->shape->heads + t->head;
}
INLINE int64_t delta_key_row(const DeltaTask *t, int64_t token) {
    const DeltaShape *s = t->shape;
    return (t->batch * s->tokens + token) * s->key_heads + t->head * s->key_heads / s->heads;
}

/* `vectors` vectors of columns of a state (keys x values), from column j of the tile on, into rows of S `ld` floats apart and
 * back; zero behind the last column. */
INLINE void delta_columns_load(const DeltaTask *t, const float *state, int64_t j, int64_t vectors, float *S,
                               int64_t ld) {
    const int64_t values = t->shape->values;
    for (int64_t i = 0; i < t->shape->keys; i++)
        for (int64_t n = 0, c = j; n < vectors; n++, c += VEC_LANES) {
            const int64_t lanes = vec_lanes(c, t->columns);
            vec_store(S + i * ld + n * VEC_LANES,
                      lanes > 0 ? vec_load_n(state + i * values + t->c + c, lanes) : vec_zero());
        }
}
INLINE void delta_columns_save(const DeltaTask *t, const float *S, int64_t ld, int64_t j, int64_t vectors,
                               float *state) {
    const int64_t values = t->shape->values;
    for (int64_t i = 0; i < t->shape->keys; i++)
        for (int64_t n = 0, c = j; n < vectors && c < t->columns; n++, c += VEC_LANES)
            vec_store_n(state + i * values + t->c + c, vec_load(S + i * ld + n * VEC_LANES),
                        vec_lanes(c, t->columns));
}

/* All columns of the tile, rows t->width apart. */
static void delta_tile_load(const DeltaTask *t, const float *state, float *S) {
    delta_columns_load(t, state, 0, t->width / VEC_LANES, S, t->width);
}
static void delta_tile_save(const DeltaTask *t, const float *S, float *state) {
    delta_columns_save(t, S, t->width, 0, t->width / VEC_LANES, state);
}

/* n floats that are wanted soon; rows of tokens lie too far apart for the CPU to see them coming. */
INLINE void delta_soon(const float *row, int64_t n) {
    FOR_VECTORS (i, n) __builtin_prefetch(row + i);
}

/* scale do of the tile's columns; zero up to its width. */
static void delta_cotangent(const DeltaTask *t, int64_t row, const float *d_o, float *to) {
    const DeltaShape *s = t->shape;
    FOR_VECTORS (j, t->columns)
        vec_store(to + j, vec_mul(vec_set1(s->scale),
                                  vec_load_n(d_o + row * s->values + t->c + j, vec_lanes(j, t->columns))));
}

/* to += the sum over the tiles of n numbers at `from`, tiles `stride` apart. */
INLINE void delta_gather(int64_t n, int64_t tiles, int64_t stride, const float *from, float *to) {
    FOR_VECTORS (i, n) {
        const int64_t lanes = vec_lanes(i, n);
        Vec sum = vec_load_n(to + i, lanes);
        for (int64_t tile = 0; tile < tiles; tile++)
            sum = vec_add(sum, vec_load_n(from + tile * stride + i, lanes));
        vec_store_n(to + i, sum, lanes);
    }
}
