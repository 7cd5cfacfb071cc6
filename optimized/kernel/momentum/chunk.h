/* A chunk of tokens on its way back, at once.
 *
 * Readers are q, which reads S after its token, and p, which reads it before; writers are k, with w = step e. With S and M the
 * states before the chunk, the state after token t is
 *
 *   S_t = a_t S + b_t M + sum over l <= t of c(t, l) k_l w_l'      M_t = m_t M + sum over l <= t of d(t, l) k_l w_l'
 *
 * where a, b, c, m and d are sums of products of keep, carry and rate, and never quotients of them. So the gradients of all
 * rows are matrix products with the states at both ends, and with each other. Rows behind the last token are zero; there
 * keep and carry are one, rate and step zero. */
#pragma once
#include "kernel/delta/sums.h"
#include "kernel/momentum/token.h"
#include "kernel/serial.h"

enum { ON_KEEP, ON_CARRY, ON_RATE, ON_STEP, ONS };

typedef struct {
    const DeltaTask *task;
    const MomentumInput *in;
    int64_t from, count, ld; /* count: tokens, at most DELTA_CHUNK */
    const float *S, *M;      /* keys x columns, rows `values` apart */
    /* Rows of keys, ld apart, of readers: q of every token, then p of every token; and of writers. read, write: as they are;
     * reached: times a, then times b; left: times c, then times d, up to the end; the others: gradients for S and M, for dS
     * and dM, which become those of the rows. */
    float *read, *write, *reached, *left, *on_read, *on_read_M, *on_write, *on_write_M;
    /* Rows of columns, the task's width apart, of tokens: e; w and its gradient; the gradient of what readers read. states: those of
     * the states behind the chunk, ld rows each. */
    float *errors, *values, *on_values, *cotangents, *states;
    /* DELTA_CHUNK lanes for the writers, rows of readers: reader times writer; that times c; cotangent times w. */
    float *products, *pairs, *weights;
    /* Before the chunk and after every token: c and d, lanes for the writers; a, b and m. */
    float *c, *d, a[DELTA_CHUNK + 1], b[DELTA_CHUNK + 1], m[DELTA_CHUNK + 1];
    float on_a, on_b, on_m; /* gradients of the last ones, of the states behind the chunk */
    float keep[DELTA_CHUNK], carry[DELTA_CHUNK], rate[DELTA_CHUNK], step[DELTA_CHUNK];
    float *sums, *numbers; /* ONS of the tokens' numbers: lanes to be added; gradients */
} MomentumChunk;

static MomentumChunk momentum_chunk(const DeltaShape *s, float *base, int64_t *floats) {
    const int64_t C = DELTA_CHUNK, ld = padded(s->keys), rows = C * ld, tile = C * DELTA_TILE;
    int64_t used = 0;
    MomentumChunk c = {.ld = ld};
    const struct {
        float **part;
        int64_t floats;
    } all[] = {{&c.read, 2 * rows},      {&c.write, rows},
               {&c.reached, 4 * rows},   {&c.left, 2 * rows},
               {&c.on_read, 2 * rows},   {&c.on_read_M, 2 * rows},
               {&c.on_write, rows},      {&c.on_write_M, rows},
               {&c.errors, tile},        {&c.values, tile},
               {&c.on_values, tile},     {&c.cotangents, 2 * tile},
               {&c.products, 2 * C * C}, {&c.pairs, 2 * C * C},
               {&c.weights, 2 * C * C},  {&c.c, (C + 1) * C},
               {&c.d, (C + 1) * C},      {&c.sums, ONS * C * VEC_LANES},
               {&c.numbers, ONS * C},    {&c.states, 2 * ld * DELTA_TILE}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i].part = rows_part(base, &used, all[i].floats);
    if (floats) *floats = used;
    return c;
}

/* ---- what the chunk's tokens bring ---- */

/* The numbers of every token, and what they make of those before. */
static void momentum_chunk_numbers(MomentumChunk *c) {
    Vec S = vec_zero(), M = vec_zero();
    vec_store(c->c, S);
    vec_store(c->d, M);
    c->a[0] = c->m[0] = 1.0f, c->b[0] = 0.0f;
    for (int64_t i = 0; i < DELTA_CHUNK; i++) {
        const int live = i < c->count;
        const int64_t row = live ? delta_row(c->task, c->from + i) : 0;
        const float keep = live ? c->in->keep[row] : 1.0f, carry = live ? c->in->carry[row] : 1.0f,
                    rate = live ? c->in->rate[row] : 0.0f;
        M = vec_fma(vec_set1(carry), M, delta_place(i));
        S = vec_fnma(vec_set1(rate), M, vec_mul(vec_set1(keep), S));
        vec_store(c->c + (i + 1) * DELTA_CHUNK, S);
        vec_store(c->d + (i + 1) * DELTA_CHUNK, M);
        c->a[i + 1] = keep * c->a[i];
        c->m[i + 1] = carry * c->m[i];
        c->b[i + 1] = keep * c->b[i] - rate * c->m[i + 1];
        c->keep[i] = keep, c->carry[i] = carry, c->rate[i] = rate;
        c->step[i] = live ? c->in->step[row] : 0.0f;
    }
}

/* A reader's row of 16 keys, and the same times a and b. */
INLINE void momentum_chunk_read(const MomentumChunk *c, int64_t at, Vec row, int64_t reader, int64_t state) {
    float *reached = c->reached + 2 * reader * c->ld + at;
    vec_store(c->read + reader * c->ld + at, row);
    vec_store(reached, vec_mul(vec_set1(c->a[state]), row));
    vec_store(reached + c->ld, vec_mul(vec_set1(c->b[state]), row));
}

INLINE void momentum_chunk_keys(const MomentumChunk *c, int64_t j, int64_t lanes) {
    const int64_t C = DELTA_CHUNK, step = c->task->shape->heads * c->task->shape->keys;
    const float *ends = c->c + C * C, *momentum = c->d + C * C;
    int64_t from = delta_row(c->task, c->from) * c->task->shape->keys + j;
    for (int64_t i = 0; i < C; i++, from += step) {
        const int live = i < c->count;
        const Vec k = live ? vec_load_n(c->in->k + from, lanes) : vec_zero();
        float *left = c->left + 2 * i * c->ld + j;
        momentum_chunk_read(c, j, live ? vec_load_n(c->in->q + from, lanes) : vec_zero(), i, i + 1);
        momentum_chunk_read(c, j, live ? vec_load_n(c->in->p + from, lanes) : vec_zero(), C + i, i);
        vec_store(c->write + i * c->ld + j, k);
        vec_store(left, vec_mul(vec_set1(ends[i]), k));
        vec_store(left + c->ld, vec_mul(vec_set1(momentum[i]), k));
    }
}

static void momentum_chunk_values(const MomentumChunk *c, const float *errors, const float *d_o) {
    const DeltaTask *t = c->task;
    for (int64_t i = 0; i < c->count; i++) {
        const int64_t row = delta_row(t, c->from + i), at = i * t->width;
        delta_cotangent(t, row, d_o, c->cotangents + at);
        FOR_VECTORS (j, t->columns) {
            const Vec e = vec_load_n(errors + row * t->shape->values + t->c + j, vec_lanes(j, t->columns));
            vec_store(c->errors + at + j, e);
            vec_store(c->values + at + j, vec_mul(vec_set1(c->step[i]), e));
        }
    }
}

/* to = c x, of every reader and writer: q reads behind its token, p before it. */
static void momentum_mixed(const MomentumChunk *c, const float *x, float *to) {
    const int64_t C = DELTA_CHUNK;
    for (int64_t r = 0; r < 2 * C; r++)
        vec_store(to + r * C, vec_mul(vec_load(c->c + (r < C ? r + 1 : r - C) * C), vec_load(x + r * C)));
}

static void momentum_chunk_load(MomentumChunk *c, const float *errors, const float *d_o) {
    const int64_t C = DELTA_CHUNK;
    momentum_chunk_numbers(c);
#define KEYS(j, lanes) momentum_chunk_keys(c, j, lanes)
    DELTA_VECTORS(c->task->shape->keys, KEYS);
#undef KEYS
    momentum_chunk_values(c, errors, d_o);
    gemm_serial(GEMM_NT, 2 * C, C, c->ld, c->read, c->ld, c->write, c->ld, c->products, C, 0);
    momentum_mixed(c, c->products, c->pairs);
}
