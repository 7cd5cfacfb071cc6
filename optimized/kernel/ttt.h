#pragma once
#include <stdint.h>

/* Test-time training (Sun et al., arXiv 2407.04620): per head an inner model z(x) of L layers with biases, L = 1 (x W +
 * b) or 2 (gelu in its tanh form between), trained on l = |LN(z(k)) - (v - k)|^2 / 2 while it reads.
 *
 *   LN(z) = gain (z - mean) / sqrt(variance + eps) + bias
 *   w_t = w_0 - reader_t sum_{i<=t} rate_i grad l_i(w_0), i in the mini-batch of t, w_0 the weights at its start
 *   y_t = residual + LN(z_t), z_t = z(scale q_t) at w_t; residual: scale q_t, or with `own` z_t itself
 *
 *   k, v, q, y     batch x tokens x heads x width[0], row-major as all; width[L] = width[0]
 *   reader, rate   batch x tokens x heads
 *   gain, bias     heads x width[0]
 *   state          batch x heads x ttt_state: P weights at the start of the open mini-batch, W[1] b[1] W[2] b[2], then the
 *                  open mini-batch's rows: of every token and layer l the input h_i (width[l-1]) and rate_i dl/dz_i
 *                  (width[l]). In place.
 *   snapshots      batch x heads x mini-batches x P: weights at every start, for the backward; NULL: not wanted
 *   workspace      threads x workspace_floats(shape)
 *
 * The dual form: with H the inputs and E the rows rate_i dl/dz_i, layer l reads
 *
 *   Z = Q W + b - (reader (tril(Q H') + tril(1))) E,   W' = W - H' (reader_n E),   b' = b - reader_n 1' E
 *
 * all of it products. `position` tokens of the open mini-batch came in earlier calls. A row sums over its mini-batch's
 * tokens in their order and over nothing else, so that any split of a sequence into calls gives the same bits. With
 * `closed` the last mini-batch ends with the last token, full or not. Flop per token and head: 6 P for L = 1 and 8 P -
 * 2 width[0] width[1] for L = 2, and 2 mini_batch (width[l-1] + width[l]) for every layer.
 *
 * backward goes through the inner gradient, second-order terms included, and adds to dk .. drate; dgain, dbias are
 * batch x heads x width[0], for the caller to sum over the batch. dstate (batch x heads x P) holds d/d(weights in the
 * final state) on entry and d/d(initial) on return. position must have been 0.
 *
 * rates: reader_t = max(0, 1 / p + learn[p-1]), p = 1 .. mini_batch the token's place, the same for every head; rate =
 * base sigmoid(z), z as rate.
 *
 * Not a setting of kernel/memory.h: reader_t multiplies the whole sum of a mini-batch, but not w_0, and differs from
 * token to token, which no decay or momentum of that memory can do; biases, the norm's gain and bias in the loss and the
 * key in the target would all be options that nothing else has. The norm's row functions are shared (vec/normal.h).
 * Reference: ttt_linear_chunk, ttt_mlp_chunk. */
typedef struct {
    int64_t batch, heads, tokens, mini_batch, position;
    int layers;
    int64_t width[3];
    int own, closed; /* 0 or 1 each */
    float scale, eps;
} TttShape;

/* P */
static inline int64_t ttt_weights(const TttShape *s) {
    int64_t weights = 0;
    for (int l = 1; l <= s->layers; l++) weights += (s->width[l - 1] + 1) * s->width[l];
    return weights;
}

/* Numbers of one open row, and of one head's state. */
static inline int64_t ttt_row(const TttShape *s) {
    int64_t row = 0;
    for (int l = 1; l <= s->layers; l++) row += s->width[l - 1] + s->width[l];
    return row;
}
static inline int64_t ttt_state(const TttShape *s) { return ttt_weights(s) + s->mini_batch * ttt_row(s); }

/* Mini-batches that a call touches. */
static inline int64_t ttt_mini_batches(const TttShape *s) {
    return (s->position + s->tokens + s->mini_batch - 1) / s->mini_batch;
}

typedef struct {
    const float *k, *v, *q, *reader, *rate, *gain, *bias;
} TttInput;

typedef struct {
    float *k, *v, *q, *reader, *rate, *gain, *bias;
} TttGradient;

struct ttt_kernel {
    int64_t (*workspace_floats)(const TttShape *shape);
    void (*forward)(const TttShape *shape, const TttInput *in, float *state, float *y, float *snapshots,
                    float *workspace);
    void (*backward)(const TttShape *shape, const TttInput *in, const float *snapshots, const float *dy,
                     const TttGradient *d, float *dstate, float *workspace);
    void (*rates)(const TttShape *shape, float base, const float *learn, const float *z, float *reader,
                  float *rate);
    void (*rates_backward)(const TttShape *shape, float base, const float *learn, const float *z,
                           const float *dreader, const float *drate, float *dlearn, float *dz);
};
