#pragma once
#include "kernel/attend.h"

/* Causal softmax attention to listed blocks of keys, scale 1/sqrt(width), online softmax (kernel/attend.h). Sequences
 * are cut into blocks of `block` tokens; a query of block i sees, of every block that the list of (head, i) names, the
 * keys up to its own. Only named blocks are read.
 *
 *   q, k, v, y   batch x tokens x heads x width, row-major; row t of a call is token past + t
 *   list         heads x (blocks that the call touches, from past / block on) x most: blocks in the order in which they
 *                are summed, none above i, none twice; i itself is among them; -1 ends a shorter list
 *   cache        batch x heads x cache_floats: every block in tiles of up to 64 keys, blocks below 64 in one tile of
 *                whole vectors; a tile's keys transposed (width x tile), then, after those of all tiles, its values,
 *                rows of padded(width). capacity: keys that there is room for
 *   statistics   batch x heads x tokens x 2: row maximum m and 1 / sum exp(s - m); NULL if no backward follows
 *   workspace    threads x workspace_floats(shape)
 *
 * append writes the cache; forward reads it and returns how many tiles of keys it has multiplied with tiles of queries.
 * backward (past = 0) adds to dq, dk, dv. Cost: forward 4 width flop per key of a named block and query, backward 2.5
 * times that. Tiles lie at absolute positions and every row is treated alone, so splitting a call changes no bit.
 * Reference: block_attention. */
typedef struct {
    int64_t batch, heads, tokens, past, capacity, width;
    int64_t block, most;
    const int64_t *list;
} BlocksShape;

/* Blocks that a call touches. */
static inline int64_t blocks_touched(const BlocksShape *s) {
    return s->tokens > 0 ? (s->past + s->tokens - 1) / s->block - s->past / s->block + 1 : 0;
}

struct blocks_kernel {
    int64_t (*cache_floats)(const BlocksShape *shape); /* of one head */
    int64_t (*workspace_floats)(const BlocksShape *shape);
    void (*append)(const BlocksShape *shape, const float *k, const float *v, float *cache);
    int64_t (*forward)(const BlocksShape *shape, const float *q, const float *cache, float *y,
                       float *statistics, float *workspace);
    void (*backward)(const BlocksShape *shape, const float *q, const float *cache, const float *y,
                     const float *statistics, const float *dy, float *dq, float *dk, float *dv,
                     float *workspace);
};
