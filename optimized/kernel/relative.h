#pragma once
#include <stdint.h>

/* Causal softmax attention with relative positions (Transformer-XL) of one segment: `tokens` queries, which are the last
 * of `keys` rows. Query t, row own = keys - tokens + t, sees rows 0 .. own:
 *
 *   y_t = sum_j a_j v_j,  a = softmax over j of (q_t . k_j + p_t . r(own - j)) / sqrt(width)
 *
 *   q, p, y      batch x tokens x heads x width, row-major
 *   k, v         batch x key_rows x heads x width, of which the first `keys` rows of every sequence are read
 *   r            distances x heads x width, the same for all sequences: rows of the distances distances - 1 .. 0
 *   statistics   batch x heads x tokens x 2: row maximum m and 1 / sum exp(s - m); NULL if no backward follows
 *   workspace    threads x workspace_floats(shape)
 *
 * keys <= distances. Scores exist for 64 queries at a time, all keys of the segment: 64 x keys floats. p meets the
 * distances in one matrix product and is read shifted by a row from query to query. Every row is treated alone, from key
 * 0 on, so that splitting a segment into calls changes no bit.
 * backward (key_rows = keys) adds to all gradients. Cost: forward 6 width flop per key and query, backward 2.5 times
 * that. Reference: relative_attention. */
enum { RELATIVE_BLOCK = 64 };

typedef struct {
    int64_t batch, heads, width, tokens, keys, key_rows, distances;
} RelativeShape;

typedef struct {
    const float *q, *p, *k, *v, *r;
} RelativeInput;

typedef struct {
    float *q, *p, *k, *v, *r;
} RelativeGradient;

struct relative_kernel {
    int64_t (*workspace_floats)(const RelativeShape *shape);
    void (*forward)(const RelativeShape *shape, const RelativeInput *in, float *y, float *statistics,
                    float *workspace);
    void (*backward)(const RelativeShape *shape, const RelativeInput *in, const float *y,
                     const float *statistics, const float *dy, const RelativeGradient *grad,
                     float *workspace);
};
