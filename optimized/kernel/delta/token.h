/* What one token of one head brings. */
#pragma once
#include "kernel/delta/tile.h"

/* Rows of keys: the caller's, or `own`. reading: what reads u from the state before the decay, decay k or a. */
typedef struct {
    const float *k, *q, *decay, *reading, *b;
    int64_t row; /* in arrays of heads */
} DeltaToken;

enum { DELTA_ROWS = 2 }; /* of `ld` floats in a token's own memory: decay, reading */

INLINE int64_t delta_ld(const DeltaShape *s) { return padded(s->keys); }

static void delta_token_soon(const DeltaTask *t, int64_t token) {
    const DeltaShape *s = t->shape;
    if (token >= s->tokens) return;
    const int64_t row = delta_row(t, token), at = row * s->keys, key = delta_key_row(t, token) * s->keys;
    delta_soon(t->in->k + key, s->keys);
    delta_soon(t->in->q + key, s->keys);
    delta_soon(t->in->v + row * s->values + t->c, t->columns);
    if (s->decays > 1) delta_soon(t->in->decay + at, s->keys);
    if (s->removal != DELTA_PAIR) return;
    delta_soon(t->in->a + at, s->keys);
    delta_soon(t->in->b + at, s->keys);
}

static DeltaToken delta_token(const DeltaTask *t, int64_t token, float *own) {
    const DeltaShape *s = t->shape;
    const DeltaInput *in = t->in;
    const int64_t row = delta_row(t, token), at = row * s->keys, key = delta_key_row(t, token) * s->keys;
    const float *k = in->k + key;
    float *reading = own + delta_ld(s);
    if (s->decays == 1)
        FOR_VECTORS (i, s->keys) vec_store(own + i, vec_set1(in->decay[row]));
    const float *decay = s->decays > 1 ? in->decay + at : own;
    for (int64_t i = 0; i < s->keys && s->decays && s->removal == DELTA_KEY; i += VEC_LANES) {
        const int64_t lanes = vec_lanes(i, s->keys);
        vec_store(reading + i, vec_mul(vec_load_n(decay + i, lanes), vec_load_n(k + i, lanes)));
    }
    const int pair = s->removal == DELTA_PAIR;
    return (DeltaToken){
        k, in->q + key, decay, pair ? in->a + at : s->decays ? reading : k, pair ? in->b + at : 0, row};
}

/* Rate of 16 columns from c on. */
INLINE Vec delta_rate(const DeltaTask *t, int64_t row, int64_t c, int64_t lanes) {
    const DeltaShape *s = t->shape;
    return s->rates > 1    ? vec_load_n(t->in->rate + row * s->values + c, lanes)
           : s->rates == 1 ? vec_set1(t->in->rate[row])
                           : vec_set1(1.0f);
}
