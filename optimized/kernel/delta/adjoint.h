/* The way back token by token: into the gradient of the state, v and its rate, out of the gradient of the state. */
#pragma once
#include "kernel/delta/step.h"

/* Sums over columns that a token's gradients are, for every key a vector whose lanes are added at the end: of all keys on
 * the way in, of 16 on the way out. */
enum { IN_K, IN_B, INS };
enum { OUT_Q, OUT_DECAY, OUT_READING, OUTS };

/* states: of a chunk before each token; dS: gradient of the state; forward a tile's state. */
typedef struct {
    float *token, *states, *dS, *u, *w, *du, *dw, *cotangent, *in, *out;
} DeltaScratch;

static DeltaScratch delta_scratch(const DeltaShape *s, float *base, int64_t *floats) {
    const int64_t ld = delta_ld(s), matrix = ld * DELTA_WALK;
    int64_t used = 0;
    DeltaScratch x;
    x.token = rows_part(base, &used, DELTA_CHUNK * DELTA_ROWS * ld);
    x.states = rows_part(base, &used, DELTA_CHUNK * matrix);
    x.dS = rows_part(base, &used, ld * DELTA_TILE);
    x.u = rows_part(base, &used, DELTA_CHUNK * DELTA_WALK);
    x.w = rows_part(base, &used, DELTA_CHUNK * DELTA_WALK);
    x.du = rows_part(base, &used, DELTA_WALK);
    x.dw = rows_part(base, &used, DELTA_WALK);
    x.cotangent = rows_part(base, &used, DELTA_WALK);
    x.in = rows_part(base, &used, INS * ld * VEC_LANES);
    x.out = rows_part(base, &used, OUTS * VEC_LANES * VEC_LANES);
    if (floats) *floats = used;
    return x;
}

/* The gradients that are sums over columns, by tile: batch x tokens x heads rows each; or, where nobody else adds to them,
 * the gradients themselves. */
typedef struct {
    float *q, *k, *decay, *a, *b, *rate;
    int whole;
} DeltaPartial;

INLINE void delta_put(const DeltaPartial *p, float *to, Vec x, int64_t lanes) {
    vec_store_n(to, p->whole ? vec_add(vec_load_n(to, lanes), x) : x, lanes);
}

/* dv, drate and, with DELTA_KEY, du of 16 columns of a token from its dw, from column j of the tile on; returns drate of each
 * column. u, dw, du: of those columns. */
INLINE Vec delta_back_value(const DeltaTask *t, int64_t row, int64_t j, int64_t lanes, const float *u,
                            const float *dw, float *du, const DeltaGradient *d) {
    const DeltaShape *s = t->shape;
    const int64_t at = row * s->values + t->c + j;
    const Vec dv = vec_mul(delta_rate(t, row, t->c + j, lanes), vec_load(dw));
    Vec written = vec_load_n(t->in->v + at, lanes);
    if (s->removal == DELTA_KEY) {
        written = vec_sub(written, vec_load(u));
        vec_store(du, vec_first(vec_sub(vec_zero(), dv), lanes));
    }
    written = vec_first(vec_mul(written, vec_load(dw)), lanes);
    vec_store_n(d->v + at, vec_add(vec_load_n(d->v + at, lanes), dv), lanes);
    if (s->rates > 1) vec_store_n(d->rate + at, vec_add(vec_load_n(d->rate + at, lanes), written), lanes);
    return written;
}

/* What one token's way back needs of its tile. on_w, on_u: its cotangent times w and u. */
typedef struct {
    const DeltaTask *task;
    const DeltaToken *x;
    const float *before, *u, *w, *d_o;
    float *dS, *du, *dw, *in, *out;
    float on_w, on_u;
} DeltaBack;

/* dS += q do; dw = k dS, du = b dS, and their sums over columns, for N vectors from column j on. do is scaled already. */
INLINE void delta_back_in(const DeltaBack *y, int64_t j, int N, DeltaRemoval removal) {
    const int64_t keys = y->task->shape->keys, block = delta_ld(y->task->shape) * VEC_LANES;
    const float *q = y->x->q, *k = y->x->k, *b = y->x->b;
    float *dS = y->dS + j, *in = y->in;
    Vec o[4], w[4], u[4], dw[4], du[4];
    for (int n = 0; n < N; n++) {
        o[n] = vec_load(y->d_o + j + 16 * n);
        w[n] = vec_load(y->w + j + 16 * n);
        u[n] = removal == DELTA_PAIR ? vec_load(y->u + j + 16 * n) : vec_zero();
        dw[n] = du[n] = vec_zero();
    }
    for (int64_t i = 0; i < keys; i++) {
        float *sum = in + i * VEC_LANES;
        const Vec asks = vec_set1(q[i]), writes = vec_set1(k[i]),
                  also = vec_set1(removal == DELTA_PAIR ? b[i] : 0.0f);
        Vec on_k = j ? vec_load(sum + IN_K * block) : vec_zero();
        Vec on_b = j && removal == DELTA_PAIR ? vec_load(sum + IN_B * block) : vec_zero();
        for (int n = 0; n < N; n++) {
            const int64_t at = i * DELTA_WALK + 16 * n;
            const Vec d = vec_fma(asks, o[n], vec_load(dS + at));
            vec_store(dS + at, d);
            dw[n] = vec_fma(writes, d, dw[n]);
            on_k = vec_fma(d, w[n], on_k);
            if (removal != DELTA_PAIR) continue;
            du[n] = vec_fma(also, d, du[n]);
            on_b = vec_fma(d, u[n], on_b);
        }
        vec_store(sum + IN_K * block, on_k);
        if (removal == DELTA_PAIR) vec_store(sum + IN_B * block, on_b);
    }
    for (int n = 0; n < N; n++) {
        vec_store(y->dw + j + 16 * n, dw[n]);
        if (removal == DELTA_PAIR) vec_store(y->du + j + 16 * n, du[n]);
    }
}

/* dS = decay dS + reading du for rows from `first` to `end`, at most 16, on all N vectors of the tile; the sums over columns
 * of before do, before du, and those of k and the decay in full. With one decay its sum goes to `one`. */
INLINE Vec delta_back_out(const DeltaBack *y, int64_t first, int64_t end, int N, DeltaRemoval removal,
                          int decays, Vec one) {
    const int64_t block = VEC_LANES * VEC_LANES;
    const float *k = y->x->k, *reading = y->x->reading, *factor = y->x->decay, *states = y->before;
    float *const gradients = y->dS, *const ins = y->in, *const outs = y->out;
    const int single = y->task->shape->decays == 1;
    Vec o[4], du[4];
    for (int n = 0; n < N; n++) {
        o[n] = vec_load(y->d_o + 16 * n);
        du[n] = removal == DELTA_NONE ? vec_zero() : vec_load(y->du + 16 * n);
    }
    for (int64_t i = first; i < end; i++) {
        float *in = ins + i * VEC_LANES, *out = outs + (i - first) * VEC_LANES;
        const Vec decay = vec_set1(decays ? factor[i] : 1.0f),
                  reads = vec_set1(removal == DELTA_NONE ? 0.0f : reading[i]);
        Vec on_q = vec_zero(), on_reading = vec_zero(), on_decay = vec_zero();
        for (int n = 0; n < N; n++) {
            float *dS = gradients + i * DELTA_WALK + 16 * n;
            const Vec before = vec_load(states + i * DELTA_WALK + 16 * n);
            Vec d = vec_load(dS);
            on_q = vec_fma(before, o[n], on_q);
            if (decays) on_decay = vec_fma(before, d, on_decay);
            if (decays) d = vec_mul(decay, d);
            if (removal != DELTA_NONE) {
                on_reading = vec_fma(before, du[n], on_reading);
                d = vec_fma(reads, du[n], d);
            }
            vec_store(dS, d);
        }
        vec_store(out + OUT_Q * block, on_q);
        if (removal == DELTA_PAIR) vec_store(out + OUT_READING * block, on_reading);
        if (removal == DELTA_KEY) {
            vec_store(in, vec_fma(decay, on_reading, vec_load(in)));
            on_decay = vec_fma(vec_set1(k[i]), on_reading, on_decay);
        }
        if (decays && single) one = vec_add(one, on_decay);
        if (decays && !single) vec_store(out + OUT_DECAY * block, on_decay);
    }
    return one;
}

INLINE void delta_back_in_by_rule(const DeltaBack *y, int64_t j, int N) {
    const DeltaRemoval removal = y->task->shape->removal;
    if (removal == DELTA_NONE) delta_back_in(y, j, N, DELTA_NONE);
    if (removal == DELTA_KEY) delta_back_in(y, j, N, DELTA_KEY);
    if (removal == DELTA_PAIR) delta_back_in(y, j, N, DELTA_PAIR);
}

/* All vectors of the tile in turn, so that every sum over columns goes from left to right on every instruction set. */
static void delta_back_in_all(const DeltaBack *y) {
    const int64_t end = y->task->columns;
    int64_t j = 0;
    if (DELTA_VECS >= 4)
        for (; j + 48 < end; j += 64) delta_back_in_by_rule(y, j, 4);
    if (DELTA_VECS >= 2)
        for (; j + 16 < end; j += 32) delta_back_in_by_rule(y, j, 2);
    for (; j < end; j += 16) delta_back_in_by_rule(y, j, 1);
}

INLINE Vec delta_back_out_by_rule(const DeltaBack *y, int64_t first, int64_t end, int N, Vec one) {
    const DeltaShape *s = y->task->shape;
#define DELTA_OUT(rule, some)                                                                                \
    if (s->removal == rule && !s->decays == !some) return delta_back_out(y, first, end, N, rule, some, one);
    DELTA_OUT(DELTA_NONE, 0)
    DELTA_OUT(DELTA_NONE, 1)
    DELTA_OUT(DELTA_KEY, 0)
    DELTA_OUT(DELTA_KEY, 1)
    DELTA_OUT(DELTA_PAIR, 0)
    DELTA_OUT(DELTA_PAIR, 1)
#undef DELTA_OUT
    return one;
}

/* The way out, 16 keys at a time: their lanes are added while they are at hand. q's sum is that over the state after the
 * token. */
static void delta_back_out_all(const DeltaBack *y, const DeltaPartial *p) {
    const DeltaShape *s = y->task->shape;
    const int64_t block = VEC_LANES * VEC_LANES, ld = delta_ld(s);
    Vec one = vec_zero();
    FOR_VECTORS (i, s->keys) {
        const int64_t lanes = vec_lanes(i, s->keys), at = y->x->row * s->keys + i;
        const float *in = y->in + i * VEC_LANES;
        if (y->task->columns > 48)
            one = delta_back_out_by_rule(y, i, i + lanes, 4, one);
        else
            one = delta_back_out_by_rule(y, i, i + lanes, (int)(y->task->columns + 15) / 16, one);
        Vec on_q = vec_sums(y->out + OUT_Q * block);
        if (s->decays) on_q = vec_mul(vec_load_n(y->x->decay + i, lanes), on_q);
        on_q = vec_fma(vec_load_n(y->x->k + i, lanes), vec_set1(y->on_w), on_q);
        if (s->removal == DELTA_PAIR) {
            on_q = vec_fma(vec_load_n(y->x->b + i, lanes), vec_set1(y->on_u), on_q);
            delta_put(p, p->a + at, vec_sums(y->out + OUT_READING * block), lanes);
            delta_put(p, p->b + at, vec_sums(in + IN_B * ld * VEC_LANES), lanes);
        }
        delta_put(p, p->q + at, on_q, lanes);
        delta_put(p, p->k + at, vec_sums(in), lanes);
        if (s->decays > 1) delta_put(p, p->decay + at, vec_sums(y->out + OUT_DECAY * block), lanes);
    }
    if (s->decays == 1) delta_put(p, p->decay + y->x->row, vec_set1(vec_sum(one)), 1);
}

/* The gradients of the token's columns, and its cotangent times w and u. */
static void delta_back_values(DeltaBack *y, const DeltaGradient *d, const DeltaPartial *p) {
    const DeltaTask *t = y->task;
    const DeltaShape *s = t->shape;
    const int64_t row = y->x->row;
    Vec on_rate = vec_zero(), on_w = vec_zero(), on_u = vec_zero();
    for (int64_t j = 0; j < t->columns; j += VEC_LANES) {
        const Vec o = vec_load(y->d_o + j);
        on_rate = vec_add(on_rate, delta_back_value(t, row, j, vec_lanes(j, t->columns), y->u + j, y->dw + j,
                                                    y->du + j, d));
        on_w = vec_fma(o, vec_load(y->w + j), on_w);
        if (s->removal == DELTA_PAIR) on_u = vec_fma(o, vec_load(y->u + j), on_u);
    }
    if (s->rates == 1) delta_put(p, p->rate + row, vec_set1(vec_sum(on_rate)), 1);
    y->on_w = vec_sum(on_w);
    y->on_u = vec_sum(on_u);
}

/* What the token of this row is going to need and to add to. */
static void delta_back_soon(const DeltaTask *t, int64_t row, const float *d_o, const DeltaGradient *d,
                            const DeltaPartial *p) {
    const DeltaShape *s = t->shape;
    if (row < 0) return;
    delta_soon(d_o + row * s->values + t->c, t->columns);
    delta_soon(d->v + row * s->values + t->c, t->columns);
    delta_soon(p->q + row * s->keys, s->keys);
    delta_soon(p->k + row * s->keys, s->keys);
    if (s->decays > 1) delta_soon(p->decay + row * s->keys, s->keys);
    if (s->removal != DELTA_PAIR) return;
    delta_soon(p->a + row * s->keys, s->keys);
    delta_soon(p->b + row * s->keys, s->keys);
}
