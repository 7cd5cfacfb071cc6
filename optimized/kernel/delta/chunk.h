/* A chunk of tokens of one head at once, for the way back.
 *
 * Readers are q, which reads the state after its token, and `reading`, which reads u from that before it. Writers are k,
 * with w, and in DELTA_PAIR b, with u. With D(t, l) the product of the decays of tokens l + 1 to t, the state after token t
 * is
 *
 *   S_t = D(t, -1) S + sum over l <= t of D(t, l) (k_l w_l' + b_l u_l')
 *
 * so what a token reads is a product with S, the state before the chunk, and one with what was written in between. After
 * Yang et al. 2024 (arXiv 2406.06484), in whose chunks decays are quotients; here they are products of factors, and a
 * decay of zero is one like others. Rows behind the last token are zero, their decays one. */
#pragma once
#include "kernel/delta/step.h"
#include "kernel/delta/sums.h"
#include "kernel/serial.h"

/* Row stride of a pair matrix: a row for each reader, q of every token, then reading of every token; k of every token, then b
 * of every token. */
enum { DELTA_PAIRS = 2 * DELTA_CHUNK };

typedef struct {
    const DeltaTask *task;
    int64_t from, count, ld;  /* count: tokens, at most DELTA_CHUNK */
    int64_t readers, writers; /* DELTA_CHUNK, or twice that */
    const float *S;           /* keys x columns, rows `values` apart */
    /* readers, writers x ld: rows as they are; times the decays between the chunk's ends and them; their gradients */
    float *read, *write, *reached, *left, *on_read, *on_write;
    float factor[DELTA_CHUNK]; /* decays, where there is one for all keys or none */
    float *decay, *on_decay;   /* DELTA_CHUNK x ld, of every key */
    float *whole, *ends;       /* ld: the chunk's decay; sums over columns of S dS */
    /* 2 DELTA_CHUNK x the task's width: w and u; their gradients; those of what is read. keys x width: the gradient of the state
     * behind the chunk */
    float *values, *on_values, *cotangents, *dS;
    /* readers x DELTA_PAIRS: reader times writer and decays between; the same without decays; cotangent times value.
     * apart: DELTA_CHUNK + 1 x DELTA_CHUNK, D with one decay for all rows, behind a row of zeros */
    float *pairs, *products, *weights, *apart, *sums;
} DeltaChunk;

static DeltaChunk delta_chunk(const DeltaShape *s, float *base, int64_t *floats) {
    const int64_t ld = padded(s->keys), C = DELTA_CHUNK, rows = 2 * C * ld, tile = 2 * C * DELTA_TILE,
                  pairs = 2 * C * DELTA_PAIRS;
    int64_t used = 0;
    DeltaChunk c = {.ld = ld,
                    .readers = s->removal == DELTA_NONE ? C : 2 * C,
                    .writers = s->removal == DELTA_PAIR ? 2 * C : C};
    const struct {
        float **part;
        int64_t floats;
    } all[] = {{&c.read, rows},       {&c.write, rows},    {&c.reached, rows},      {&c.left, rows},
               {&c.on_read, rows},    {&c.on_write, rows}, {&c.decay, C * ld},      {&c.on_decay, C * ld},
               {&c.whole, ld},        {&c.ends, ld},       {&c.values, tile},       {&c.on_values, tile},
               {&c.cotangents, tile}, {&c.pairs, pairs},   {&c.products, pairs},    {&c.weights, pairs},
               {&c.apart, pairs},     {&c.sums, pairs},    {&c.dS, ld * DELTA_TILE}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i].part = rows_part(base, &used, all[i].floats);
    if (floats) *floats = used;
    return c;
}

/* 16 numbers of a row of token i, zeros or ones behind the last token. */
INLINE Vec delta_live(const DeltaChunk *c, int64_t i, const float *row, int64_t lanes, float behind) {
    return i < c->count ? vec_load_n(row, lanes) : vec_set1(behind);
}

/* The rule, and whether each key has a decay of its own: known to the compiler. */
typedef struct {
    DeltaRemoval removal;
    int by_key;
} DeltaRule;

INLINE Vec delta_decay(const DeltaChunk *c, DeltaRule rule, int64_t i, int64_t j) {
    return rule.by_key ? vec_load(c->decay + i * c->ld + j) : vec_set1(c->factor[i]);
}

/* Readers, writers and decays of 16 keys from j on, and readers times the decays before them in the chunk. */
INLINE void delta_chunk_read(const DeltaChunk *c, int64_t j, int64_t lanes, DeltaRule rule) {
    const DeltaTask *t = c->task;
    const DeltaInput *in = t->in;
    const DeltaShape *s = t->shape;
    const int64_t second = DELTA_CHUNK * c->ld, step = s->heads * s->keys, key_step = s->key_heads * s->keys;
    int64_t from = delta_row(t, c->from) * s->keys + j, key = delta_key_row(t, c->from) * s->keys + j;
    Vec before = vec_set1(1.0f);
    for (int64_t i = 0; i < DELTA_CHUNK; i++, from += step, key += key_step) {
        const int64_t to = i * c->ld + j;
        const Vec q = delta_live(c, i, in->q + key, lanes, 0.0f),
                  k = delta_live(c, i, in->k + key, lanes, 0.0f);
        if (rule.by_key) vec_store(c->decay + to, delta_live(c, i, in->decay + from, lanes, 1.0f));
        const Vec decay = delta_decay(c, rule, i, j);
        if (rule.removal != DELTA_NONE) {
            const Vec reading =
                rule.removal == DELTA_PAIR ? delta_live(c, i, in->a + from, lanes, 0.0f) : vec_mul(decay, k);
            vec_store(c->read + second + to, reading);
            vec_store(c->reached + second + to, vec_mul(before, reading));
        }
        if (rule.removal == DELTA_PAIR)
            vec_store(c->write + second + to, delta_live(c, i, in->b + from, lanes, 0.0f));
        before = vec_mul(decay, before);
        vec_store(c->read + to, q);
        vec_store(c->reached + to, vec_mul(before, q));
        vec_store(c->write + to, k);
    }
    vec_store(c->whole + j, before);
}

/* Writers times the decays behind them. */
INLINE void delta_chunk_left(const DeltaChunk *c, int64_t j, DeltaRule rule) {
    const int64_t second = DELTA_CHUNK * c->ld;
    Vec behind = vec_set1(1.0f);
    for (int64_t i = DELTA_CHUNK - 1; i >= 0; i--) {
        const int64_t at = i * c->ld + j;
        vec_store(c->left + at, vec_mul(behind, vec_load(c->write + at)));
        if (rule.removal == DELTA_PAIR)
            vec_store(c->left + second + at, vec_mul(behind, vec_load(c->write + second + at)));
        behind = vec_mul(delta_decay(c, rule, i, j), behind);
    }
}

INLINE void delta_chunk_rows(DeltaChunk *c, DeltaRule rule) {
    const DeltaTask *t = c->task;
    for (int64_t i = 0; i < DELTA_CHUNK && !rule.by_key; i++)
        c->factor[i] = i < c->count && t->shape->decays ? t->in->decay[delta_row(t, c->from + i)] : 1.0f;
#define ROWS(j, lanes) delta_chunk_read(c, j, lanes, rule), delta_chunk_left(c, j, rule)
    DELTA_VECTORS(t->shape->keys, ROWS);
#undef ROWS
}

/* Rows of token i of the chunk before this one, which is next. */
INLINE void delta_chunk_soon_in(const DeltaChunk *c, int64_t i) {
    const DeltaTask *t = c->task;
    const DeltaShape *s = t->shape;
    const int64_t token = c->from - DELTA_CHUNK + i;
    if (token < 0) return;
    const int64_t key = delta_key_row(t, token) * s->keys;
    delta_soon(t->in->v + delta_row(t, token) * s->values + t->c, t->columns);
    delta_soon(t->in->q + key, s->keys);
    delta_soon(t->in->k + key, s->keys);
}

/* u and w of every token: what it reads from S and from those before it. */
static void delta_chunk_values(const DeltaChunk *c) {
    const DeltaShape *s = c->task->shape;
    const int64_t C = DELTA_CHUNK, width = c->task->width;
    float *w = c->values, *u = w + C * width;
    if (c->readers > C)
        gemm_serial(GEMM_NN, C, c->task->columns, s->keys, c->reached + C * c->ld, c->ld, c->S, s->values, u,
                    width, 0);
    for (int64_t i = 0; i < c->count; i++) {
        float *own = u + i * width;
        delta_chunk_soon_in(c, i);
        const float *pairs = c->pairs + (C + i) * DELTA_PAIRS;
        if (c->readers > C) delta_sum(c->task->width, i, pairs, 1, w, own);
        if (c->writers > C) delta_sum(c->task->width, i, pairs + C, 1, u, own);
        delta_written(c->task, delta_row(c->task, c->from + i), own, w + i * width);
    }
}
