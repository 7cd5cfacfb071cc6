#pragma once
#include <stdint.h>

/* Neural long-term memory, eqs 11-18: L matrices per head, trained at test time on l = |M(k) - v|^2 (eq 12,
 * the factor 2 included) with decay, momentum and the gradient of a chunk frozen at the chunk's first state.
 *
 *   S_t = eta_t S_{t-1} - theta_t u_t       M_t = keep_t M_{t-1} + S_t,  keep = 1 - alpha       y_t =
 * M_t(q_t) M(x) = silu(.. silu(x W[1]) ..) W[L], W[l] of width[l-1] x width[l], tokens are rows, no bias
 *
 * Shapes (row-major):
 *   k, q         batch x tokens x heads x width[0]      v, y   batch x tokens x heads x width[L]
 *   keep, theta, eta   batch x tokens x heads
 *   state        batch x heads x 3 P, P = sum width[l-1] width[l]: weights at the start of the open chunk,
 * weights now, momentum now; each the L matrices one after the other. Updated in place. snapshots    batch x
 * heads x chunks x 2 P: weights and momentum at every chunk start, for the backward workspace    threads x
 * workspace_floats(shape)
 *
 * forward_scan keeps 2 vectors of M and S in registers while the tokens of a chunk pass. `position` tokens of
 * the open chunk came in earlier calls; any split of a sequence into calls gives the same bits. Flop per
 * token and head: (6 P + scan 8 P) minus 2 width[0] width[1]. forward_dual evaluates the same chunk by matrix
 * products (docs/design.md); position must be 0. backward goes through the inner gradient; it adds to dk, dv,
 * dq, dkeep, dtheta, deta; dstate (batch x heads x 2 P) holds d/d(final weights, momentum) on entry and
 * d/d(initial) on return. position must have been 0. At each chunk end weights and momentum below 2^-100 are
 * set to 0, so that decay meets no denormal numbers. Work is shared over batch x heads. Reference:
 * memory_sequential, memory_chunk. */
typedef struct {
    int64_t batch, heads, tokens, chunk, position;
    int layers;
    int64_t width[5];
} MemoryShape;

typedef struct {
    const float *k, *v, *q, *keep, *theta, *eta;
} MemoryInput;

typedef struct {
    float *k, *v, *q, *keep, *theta, *eta;
} MemoryGradient;

typedef struct {
    float *y;
    float *snapshots; /* or NULL */
    float *surprise;  /* or NULL: batch x tokens x heads, |u_t|, the norm of the gradient over all layers */
} MemoryOutput;

struct memory_kernel {
    int64_t (*workspace_floats)(const MemoryShape *shape);
    void (*forward_scan)(const MemoryShape *shape, const MemoryInput *in, float *state,
                         const MemoryOutput *out, float *workspace);
    void (*forward_dual)(const MemoryShape *shape, const MemoryInput *in, float *state,
                         const MemoryOutput *out, float *workspace);
    void (*backward)(const MemoryShape *shape, const MemoryInput *in, const float *snapshots, const float *dy,
                     const MemoryGradient *d, float *dstate, float *workspace);
};
