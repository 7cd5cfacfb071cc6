#pragma once
#include <stdint.h>

/* Section 4.4: causal depthwise convolution, SiLU, and (for q and k) l2 normalisation per head, in one pass.
 *
 *   a[t][c] = bias[c] + sum_j weight[j][c] x[t - (taps-1) + j][c]     u = silu(a)
 *   y = l2 ? u / sqrt(sum_head u^2 + 1e-6) : u
 *
 *   x, y        batch x tokens x heads x width
 *   weight      taps x (heads width), the last tap is the current token
 *   bias        heads width, NULL for none
 *   tail        batch x (taps-1) x (heads width): the inputs before x, NULL for zeros
 *   workspace   (backward) batch x tokens x heads x width
 *
 * backward adds to dx, dweight and, unless NULL, dtail and dbias. shift makes the next call's tail.
 * Flop per channel and token: 2 taps + about 30. Reference: conv_silu, conv_silu_l2. */
typedef struct {
    int64_t batch, tokens, heads, width, taps;
    int l2;
} ConvShape;

struct conv_kernel {
    void (*forward)(const ConvShape *shape, const float *x, const float *tail, const float *weight,
                    const float *bias, float *y);
    void (*shift)(const ConvShape *shape, const float *x, const float *tail, float *next_tail);
    void (*backward)(const ConvShape *shape, const float *x, const float *tail, const float *weight,
                     const float *bias, const float *dy, float *dx, float *dtail, float *dweight,
                     float *dbias, float *workspace);
};
