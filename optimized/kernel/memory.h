#pragma once
#include <stdint.h>

/* Neural long-term memory, eqs 11-18: L matrices per head, trained at test time on l = |M(k) - v|^2 (eq 12,
 * the factor 2 included) with decay, momentum and the gradient of a chunk frozen at the chunk's first state.
 *
 *   S_t = eta_t S_{t-1} - theta_t u_t,   M_t = keep_t M_{t-1} + S_t,   keep = 1 - alpha,   y_t = M_t(q_t)
 *   M(x) = residual x + LN(act(.. act(x W[1]) ..) W[L]), W[l] of width[l-1] x width[l], tokens are rows, no bias
 *
 * act is SiLU or (gelu) the tanh form of GELU. Without norm LN is the identity, with it
 * (a - mean) / sqrt(variance + 1e-6) without gain. residual needs width[0] = width[L].
 *
 * Gates: sets G = 1, or with per_layer one for every layer of the memory; channelwise: keep has C = width[L]
 * entries and output channel j of W[l] decays by entry j mod C (cf. eq 32), else C = 1.
 *
 *   k, q         batch x tokens x heads x width[0], row-major as all
 *   v, y         batch x tokens x heads x width[L]
 *   keep         batch x tokens x heads x G x C
 *   theta, eta   batch x tokens x heads x G
 *   state        batch x heads x 3 P, P = sum width[l-1] width[l]: weights at the start of the open chunk,
 *                weights now, momentum now; each the L matrices one after the other. Updated in place.
 *   snapshots    batch x heads x chunks x 2 P: weights and momentum at every chunk start, for the backward
 *   workspace    threads x workspace_floats(shape)
 *
 * forward_scan keeps 2 vectors of M and S in registers while the tokens of a chunk pass. `position` tokens of
 * the open chunk came in earlier calls; any split of a sequence into calls gives the same bits. Flop per
 * token and head: (6 P + scan 8 P) minus 2 width[0] width[1]. forward_dual evaluates the same chunk by matrix
 * products (docs/dual-form.md); position must be 0 and keep one number per head and set.
 *
 * backward goes through the inner gradient; it adds to dk, dv, dq, dkeep, dtheta, deta; dstate (batch x heads x
 * 2 P) holds d/d(final weights, momentum) on entry and d/d(initial) on return. position must have been 0. It
 * uses the dual form, or for channelwise decay the adjoint of the scan, which backward_scan uses always. At each
 * chunk end weights and momentum below 2^-100 are set to 0, so that decay meets no denormal numbers; the dual form does the
 * same to products of decays within a chunk.
 *
 * read is M(q) at fixed weights (eqs 15, 21), those of head i at weights + i stride; read_backward adds to dq
 * and to dweights + i dstride. Work is shared over batch x heads. Reference: memory_sequential, memory_chunk,
 * memory_read. */
typedef struct {
    int64_t batch, heads, tokens, chunk, position;
    int layers;
    int64_t width[5];
    int gelu, residual, norm, per_layer, channelwise; /* 0 or 1 each */
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
    void (*backward_scan)(const MemoryShape *shape, const MemoryInput *in, const float *snapshots,
                          const float *dy, const MemoryGradient *d, float *dstate, float *workspace);
    void (*read)(const MemoryShape *shape, const float *q, const float *weights, int64_t stride, float *y,
                 float *workspace);
    void (*read_backward)(const MemoryShape *shape, const float *q, const float *weights, int64_t stride,
                          const float *dy, float *dq, float *dweights, int64_t dstride, float *workspace);
};
