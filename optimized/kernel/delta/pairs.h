/* Readers and writers of a chunk in pairs: with a decay for every key, token by token; with one for all keys, or none, by
 * matrix products. */
#pragma once
#include "kernel/delta/chunk.h"

/* ---- a decay for every key ---- */

/* Readers of all tokens from l on times one writer of token l, on N vectors of keys from j on. */
INLINE void delta_pairs_of(const DeltaChunk *c, const float *writer, int64_t l, int64_t j, int N, int reads) {
    Vec x[4];
    for (int n = 0; n < N; n++) x[n] = vec_load(writer + j + 16 * n);
    for (int64_t t = l; t < DELTA_CHUNK; t++) {
        const float *read = c->read + t * c->ld + j, *second = read + DELTA_CHUNK * c->ld;
        float *on_q = c->sums + t * VEC_LANES, *on_reading = on_q + DELTA_CHUNK * VEC_LANES;
        Vec q = j ? vec_load(on_q) : vec_zero(), reading = j ? vec_load(on_reading) : vec_zero();
        for (int n = 0; n < N; n++) {
            if (t > l && reads) reading = vec_fma(vec_load(second + 16 * n), x[n], reading);
            if (t > l) x[n] = vec_mul(vec_load(c->decay + t * c->ld + j + 16 * n), x[n]);
            q = vec_fma(vec_load(read + 16 * n), x[n], q);
        }
        vec_store(on_q, q);
        if (reads) vec_store(on_reading, reading);
    }
}

/* Reader times writer with the decays between. Where the writer is later than the reader stands a zero. */
INLINE void delta_pairs_by_key(const DeltaChunk *c, int reads) {
    const int64_t C = DELTA_CHUNK;
    for (int64_t i = 0; i < c->writers; i++) {
        const int64_t l = i % C;
        float *row = c->products + i * DELTA_PAIRS;
        int64_t j = 0;
        for (; j + 48 < c->ld; j += 64) delta_pairs_of(c, c->write + i * c->ld, l, j, 4, reads);
        for (; j + 16 < c->ld; j += 32) delta_pairs_of(c, c->write + i * c->ld, l, j, 2, reads);
        for (; j < c->ld; j += 16) delta_pairs_of(c, c->write + i * c->ld, l, j, 1, reads);
        vec_store(row, vec_sums(c->sums));
        if (reads) vec_store(row + C, vec_sums(c->sums + C * VEC_LANES));
        vec_store(c->sums + l * VEC_LANES, vec_zero());
    }
    for (int64_t r = 0; r < c->readers; r += C)
        for (int64_t w = 0; w < c->writers; w += C)
            vec_transpose(c->products + w * DELTA_PAIRS + r, DELTA_PAIRS, c->pairs + r * DELTA_PAIRS + w,
                          DELTA_PAIRS);
}

/* 16 keys of what writers before it gave to one reader of token t, which are the first n. */
INLINE Vec delta_given(const DeltaChunk *c, Vec sum, const float *weights, int64_t n, int64_t j, int pair) {
    const int64_t second = DELTA_CHUNK * c->ld;
    for (int64_t l = 0; l < n; l++) {
        const float *write = c->write + l * c->ld + j, *weight = weights + l;
        const Vec own = vec_mul(vec_load(write), vec_set1(weight[0]));
        sum = vec_fma(vec_load(c->decay + l * c->ld + j), sum, own);
        if (pair) sum = vec_fma(vec_load(write + second), vec_set1(weight[DELTA_CHUNK]), sum);
    }
    return sum;
}

/* on_read, which holds what readers have of S, decayed, with what they have of writers. */
INLINE void delta_on_readers(const DeltaChunk *c, int64_t j, int reads, int pair) {
    const int64_t C = DELTA_CHUNK, ld = c->ld;
    for (int64_t t = 0; t < C; t++) {
        float *q = c->on_read + t * ld + j, *reading = q + C * ld;
        vec_store(q, delta_given(c, vec_load(q), c->weights + t * DELTA_PAIRS, t + 1, j, pair));
        if (reads)
            vec_store(reading,
                      delta_given(c, vec_load(reading), c->weights + (C + t) * DELTA_PAIRS, t, j, pair));
    }
}

/* on_write likewise: writer l's share of the gradient behind the chunk, then of what its readers ask. */
INLINE void delta_on_writer(const DeltaChunk *c, int64_t l, int64_t j, int reads) {
    const int64_t C = DELTA_CHUNK, ld = c->ld, second = C * ld, own = l % C;
    const float *weights = c->weights + l;
    Vec sum = vec_load(c->on_write + l * ld + j);
    for (int64_t t = C - 1; t > own; t--) {
        const float *read = c->read + t * ld + j;
        sum = vec_fma(vec_load(read), vec_set1(weights[t * DELTA_PAIRS]), sum);
        sum = vec_mul(vec_load(c->decay + t * ld + j), sum);
        if (reads) sum = vec_fma(vec_load(read + second), vec_set1(weights[(C + t) * DELTA_PAIRS]), sum);
    }
    sum = vec_fma(vec_load(c->read + own * ld + j), vec_set1(weights[own * DELTA_PAIRS]), sum);
    vec_store(c->on_write + l * ld + j, sum);
}

/* What writer l gave to the state after token t, times the gradient that t's readers and the next token's have for it,
 * without the decays on both sides. */
INLINE Vec delta_between(const DeltaChunk *c, int64_t t, int64_t l, int64_t j, int reads, int pair) {
    const int64_t C = DELTA_CHUNK, ld = c->ld;
    const float *weight = c->weights + t * DELTA_PAIRS + l, *later = weight + (C + 1) * DELTA_PAIRS,
                *read = c->read + t * ld + j;
    const Vec k = vec_load(c->write + l * ld + j),
              b = pair ? vec_load(c->write + (C + l) * ld + j) : vec_zero();
    Vec written = vec_mul(k, vec_set1(weight[0]));
    if (pair) written = vec_fma(b, vec_set1(weight[C]), written);
    Vec sum = vec_mul(vec_load(read), written);
    if (!reads || t + 1 == C) return sum;
    written = vec_mul(k, vec_set1(later[0]));
    if (pair) written = vec_fma(b, vec_set1(later[C]), written);
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

/* D between the writers of every token, lanes, and what is read between token t and the next, row t + 1. */
static void delta_apart(const DeltaChunk *c) {
    Vec apart = vec_zero();
    vec_store(c->apart, apart);
    for (int64_t t = 0; t < DELTA_CHUNK; t++) {
        apart = vec_fma(vec_set1(c->factor[t]), apart, delta_place(t));
        vec_store(c->apart + (t + 1) * DELTA_CHUNK, apart);
    }
}

/* to = D x, of every reader and writer: q reads behind its token, `reading` before it. */
static void delta_decayed(const DeltaChunk *c, const float *x, float *to) {
    for (int64_t r = 0; r < c->readers; r++) {
        const int64_t C = DELTA_CHUNK, row = r < C ? r + 1 : r - C;
        const Vec apart = vec_load(c->apart + row * C);
        for (int64_t at = r * DELTA_PAIRS; at < r * DELTA_PAIRS + c->writers; at += C)
            vec_store(to + at, vec_mul(apart, vec_load(x + at)));
    }
}

/* Products times weights of one reader, a lane for each writer's token. */
INLINE Vec delta_given_back(const DeltaChunk *c, int64_t reader, Vec sum) {
    for (int64_t at = reader * DELTA_PAIRS; at < reader * DELTA_PAIRS + c->writers; at += DELTA_CHUNK)
        sum = vec_fma(vec_load(c->products + at), vec_load(c->weights + at), sum);
    return sum;
}

/* The gradient of every token's decay: of all that was written before it, `wrote`, or was in S, `had`, and is read behind it.
 * Before the loop that is what reaches the state behind the chunk. */
static void delta_on_decay_by_head(const DeltaChunk *c) {
    const int64_t C = DELTA_CHUNK, second = C * c->ld;
    float q[DELTA_CHUNK], reading[DELTA_CHUNK + 1] = {0}, before[DELTA_CHUNK], had = 0.0f;
    vec_store(q, delta_row_dots(c->ld, c->read, c->on_read));
    if (c->readers > C) vec_store(reading, delta_row_dots(c->ld, c->read + second, c->on_read + second));
    Vec wrote = delta_row_dots(c->ld, c->write, c->on_write);
    if (c->writers > C)
        wrote = vec_add(wrote, delta_row_dots(c->ld, c->write + second, c->on_write + second));
    FOR_VECTORS (j, c->ld) had += vec_sum(vec_load(c->ends + j));
    before[0] = 1.0f;
    for (int64_t i = 0; i + 1 < C; i++) before[i + 1] = before[i] * c->factor[i];
    for (int64_t i = C - 1; i >= 0; i--) {
        wrote = delta_given_back(c, i, wrote);
        if (c->readers > C && i + 1 < C) wrote = delta_given_back(c, C + i + 1, wrote);
        had += q[i] + reading[i + 1];
        vec_store(c->sums + i * VEC_LANES, vec_fma(vec_set1(had * before[i]), delta_place(0),
                                                   vec_mul(wrote, vec_load(c->apart + i * C))));
        wrote = vec_mul(vec_set1(c->factor[i]), wrote);
        had *= c->factor[i];
    }
    vec_store(c->on_decay, vec_sums(c->sums));
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
    gemm_serial(GEMM_NN, c->readers, ld, c->writers, c->weights, DELTA_PAIRS, c->write, ld, c->on_read, ld,
                1);
    gemm_serial(GEMM_TN, c->writers, ld, c->readers, c->weights, DELTA_PAIRS, c->read, ld, c->on_write, ld,
                1);
}

/* ---- either ---- */

/* Reader times writer with the decays between. */
INLINE void delta_pairs(const DeltaChunk *c, DeltaRule rule) {
    if (rule.by_key) {
        delta_pairs_by_key(c, rule.removal != DELTA_NONE);
        return;
    }
    gemm_serial(GEMM_NT, c->readers, c->writers, c->ld, c->read, c->ld, c->write, c->ld, c->products,
                DELTA_PAIRS, 0);
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
