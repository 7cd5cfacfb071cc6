/* Readers and writers of a chunk in pairs: with a decay for every key, token by token; with one for all keys, or none, by
 * matrix products. */
#pragma once
#include "kernel/delta/chunk.h"

/* ---- what a reader has of a writer ---- */

/* Rows of readers and of writers, ld apart, with the decays between them or NULL. */
typedef struct {
    const float *read, *write, *decay;
    int64_t ld, width;
    float *sums;
} DeltaPairing;

/* Readers of all tokens from l on times one writer of token l, on N vectors from column j on. */
INLINE void delta_pairs_of(const DeltaPairing *y, const float *writer, int64_t l, int64_t j, int N, int reads,
                           int decays) {
    Vec x[4];
    for (int n = 0; n < N; n++) x[n] = vec_load(writer + j + 16 * n);
    for (int64_t t = l; t < DELTA_CHUNK; t++) {
        const float *read = y->read + t * y->ld + j, *second = read + DELTA_CHUNK * y->ld;
        float *on_q = y->sums + t * VEC_LANES, *on_reading = on_q + DELTA_CHUNK * VEC_LANES;
        Vec q = j ? vec_load(on_q) : vec_zero(), reading = j ? vec_load(on_reading) : vec_zero();
        for (int n = 0; n < N; n++) {
            if (t > l && reads) reading = vec_fma(vec_load(second + 16 * n), x[n], reading);
            if (t > l && decays) x[n] = vec_mul(vec_load(y->decay + t * y->ld + j + 16 * n), x[n]);
            q = vec_fma(vec_load(read + 16 * n), x[n], q);
        }
        vec_store(on_q, q);
        if (reads) vec_store(on_reading, reading);
    }
}

/* to: a row of DELTA_PAIRS for every writer. Where it is later than the reader, nobody uses what stands there. */
INLINE void delta_pairs_all(const DeltaPairing *y, int64_t writers, float *to, int reads, int decays) {
    for (int64_t i = 0; i < writers; i++, to += DELTA_PAIRS) {
        const int64_t l = i % DELTA_CHUNK;
        const float *writer = y->write + i * y->ld;
        int64_t j = 0;
        for (; j + 48 < y->width; j += 64) delta_pairs_of(y, writer, l, j, 4, reads, decays);
        for (; j + 16 < y->width; j += 32) delta_pairs_of(y, writer, l, j, 2, reads, decays);
        for (; j < y->width; j += 16) delta_pairs_of(y, writer, l, j, 1, reads, decays);
        vec_store(to, vec_sums(y->sums));
        if (reads) vec_store(to + DELTA_CHUNK, vec_sums(y->sums + DELTA_CHUNK * VEC_LANES));
    }
}

/* Cotangents of readers times values of writers. */
INLINE void delta_weights(const DeltaChunk *c, DeltaRule rule) {
    const DeltaPairing y = {c->cotangents, c->values, 0, DELTA_TILE, c->task->columns, c->sums};
    delta_pairs_all(&y, c->writers, c->weights, rule.removal != DELTA_NONE, 0);
}

/* ---- a decay for every key ---- */

/* 16 keys of what writers before it gave to one reader of token t, which are the first n. */
INLINE Vec delta_given(const DeltaChunk *c, Vec sum, const float *weights, int64_t n, int64_t j, int pair) {
    const int64_t second = DELTA_CHUNK * c->ld;
    for (int64_t l = 0; l < n; l++) {
        const float *write = c->write + l * c->ld + j, *weight = weights + l * DELTA_PAIRS;
        const Vec own = vec_mul(vec_load(write), vec_set1(weight[0]));
        sum = vec_fma(vec_load(c->decay + l * c->ld + j), sum, own);
        if (pair) sum = vec_fma(vec_load(write + second), vec_set1(weight[DELTA_CHUNK * DELTA_PAIRS]), sum);
    }
    return sum;
}

/* on_read, which holds what readers have of S, decayed, with what they have of writers. */
INLINE void delta_on_readers(const DeltaChunk *c, int64_t j, int reads, int pair) {
    const int64_t C = DELTA_CHUNK, ld = c->ld;
    for (int64_t t = 0; t < C; t++) {
        float *q = c->on_read + t * ld + j, *reading = q + C * ld;
        vec_store(q, delta_given(c, vec_load(q), c->weights + t, t + 1, j, pair));
        if (reads) vec_store(reading, delta_given(c, vec_load(reading), c->weights + C + t, t, j, pair));
    }
}

/* on_write likewise: writer l's share of the gradient behind the chunk, then of what its readers ask. */
INLINE void delta_on_writer(const DeltaChunk *c, int64_t l, int64_t j, int reads) {
    const int64_t C = DELTA_CHUNK, ld = c->ld, second = C * ld, own = l % C;
    const float *weight = c->weights + l * DELTA_PAIRS;
    Vec sum = vec_load(c->on_write + l * ld + j);
    for (int64_t t = C - 1; t > own; t--) {
        const float *read = c->read + t * ld + j;
        sum = vec_fma(vec_load(read), vec_set1(weight[t]), sum);
        sum = vec_mul(vec_load(c->decay + t * ld + j), sum);
        if (reads) sum = vec_fma(vec_load(read + second), vec_set1(weight[C + t]), sum);
    }
    sum = vec_fma(vec_load(c->read + own * ld + j), vec_set1(weight[own]), sum);
    vec_store(c->on_write + l * ld + j, sum);
}

/* What writer l gave to the state after token t, times the gradient that t's readers and the next token's have for it,
 * without the decays on both sides. */
INLINE Vec delta_between(const DeltaChunk *c, int64_t t, int64_t l, int64_t j, int reads, int pair) {
    const int64_t C = DELTA_CHUNK, ld = c->ld;
    const float *weight = c->weights + l * DELTA_PAIRS + t, *other = weight + C * DELTA_PAIRS,
                *read = c->read + t * ld + j;
    const Vec k = vec_load(c->write + l * ld + j),
              b = pair ? vec_load(c->write + (C + l) * ld + j) : vec_zero();
    Vec written = vec_mul(k, vec_set1(weight[0]));
    if (pair) written = vec_fma(b, vec_set1(other[0]), written);
    Vec sum = vec_mul(vec_load(read), written);
    if (!reads || t + 1 == C) return sum;
    written = vec_mul(k, vec_set1(weight[C + 1]));
    if (pair) written = vec_fma(b, vec_set1(other[C + 1]), written);
    return vec_fma(vec_load(read + (C + 1) * ld), written, sum);
}

/* The gradients of the decays of 16 keys. past[t]: what the state before token i gave to the readers at t, decayed up to
 * i; the sum over t of that, decayed from i on, is the gradient of i's decay. */
INLINE void delta_on_decay_by_key(const DeltaChunk *c, int64_t j, int reads, int pair) {
    const int64_t C = DELTA_CHUNK, ld = c->ld;
    Vec past[DELTA_CHUNK];
    for (int64_t t = 0; t < C; t++) {
        const int64_t at = t * ld + j, next = (C + t + 1) * ld + j;
        past[t] = vec_mul(vec_load(c->read + at), vec_load(c->on_read + at));
        if (reads && t + 1 < C)
            past[t] = vec_fma(vec_load(c->read + next), vec_load(c->on_read + next), past[t]);
    }
    past[C - 1] = vec_add(past[C - 1], vec_load(c->ends + j));
    for (int64_t i = 0; i < C; i++) {
        const int64_t at = i * ld + j, other = (C + i) * ld + j;
        Vec sum = past[C - 1];
        for (int64_t t = C - 2; t >= i; t--)
            sum = vec_fma(vec_load(c->decay + (t + 1) * ld + j), sum, past[t]);
        vec_store(c->on_decay + at, sum);
        for (int64_t t = i + 1; t < C; t++)
            past[t] = vec_fma(vec_load(c->decay + at), past[t], delta_between(c, t, i, j, reads, pair));
        past[C - 1] = vec_fma(vec_load(c->write + at), vec_load(c->on_write + at), past[C - 1]);
        if (pair)
            past[C - 1] = vec_fma(vec_load(c->write + other), vec_load(c->on_write + other), past[C - 1]);
    }
}

/* As delta_on_rows; on the way from S to a reader its gradient passes every decay between. */
INLINE void delta_on_rows_by_key(const DeltaChunk *c, int reads, int pair) {
    FOR_VECTORS (j, c->ld) {
        delta_on_decay_by_key(c, j, reads, pair);
        delta_on_readers(c, j, reads, pair);
        for (int64_t l = 0; l < c->writers; l++) delta_on_writer(c, l, j, reads);
    }
}

/* ---- one decay for all keys, or none ---- */

/* A one at place i of a vector. */
INLINE Vec delta_place(int64_t i) {
    static const float one[2 * VEC_LANES] = {[VEC_LANES] = 1.0f};
    return vec_load(one + VEC_LANES - i);
}

/* D between every writer's token and every reader's, the last writer first: a reading reads one token earlier. */
static void delta_apart(const DeltaChunk *c) {
    Vec apart = vec_zero();
    for (int64_t l = DELTA_CHUNK - 1; l >= 0; l--) {
        float *row = c->apart + l * DELTA_PAIRS;
        apart = vec_fma(vec_set1(l + 1 < DELTA_CHUNK ? c->factor[l + 1] : 0.0f), apart, delta_place(l));
        vec_store(row, apart);
        vec_store(row + DELTA_CHUNK + 1, apart);
    }
}

/* to = D x, of every writer and reader. */
static void delta_decayed(const DeltaChunk *c, const float *x, float *to) {
    for (int64_t l = 0; l < c->writers; l++)
        FOR_VECTORS (t, c->readers) {
            const int64_t at = l * DELTA_PAIRS + t;
            vec_store(to + at,
                      vec_mul(vec_load(c->apart + l % DELTA_CHUNK * DELTA_PAIRS + t), vec_load(x + at)));
        }
}

/* What writer l, a row of pairs, gave to the readers at every time, lanes, and to dS at the last. */
INLINE Vec delta_past(const DeltaChunk *c, Vec past, int64_t l) {
    const int64_t next = DELTA_CHUNK + 1;
    const float *products = c->products + l * DELTA_PAIRS, *weights = c->weights + l * DELTA_PAIRS;
    const float last = row_dot(c->ld, c->write + l * c->ld, c->on_write + l * c->ld);
    past = vec_fma(vec_load(products), vec_load(weights), past);
    past = vec_fma(vec_load(products + next), vec_load(weights + next), past);
    return vec_fma(vec_set1(last), delta_place(DELTA_CHUNK - 1), past);
}

/* The gradient of every token's decay, in the first of its row: delta_on_decay_by_key with lanes for t, and sums over
 * keys. */
static void delta_on_decay_by_head(const DeltaChunk *c) {
    const int64_t C = DELTA_CHUNK, ld = c->ld;
    float own[DELTA_PAIRS] = {0}, sums[VEC_LANES];
    for (int64_t t = 0; t < c->readers; t++) own[t] = row_dot(ld, c->read + t * ld, c->on_read + t * ld);
    FOR_VECTORS (j, ld) own[C - 1] += vec_sum(vec_load(c->ends + j));
    Vec past = vec_add(vec_load(own), vec_load(own + C + 1));
    for (int64_t i = 0; i < C; i++) {
        vec_store(c->sums + i * VEC_LANES, vec_mul(vec_load(c->apart + i * DELTA_PAIRS), past));
        past = vec_mul(vec_set1(c->factor[i]), past);
        for (int64_t l = i; l < c->writers; l += C) past = delta_past(c, past, l);
    }
    vec_store(sums, vec_sums(c->sums));
    for (int64_t i = 0; i < C; i++) c->on_decay[i * ld] = sums[i];
}

static void delta_on_rows_by_head(const DeltaChunk *c) {
    const int64_t C = DELTA_CHUNK, ld = c->ld;
    float before[2 * DELTA_CHUNK],
        behind[2 * DELTA_CHUNK]; /* decays that each reader, each writer has on that side */
    before[C] = behind[C - 1] = 1.0f;
    for (int64_t i = 0; i < C; i++) {
        before[i] = before[C + i] * c->factor[i];
        if (i + 1 < C) before[C + i + 1] = before[i];
    }
    for (int64_t i = C - 1; i > 0; i--) behind[i - 1] = behind[i] * c->factor[i];
    for (int64_t i = 0; i < C; i++) behind[C + i] = behind[i];
    if (c->task->shape->decays) delta_on_decay_by_head(c);
    rows_scale(c->readers, ld, ld, before, c->on_read, c->on_read);
    rows_scale(c->writers, ld, ld, behind, c->on_write, c->on_write);
    delta_decayed(c, c->weights, c->weights);
    gemm_serial(GEMM_TN, c->readers, ld, c->writers, c->weights, DELTA_PAIRS, c->write, ld, c->on_read, ld,
                1);
    gemm_serial(GEMM_NN, c->writers, ld, c->readers, c->weights, DELTA_PAIRS, c->read, ld, c->on_write, ld,
                1);
}

/* ---- either ---- */

/* Reader times writer with the decays between. */
INLINE void delta_pairs(const DeltaChunk *c, DeltaRule rule) {
    const DeltaPairing y = {c->read, c->write, c->decay, c->ld, c->ld, c->sums};
    delta_pairs_all(&y, c->writers, rule.by_key ? c->pairs : c->products, rule.removal != DELTA_NONE,
                    rule.by_key);
    if (rule.by_key) return;
    delta_apart(c);
    delta_decayed(c, c->products, c->pairs);
}

/* on_read and on_write, which hold the gradients of readers for S and of writers for dS without decays, become those of
 * the rows; on_decay those of the decays. */
INLINE void delta_on_rows(const DeltaChunk *c, DeltaRule rule) {
    if (rule.by_key)
        delta_on_rows_by_key(c, rule.removal != DELTA_NONE, rule.removal == DELTA_PAIR);
    else
        delta_on_rows_by_head(c);
}
