#pragma once
#include <stdint.h>

/* Causal softmax attention over a key-value cache, eq 2 with scale 1/sqrt(width), online softmax over blocks
 * of 64 keys. Query i of a call has position past + i and sees keys 0 .. past + i.
 *
 *   q, k, v, y   batch x tokens x heads x width, row-major
 *   cache        batch x heads x attend_cache_floats: keys in blocks of 64, each block transposed (width x
 * 64), so that Q K' needs no transposition; then values, capacity rows of padded(width) statistics   batch x
 * heads x tokens x 2: row maximum m and 1 / sum exp(s - m); NULL if no backward follows workspace    threads
 * x workspace_floats(shape)
 *
 * append writes k, v at positions past .. past + tokens - 1; forward then reads positions 0 .. past + tokens
 * - 1. backward (past = 0 only) adds to dq, dk, dv. Cost: forward 2 tokens^2 width flop per head counting the
 * causal half, backward 2.5 times that. The key blocks lie at absolute positions and every row is treated
 * alone, so splitting a call changes no bit. Reference: attention. */
enum { ATTEND_BLOCK = 64 };

typedef struct {
    int64_t batch, heads, tokens, past, capacity, width;
} AttendShape;

struct attend_kernel {
    int64_t (*cache_floats)(const AttendShape *shape); /* of one head; capacity a multiple of ATTEND_BLOCK */
    int64_t (*workspace_floats)(const AttendShape *shape);
    void (*append)(const AttendShape *shape, const float *k, const float *v, float *cache);
    void (*forward)(const AttendShape *shape, const float *q, const float *cache, float *y, float *statistics,
                    float *workspace);
    void (*backward)(const AttendShape *shape, const float *q, const float *cache, const float *y,
                     const float *statistics, const float *dy, float *dq, float *dk, float *dv,
                     float *workspace);
};
