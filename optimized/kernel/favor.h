#pragma once
#include <stdint.h>

/* Causal attention over positive random features (FAVOR+) as a running state. With u = q.p_m / width^(1/4) and
 * a = k.p_m / width^(1/4) - |k|^2 / (2 sqrt(width)) for the features m of one head, token t first writes
 *
 *   top_m' = max(top_m, a_m)   keep_m = exp(top_m - top_m')   fresh_m = exp(a_m - top_m')
 *   S_m = keep_m S_m + fresh_m v                              z_m = keep_m z_m + fresh_m
 *
 * and then reads y = sum_m w_m S_m / sum_m w_m z_m with w_m = exp(u_m + top_m - max_m (u_m + top_m)). In exact
 * arithmetic the maxima cancel; here z_m >= 1 for the feature whose w_m is 1, so the division is safe. relu: keep = 1,
 * top = 0, fresh = max(k.p_m / width^(1/4), 0) + 1e-3, w likewise from u.
 *
 *   q, k, v, y   batch x tokens x heads x width, row-major
 *   projection   features x width, rows p_m, the same for all heads
 *   state        batch x heads x state_floats: S, rows of padded(width), then z and top, padded(features) each; all zero
 *                before the first token (past = 0)
 *   workspace    threads x workspace_floats(shape, backward)
 *
 * forward advances the state. backward (past = 0) adds to dq, dk, dv; it computes the states of every head again, whose
 * adjoint goes back through the same recursion: nothing is divided by what has decayed. Cost: forward
 * 4 features width for the scores and 5 features width for state and read, backward about 4 times that. Tokens are
 * treated one after the other, so splitting a call changes no bit. Reference: favor_running. */
typedef struct {
    int64_t batch, heads, tokens, past, width, features;
    int relu;
} FavorShape;

struct favor_kernel {
    int64_t (*state_floats)(const FavorShape *shape); /* of one head */
    int64_t (*workspace_floats)(const FavorShape *shape, int backward);
    void (*forward)(const FavorShape *shape, const float *q, const float *k, const float *v,
                    const float *projection, float *state, float *y, float *workspace);
    void (*backward)(const FavorShape *shape, const float *q, const float *k, const float *v,
                     const float *projection, const float *dy, float *dq, float *dk, float *dv,
                     float *workspace);
};
