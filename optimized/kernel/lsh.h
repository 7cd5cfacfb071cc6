#pragma once
#include <stdint.h>

/* Causal attention among tokens of one hash, in constant memory. x are queries and keys at once; key = x / sqrt(mean x^2
 * + eps) / sqrt(width). In round r the bucket of a token is the argmax of [x R_r; -x R_r], the first of equals. For every
 * round and bucket a ring keeps the last `window` tokens; token t looks at those in its buckets,
 *
 *   y = sum_j exp(x.key_j) v_j / sum_j exp(x.key_j),  all rounds together, one token as often as it is met,
 *
 * y = v where the rings are empty, and is then put into them itself.
 *
 *   x, v, y      batch x tokens x heads x width, row-major
 *   rotations    heads x width x rounds x (buckets / 2); one bucket has none
 *   state        batch x heads x state_floats, all zero before the first token (past = 0): per round and bucket keys,
 *                transposed (width x padded(window)), then values (window x padded(width)); behind all of them per round
 *                and bucket how many have come, less `window` as often as leaves at least that
 *   workspace    threads x workspace_floats(shape, backward), index: threads x index_count(shape), backward only
 *
 * forward advances the state. backward (past = 0) adds to dx, dv; hashes and order are constants. Cost: forward
 * width rounds (buckets + 4 window) flop per token, backward about twice that. Every score is one chain over ascending
 * channels and tokens come one after the other, so splitting a call changes no bit. Reference: lsh_window. */
typedef struct {
    int64_t batch, heads, tokens, past, width, rounds, buckets, window;
    float eps;
} LshShape;

struct lsh_kernel {
    int64_t (*state_floats)(const LshShape *shape); /* of one head */
    int64_t (*workspace_floats)(const LshShape *shape, int backward);
    int64_t (*index_count)(const LshShape *shape);
    void (*forward)(const LshShape *shape, const float *x, const float *v, const float *rotations,
                    float *state, float *y, float *workspace);
    void (*backward)(const LshShape *shape, const float *x, const float *v, const float *rotations,
                     const float *dy, float *dx, float *dv, float *workspace, int32_t *index);
};
