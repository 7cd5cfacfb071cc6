/* The way back of a chunk: from the gradient of the state behind it and of what its tokens read to that of the state
 * before it and of all that its tokens brought. */
#pragma once
#include "kernel/delta/adjoint.h"
#include "kernel/delta/pairs.h"

static void delta_chunk_back_values(const DeltaChunk *c, int64_t i, const DeltaGradient *d,
                                    const DeltaPartial *p) {
    const int64_t row = delta_row(c->task, c->from + i), at = i * c->task->width,
                  second = (DELTA_CHUNK + i) * c->task->width;
    Vec rate = vec_zero();
#define VALUES(j, lanes)                                                                                     \
    rate = vec_add(rate, delta_back_value(c->task, row, j, lanes, c->values + second + (j),                  \
                                          c->on_values + at + (j), c->cotangents + second + (j), d))
    DELTA_VECTORS(c->task->columns, VALUES);
#undef VALUES
    if (c->task->shape->rates == 1) delta_put(p, p->rate + row, vec_set1(vec_sum(rate)), 1);
}

/* The gradient of what one writer writes at token i: what the readings of later tokens ask. */
static void delta_on_value(const DeltaChunk *c, int64_t writer, int64_t i, float *to) {
    const int64_t later = DELTA_CHUNK + i + 1;
    if (c->readers > DELTA_CHUNK)
        delta_sum(c->task->width, c->count - i - 1, c->pairs + later * DELTA_PAIRS + writer, DELTA_PAIRS,
                  c->cotangents + later * c->task->width, to);
}

/* dw and du of every token: its share of dS, what q of this token and of later ones ask; then, the last one first, what
 * readings ask: du is asked of all before it. */
static void delta_chunk_back_solve(const DeltaChunk *c, const float *d_o, const DeltaGradient *d,
                                   const DeltaPartial *p) {
    const int64_t C = DELTA_CHUNK;
    gemm_serial(GEMM_NN, c->writers, c->task->columns, c->ld, c->left, c->ld, c->dS, c->task->width,
                c->on_values, c->task->width, 0);
    gemm_serial(GEMM_TN, c->writers, c->task->columns, C, c->pairs, DELTA_PAIRS, c->cotangents,
                c->task->width, c->on_values, c->task->width, 1);
    for (int64_t i = c->count - 1; i >= 0; i--) {
        delta_back_soon(c->task, c->from >= DELTA_CHUNK ? delta_row(c->task, c->from - DELTA_CHUNK + i) : -1,
                        d_o, d, p);
        delta_on_value(c, i, i, c->on_values + i * c->task->width);
        if (c->writers > C) {
            float *du = c->on_values + (C + i) * c->task->width;
            delta_on_value(c, C + i, i, du);
            rows_save(1, c->task->columns, du, c->task->width, c->cotangents + (C + i) * c->task->width,
                      c->task->width);
        }
        delta_chunk_back_values(c, i, d, p);
    }
}

/* Sums over columns of S dS, by key. */
static void delta_chunk_back_ends(const DeltaChunk *c) {
    const int64_t keys = c->task->shape->keys, values = c->task->shape->values;
    for (int64_t i = 0; i < keys; i++) {
        const float *S = c->S + i * values, *dS = c->dS + i * c->task->width;
        Vec sum = vec_zero();
#define ENDS(j, lanes) sum = vec_fma(vec_load_n(S + (j), lanes), vec_load(dS + (j)), sum)
        DELTA_VECTORS(c->task->columns, ENDS);
#undef ENDS
        vec_store(c->sums + i % VEC_LANES * VEC_LANES, sum);
        if (i % VEC_LANES == VEC_LANES - 1 || i + 1 == keys)
            vec_store_n(c->ends + i / VEC_LANES * VEC_LANES, vec_sums(c->sums), i % VEC_LANES + 1);
    }
}

/* The gradients of the rows' 16 keys from j on to where they belong. With DELTA_KEY `reading` is decay times k; its share
 * of a decay for all keys is added to sums. */
INLINE void delta_chunk_back_put(const DeltaChunk *c, int64_t j, int64_t lanes, DeltaRule rule,
                                 const DeltaPartial *p) {
    const DeltaShape *s = c->task->shape;
    const int64_t second = DELTA_CHUNK * c->ld, step = s->heads * s->keys;
    int64_t to = delta_row(c->task, c->from) * s->keys + j;
    for (int64_t i = 0; i < c->count; i++, to += step) {
        const int64_t at = i * c->ld + j;
        float *one = c->sums + i * VEC_LANES;
        Vec on_k = vec_load(c->on_write + at),
            on_decay = rule.by_key ? vec_load(c->on_decay + at) : vec_zero();
        if (rule.removal == DELTA_KEY) {
            const Vec reading = vec_load(c->on_read + second + at), k = vec_load(c->write + at);
            on_k = vec_fma(delta_decay(c, rule, i, j), reading, on_k);
            if (rule.by_key) on_decay = vec_fma(k, reading, on_decay);
            if (!rule.by_key) vec_store(one, vec_fma(k, reading, vec_load(one)));
        }
        delta_put(p, p->q + to, vec_load(c->on_read + at), lanes);
        delta_put(p, p->k + to, on_k, lanes);
        if (rule.by_key) delta_put(p, p->decay + to, on_decay, lanes);
        if (rule.removal != DELTA_PAIR) continue;
        delta_put(p, p->a + to, vec_load(c->on_read + second + at), lanes);
        delta_put(p, p->b + to, vec_load(c->on_write + second + at), lanes);
    }
}
INLINE void delta_chunk_back_put_all(const DeltaChunk *c, DeltaRule rule, const DeltaPartial *p) {
    const DeltaShape *s = c->task->shape;
    FOR_VECTORS (at, DELTA_CHUNK * VEC_LANES) vec_store(c->sums + at, vec_zero());
#define PUT(j, lanes) delta_chunk_back_put(c, j, lanes, rule, p)
    DELTA_VECTORS(s->keys, PUT);
#undef PUT
    if (s->decays != 1) return;
    const Vec sums = vec_sums(c->sums);
    vec_store(c->on_decay, vec_add(vec_load(c->on_decay), sums));
    for (int64_t i = 0; i < c->count; i++)
        delta_put(p, p->decay + delta_row(c->task, c->from + i), vec_set1(c->on_decay[i]), 1);
}

/* dS becomes the gradient of the state before the chunk. */
static void delta_chunk_back_state(const DeltaChunk *c) {
    rows_scale(c->ld, c->task->columns, c->task->width, c->whole, c->dS, c->dS);
    gemm_serial(GEMM_TN, c->ld, c->task->columns, c->readers, c->reached, c->ld, c->cotangents,
                c->task->width, c->dS, c->task->width, 1);
}

INLINE void delta_chunk_back_tokens(DeltaChunk *c, DeltaRule rule, const float *d_o, const DeltaGradient *d,
                                    const DeltaPartial *p) {
    const DeltaTask *t = c->task;
    const DeltaShape *s = t->shape;
    delta_chunk_rows(c, rule);
    delta_pairs(c, rule);
    delta_chunk_values(c);
    delta_chunk_back_solve(c, d_o, d, p);
    gemm_serial(GEMM_NT, c->readers, c->writers, t->columns, c->cotangents, c->task->width, c->values,
                c->task->width, c->weights, DELTA_PAIRS, 0);
    gemm_serial(GEMM_NT, c->readers, s->keys, t->columns, c->cotangents, c->task->width, c->S, s->values,
                c->on_read, c->ld, 0);
    gemm_serial(GEMM_NT, c->writers, s->keys, t->columns, c->values, c->task->width, c->dS, c->task->width,
                c->on_write, c->ld, 0);
    if (s->decays) delta_chunk_back_ends(c);
    delta_on_rows(c, rule);
    delta_chunk_back_put_all(c, rule, p);
    delta_chunk_back_state(c);
}

static void delta_chunk_back(DeltaChunk *c, int64_t chunk, const float *snapshot, const float *d_o,
                             const DeltaGradient *d, const DeltaPartial *p) {
    const DeltaTask *t = c->task;
    const DeltaShape *s = t->shape;
    const int64_t left = s->tokens - chunk * DELTA_CHUNK;
    c->from = chunk * DELTA_CHUNK, c->count = left < DELTA_CHUNK ? left : DELTA_CHUNK;
    c->S = snapshot + t->c;
    for (int64_t i = 0; i < c->count; i++)
        delta_cotangent(t, delta_row(t, c->from + i), d_o, c->cotangents + i * c->task->width);
#define DELTA_RULE(rule, by_key)                                                                             \
    if (s->removal == rule && (s->decays > 1) == by_key)                                                     \
        delta_chunk_back_tokens(c, (DeltaRule){rule, by_key}, d_o, d, p);
    DELTA_RULE(DELTA_NONE, 0)
    DELTA_RULE(DELTA_NONE, 1)
    DELTA_RULE(DELTA_KEY, 0)
    DELTA_RULE(DELTA_KEY, 1)
    DELTA_RULE(DELTA_PAIR, 0)
    DELTA_RULE(DELTA_PAIR, 1)
#undef DELTA_RULE
}
