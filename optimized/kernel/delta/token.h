/* What one token of one head brings, as whole vectors: rows of `ld` floats, zero behind the keys. */
#pragma once
#include "kernel/delta/tile.h"

/* reading: what reads u from the state before the decay, decay k or a; asking: decay q. qk, qb: products. */
typedef struct {
    float *k, *q, *decay, *reading, *asking, *b;
    float qk, qb;
} DeltaToken;

enum { DELTA_ROWS = 6 }; /* of `ld` floats in a token */

INLINE int64_t delta_ld(const DeltaShape *s) { return padded(s->keys); }

INLINE DeltaToken delta_token_at(float *base, int64_t ld) {
    return (DeltaToken){base,          base + ld,     base + 2 * ld, base + 3 * ld,
                        base + 4 * ld, base + 5 * ld, 0.0f,          0.0f};
}

static void delta_token_load(const DeltaTask *t, int64_t token, DeltaToken *x) {
    const DeltaShape *s = t->shape;
    const int64_t row = delta_row(t, token), key = delta_key_row(t, token) * s->keys;
    Vec qk = vec_zero(), qb = vec_zero();
    FOR_VECTORS (i, s->keys) {
        const int64_t lanes = vec_lanes(i, s->keys);
        const Vec q = vec_load_n(t->in->q + key + i, lanes), k = vec_load_n(t->in->k + key + i, lanes);
        const Vec d = s->decays > 1    ? vec_load_n(t->in->decay + row * s->keys + i, lanes)
                      : s->decays == 1 ? vec_set1(t->in->decay[row])
                                       : vec_set1(1.0f);
        vec_store(x->q + i, q);
        vec_store(x->k + i, k);
        vec_store(x->decay + i, d);
        vec_store(x->asking + i, vec_mul(d, q));
        qk = vec_fma(q, k, qk);
        if (s->removal == DELTA_KEY) vec_store(x->reading + i, vec_mul(d, k));
        if (s->removal != DELTA_PAIR) continue;
        const Vec b = vec_load_n(t->in->b + row * s->keys + i, lanes);
        vec_store(x->reading + i, vec_load_n(t->in->a + row * s->keys + i, lanes));
        vec_store(x->b + i, b);
        qb = vec_fma(q, b, qb);
    }
    x->qk = vec_sum(qk);
    x->qb = vec_sum(qb);
}

/* Rate of 16 columns from c on. */
INLINE Vec delta_rate(const DeltaTask *t, int64_t row, int64_t c, int64_t lanes) {
    const DeltaShape *s = t->shape;
    return s->rates > 1    ? vec_load_n(t->in->rate + row * s->values + c, lanes)
           : s->rates == 1 ? vec_set1(t->in->rate[row])
                           : vec_set1(1.0f);
}
