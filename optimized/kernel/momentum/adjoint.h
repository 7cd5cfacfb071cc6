/* The way back of a chunk: from the gradients of the states behind it and of what its tokens read to those of the states
 * before it and of all that its tokens brought. */
#pragma once
#include "kernel/momentum/chunk.h"

/* Gradients that are sums over columns, by tile; of one tile the gradients themselves. */
typedef struct {
    float *q, *k, *p, *keep, *carry, *rate, *step;
    int whole;
} MomentumPartial;

static int momentum_whole(const DeltaShape *s) { return s->values <= DELTA_TILE; }

INLINE void momentum_put(const MomentumPartial *p, float *to, Vec x, int64_t lanes) {
    vec_store_n(to, p->whole ? vec_add(vec_load_n(to, lanes), x) : x, lanes);
}

static MomentumPartial momentum_partial(const DeltaShape *s, int64_t tile, float *base, int64_t *floats) {
    const int64_t rows = s->batch * s->tokens * s->heads, tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE;
    int64_t used = 0;
    MomentumPartial p = {0};
    float **keyed[] = {&p.q, &p.k, &p.p}, **numbers[] = {&p.keep, &p.carry, &p.rate, &p.step};
    for (int i = 0; i < 3; i++) {
        float *all = rows_part(base, &used, tiles * rows * s->keys);
        *keyed[i] = all ? all + tile * rows * s->keys : 0;
    }
    for (int i = 0; i < 4; i++) {
        float *all = rows_part(base, &used, tiles * rows);
        *numbers[i] = all ? all + tile * rows : 0;
    }
    if (floats) *floats = used;
    return p;
}

static int64_t momentum_partial_floats(const DeltaShape *s) {
    int64_t floats = 0;
    if (!momentum_whole(s)) momentum_partial(s, 0, 0, &floats);
    return floats;
}

/* de of token i: what p of later tokens asks of its w comes to the rest; then dv and the token's share of the step's. */
static void momentum_back_value(const MomentumChunk *c, int64_t i, const MomentumGradient *d) {
    const DeltaTask *t = c->task;
    const int64_t C = DELTA_CHUNK, later = C + i + 1;
    float *dw = c->on_values + i * t->width, *de = c->cotangents + (C + i) * t->width,
          *dv = d->v + delta_row(t, c->from + i) * t->shape->values + t->c;
    Vec step = vec_zero();
    delta_sum(t->width, c->count - i - 1, c->pairs + later * C + i, C, c->cotangents + later * t->width, dw);
    FOR_VECTORS (j, t->columns) {
        const int64_t lanes = vec_lanes(j, t->columns);
        const Vec on_w = vec_load(dw + j), on_e = vec_mul(vec_set1(c->step[i]), on_w);
        step = vec_fma(on_w, vec_load(c->errors + i * t->width + j), step);
        vec_store(de + j, on_e);
        vec_store_n(dv + j, vec_sub(vec_load_n(dv + j, lanes), on_e), lanes);
    }
    vec_store(c->sums + (ON_STEP * C + i) * VEC_LANES, step);
}

/* dw of every token: its share of dS and dM, what q of this token and of later ones asks; then, the last one first, what p
 * asks: de is asked of all before it. */
static void momentum_back_values(const MomentumChunk *c, const MomentumGradient *d) {
    const int64_t C = DELTA_CHUNK, columns = c->task->columns;
    gemm_serial(GEMM_NN, C, columns, 2 * c->ld, c->left, 2 * c->ld, c->states, c->task->width, c->on_values,
                c->task->width, 0);
    gemm_serial(GEMM_TN, C, columns, C, c->pairs, C, c->cotangents, c->task->width, c->on_values,
                c->task->width, 1);
    for (int64_t i = c->count - 1; i >= 0; i--) momentum_back_value(c, i, d);
}

/* Products times weights of one reader, a lane for each writer. */
INLINE Vec momentum_given_back(const MomentumChunk *c, int64_t reader, Vec sum) {
    const int64_t at = reader * DELTA_CHUNK;
    return vec_fma(vec_load(c->products + at), vec_load(c->weights + at), sum);
}

/* Gradients of a and b after every token, of all that is read there. */
static void momentum_on_states(const MomentumChunk *c, const float *on_read, float *to) {
    const int64_t C = DELTA_CHUNK, second = C * c->ld;
    float later[DELTA_CHUNK + 1] = {0};
    vec_store(later, delta_row_dots(c->ld, c->read + second, on_read + second));
    vec_store(to, vec_add(delta_row_dots(c->ld, c->read, on_read), vec_load(later + 1)));
}

/* Gradients of keep, carry and rate: of a, b, c, m and d of the last token, and so on to the first. */
static void momentum_on_numbers(const MomentumChunk *c) {
    const int64_t C = DELTA_CHUNK;
    float on_a[DELTA_CHUNK], on_b[DELTA_CHUNK];
    momentum_on_states(c, c->on_read, on_a);
    momentum_on_states(c, c->on_read_M, on_b);
    Vec on_c = delta_row_dots(c->ld, c->write, c->on_write),
        on_d = delta_row_dots(c->ld, c->write, c->on_write_M);
    float a = c->on_a, b = c->on_b, m = c->on_m;
    for (int64_t i = C - 1; i >= 0; i--) {
        float *sums = c->sums + i * VEC_LANES;
        const Vec keep = vec_set1(c->keep[i]), carry = vec_set1(c->carry[i]), rate = vec_set1(c->rate[i]);
        on_c = momentum_given_back(c, i, on_c);
        if (i + 1 < C) on_c = momentum_given_back(c, C + i + 1, on_c);
        a += on_a[i], b += on_b[i];
        on_d = vec_fnma(rate, on_c, on_d), m -= c->rate[i] * b;
        vec_store(sums + ON_KEEP * C * VEC_LANES, vec_fma(vec_set1(a * c->a[i] + b * c->b[i]), delta_place(0),
                                                          vec_mul(on_c, vec_load(c->c + i * C))));
        vec_store(sums + ON_CARRY * C * VEC_LANES,
                  vec_fma(vec_set1(m * c->m[i]), delta_place(0), vec_mul(on_d, vec_load(c->d + i * C))));
        vec_store(sums + ON_RATE * C * VEC_LANES, vec_fma(vec_set1(b * c->m[i + 1]), delta_place(0),
                                                          vec_mul(on_c, vec_load(c->d + (i + 1) * C))));
        on_c = vec_mul(keep, on_c), on_d = vec_mul(carry, on_d);
        a *= c->keep[i], b *= c->keep[i], m *= c->carry[i];
    }
    for (int64_t i = 0; i < ONS; i++) vec_store(c->numbers + i * C, vec_sums(c->sums + i * C * VEC_LANES));
}

/* n rows: x = f x + g y, f and g of each row. */
INLINE void momentum_mix_rows(int64_t n, int64_t ld, const float *f, const float *g, const float *y,
                              float *x) {
    for (int64_t i = 0; i < n; i++) {
        const Vec own = vec_set1(f[i]), other = vec_set1(g[i]);
        FOR_VECTORS (j, ld) {
            const int64_t at = i * ld + j;
            vec_store(x + at, vec_fma(other, vec_load(y + at), vec_mul(own, vec_load(x + at))));
        }
    }
}

/* What dS and dM, of the states behind the chunk, have to say about the states before it: their products with those, sums
 * over all numbers; then they become the gradients of those, but for what readers ask. */
static void momentum_back_ends(MomentumChunk *c) {
    const DeltaTask *t = c->task;
    const Vec a = vec_set1(c->a[DELTA_CHUNK]), b = vec_set1(c->b[DELTA_CHUNK]),
              m = vec_set1(c->m[DELTA_CHUNK]);
    Vec on_a = vec_zero(), on_b = vec_zero(), on_m = vec_zero();
    for (int64_t i = 0; i < t->shape->keys; i++)
        FOR_VECTORS (j, t->columns) {
            const int64_t lanes = vec_lanes(j, t->columns), at = i * t->shape->values + j;
            float *to = c->states + i * c->task->width + j, *to_M = to + c->ld * c->task->width;
            const Vec S = vec_load_n(c->S + at, lanes), M = vec_load_n(c->M + at, lanes), dS = vec_load(to),
                      dM = vec_load(to_M);
            on_a = vec_fma(S, dS, on_a);
            on_b = vec_fma(M, dS, on_b);
            on_m = vec_fma(M, dM, on_m);
            vec_store(to_M, vec_fma(b, dS, vec_mul(m, dM)));
            vec_store(to, vec_mul(a, dS));
        }
    c->on_a = vec_sum(on_a), c->on_b = vec_sum(on_b), c->on_m = vec_sum(on_m);
}

/* The rows of n readers or writers times a state. */
static void momentum_times(const MomentumChunk *c, int64_t n, const float *rows, const float *state,
                           int64_t stride, float *to) {
    gemm_serial(GEMM_NT, n, c->task->shape->keys, c->task->columns, rows, c->task->width, state, stride, to,
                c->ld, 0);
}

/* The gradients of the rows: of what readers have of both states and of the writers, and writers likewise. */
static void momentum_on_rows(MomentumChunk *c) {
    const DeltaTask *t = c->task;
    const int64_t C = DELTA_CHUNK, ld = c->ld, values = t->shape->values;
    gemm_serial(GEMM_NT, 2 * C, C, t->columns, c->cotangents, c->task->width, c->values, c->task->width,
                c->weights, C, 0);
    momentum_times(c, 2 * C, c->cotangents, c->S, values, c->on_read);
    momentum_times(c, 2 * C, c->cotangents, c->M, values, c->on_read_M);
    momentum_times(c, C, c->values, c->states, c->task->width, c->on_write);
    momentum_times(c, C, c->values, c->states + ld * c->task->width, c->task->width, c->on_write_M);
    momentum_back_ends(c);
    momentum_on_numbers(c);
    momentum_mixed(c, c->weights, c->weights);
    momentum_mix_rows(C, ld, c->a + 1, c->b + 1, c->on_read_M, c->on_read);
    momentum_mix_rows(C, ld, c->a, c->b, c->on_read_M + C * ld, c->on_read + C * ld);
    momentum_mix_rows(C, ld, c->c + C * C, c->d + C * C, c->on_write_M, c->on_write);
    gemm_serial(GEMM_NN, 2 * C, ld, C, c->weights, C, c->write, ld, c->on_read, ld, 1);
    gemm_serial(GEMM_TN, C, ld, 2 * C, c->weights, C, c->read, ld, c->on_write, ld, 1);
}

static void momentum_back_put(const MomentumChunk *c, const MomentumPartial *p) {
    const int64_t C = DELTA_CHUNK, keys = c->task->shape->keys;
    float *const numbers[ONS] = {p->keep, p->carry, p->rate, p->step};
    for (int64_t i = 0; i < c->count; i++) {
        const int64_t row = delta_row(c->task, c->from + i);
        FOR_VECTORS (j, keys) {
            const int64_t at = i * c->ld + j, to = row * keys + j, lanes = vec_lanes(j, keys);
            momentum_put(p, p->q + to, vec_load(c->on_read + at), lanes);
            momentum_put(p, p->p + to, vec_load(c->on_read + C * c->ld + at), lanes);
            momentum_put(p, p->k + to, vec_load(c->on_write + at), lanes);
        }
        for (int64_t n = 0; n < ONS; n++) {
            const float x = c->numbers[n * C + i];
            momentum_put(p, numbers[n] + row, vec_set1(n == ON_RATE ? -x : x), 1);
        }
    }
}

/* Of the gradients of the states behind the chunk what all readers of the states before it ask. */
static void momentum_back_states(const MomentumChunk *c) {
    const int64_t C = DELTA_CHUNK, ld = c->ld, columns = c->task->columns;
    gemm_serial(GEMM_TN, 2 * ld, columns, 2 * C, c->reached, 2 * ld, c->cotangents, c->task->width, c->states,
                c->task->width, 1);
}

static void momentum_back_chunk(MomentumChunk *c, int64_t chunk, const float *snapshots, const float *d_o,
                                const MomentumGradient *d, const MomentumPartial *p) {
    const DeltaTask *t = c->task;
    const DeltaShape *s = t->shape;
    const int64_t left = s->tokens - chunk * DELTA_CHUNK, matrix = s->keys * s->values,
                  head = t->batch * s->heads + t->head;
    c->from = chunk * DELTA_CHUNK, c->count = left < DELTA_CHUNK ? left : DELTA_CHUNK;
    c->S = snapshots + (head * delta_chunks(s) + chunk) * 2 * matrix + t->c;
    c->M = c->S + matrix;
    momentum_chunk_load(c, snapshots + momentum_states(s), d_o);
    momentum_back_values(c, d);
    momentum_on_rows(c);
    momentum_back_put(c, p);
    momentum_back_states(c);
}
