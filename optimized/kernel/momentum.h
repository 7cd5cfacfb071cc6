#pragma once
#include "kernel/delta.h"

/* The delta rule with momentum and decay: Titans' memory of one linear layer as others write it. A head has two states,
 * S and M, K x V each; per token and head four numbers.
 *
 *   e = p S - v      M' = carry M + step k e'      S' = keep S - rate M'      o = scale q S'
 *
 *   q, k, p    batch x tokens x heads x keys      v, o   batch x tokens x heads x values
 *   keep, carry, rate, step    batch x tokens x heads
 *   state      batch x heads x 2 x keys x values: S, then M; forward leaves those after the last token
 *   snapshots  momentum_snapshot_floats, or NULL: states, batch x heads x chunks x 2 x keys x values; then every e, batch x
 *              tokens x heads x values. workspace, partial: as kernel/delta.h
 *
 * Of the shape, key_heads = heads, and decays, rates and removal are not read. backward adds to the gradients; dstate holds
 * the gradient of the last states on entry and that of the first at the end. Flop per token and head: 12 K V; backward
 * about 3 times that. Reference: momentum_delta_rule. */
typedef struct {
    const float *q, *k, *p, *v, *keep, *carry, *rate, *step;
} MomentumInput;

typedef struct {
    float *q, *k, *p, *v, *keep, *carry, *rate, *step;
} MomentumGradient;

static inline int64_t momentum_states(const DeltaShape *s) {
    return s->batch * s->heads * delta_chunks(s) * 2 * s->keys * s->values;
}
static inline int64_t momentum_snapshot_floats(const DeltaShape *s) {
    return momentum_states(s) + s->batch * s->tokens * s->heads * s->values;
}

struct momentum_kernel {
    int64_t (*workspace_floats)(const DeltaShape *shape);
    int64_t (*partial_floats)(const DeltaShape *shape);
    void (*forward)(const DeltaShape *shape, const MomentumInput *in, float *state, float *o,
                    float *snapshots, float *workspace);
    void (*backward)(const DeltaShape *shape, const MomentumInput *in, const float *snapshots,
                     const float *d_o, const MomentumGradient *d, float *dstate, float *partial,
                     float *workspace);
};
