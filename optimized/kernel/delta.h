#pragma once
#include <stdint.h>

/* The general delta rule: linear attention, retention, GLA, DeltaNet, Gated DeltaNet, KDA, Mamba-2's core, RWKV-7, one
 * recurrence with switches. A head's state S is K x V.
 *
 *   S' = diag(decay) S
 *   DELTA_NONE   w = rate v                    S = S' + k w'
 *   DELTA_KEY    u = k S', w = rate (v - u)    S = S' + k w'
 *   DELTA_PAIR   u = a S,  w = rate v          S = S' + k w' + b u'
 *   o = scale q S
 *
 *   q, k        batch x tokens x key_heads x keys; head h reads key head h key_heads / heads
 *   v, o        batch x tokens x heads x values
 *   decay       batch x tokens x heads x decays: factors, decays = keys, 1 for all rows, or 0 for none
 *   rate        batch x tokens x heads x rates: rates = values, 1 for all columns, or 0 for none
 *   a, b        batch x tokens x heads x keys, with DELTA_PAIR
 *   state       batch x heads x keys x values: before the first token; forward leaves that after the last one
 *   snapshots   batch x heads x chunks x keys x values: the states at every DELTA_CHUNK-th token, for backward; or NULL
 *   workspace   threads x workspace_floats(shape)
 *   partial     partial_floats(shape), of backward: sums by tile of columns
 *
 * backward adds to the gradients; dstate holds the gradient of the last state on entry and that of the first at the end.
 * Forward has the bits of one token after the other, so splitting a call changes none; 16 to 64 columns, a band, are passed by
 * DELTA_BLOCK tokens before the next band (delta/forward.h). Backward computes the states of 16 tokens again from a snapshot
 * and walks back through them, or, where the state is large, takes the 16 tokens at once by matrix products; a decay is never
 * divided by. Heads and tiles of DELTA_TILE columns are independent: they are what threads share.
 *
 * Flop per token and head: DELTA_NONE 5 K V, DELTA_KEY 7 K V, DELTA_PAIR 9 K V; backward about 3 times that. Reference:
 * general_delta_rule. */
typedef enum { DELTA_NONE, DELTA_KEY, DELTA_PAIR } DeltaRemoval;
enum { DELTA_CHUNK = 16, DELTA_TILE = 128 };

typedef struct {
    int64_t batch, tokens, heads, key_heads, keys, values, decays, rates;
    DeltaRemoval removal;
    float scale;
} DeltaShape;

typedef struct {
    const float *q, *k, *v, *decay, *rate, *a, *b;
} DeltaInput;

typedef struct {
    float *q, *k, *v, *decay, *rate, *a, *b; /* those that the shape has are not NULL */
} DeltaGradient;

static inline int64_t delta_chunks(const DeltaShape *s) {
    return (s->tokens + DELTA_CHUNK - 1) / DELTA_CHUNK;
}

struct delta_kernel {
    int64_t (*workspace_floats)(const DeltaShape *shape);
    int64_t (*partial_floats)(const DeltaShape *shape);
    void (*forward)(const DeltaShape *shape, const DeltaInput *in, float *state, float *o, float *snapshots,
                    float *workspace);
    void (*backward)(const DeltaShape *shape, const DeltaInput *in, const float *snapshots, const float *d_o,
                     const DeltaGradient *d, float *dstate, float *partial, float *workspace);
};
