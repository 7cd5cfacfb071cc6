#include "kernel/momentum.h"
#include "kernel/delta/tile.h"

/* A token's row of every head, and its numbers. */
typedef struct {
    const DeltaTask *task;
    const MomentumInput *in;
    int64_t row, vectors;
    const float *q, *k, *p;
    Vec keep, carry, rate, step;
} MomentumToken;

static MomentumToken momentum_token(const DeltaTask *t, const MomentumInput *in, int64_t token) {
    const int64_t row = delta_row(t, token), K = t->shape->keys, key = row * K;
    return (MomentumToken){t,
                           in,
                           row,
                           (t->columns + 15) / 16,
                           in->q + key,
                           in->k + key,
                           in->p + key,
                           vec_set1(in->keep[row]),
                           vec_set1(in->carry[row]),
                           vec_set1(in->rate[row]),
                           vec_set1(in->step[row])};
}

/* 16 numbers of the token's row of values from column c of the tile on, zero behind them. */
INLINE Vec momentum_row(const MomentumToken *x, const float *rows, int64_t c) {
    const int64_t lanes = vec_lanes(c, x->task->columns);
    return lanes > 0 ? vec_load_n(rows + x->row * x->task->shape->values + x->task->c + c, lanes)
                     : vec_zero();
}

/* N vectors of columns: S, M become those at `after`, `after` + matrix; e: the token's errors, kept. */
INLINE void momentum_step(const MomentumToken *x, int64_t j, int N, int64_t matrix, const float *S,
                          float *after, float *o, float *error) {
    const DeltaShape *s = x->task->shape;
    const int64_t keys = s->keys;
    const float *p = x->p, *q = x->q, *k = x->k, *from = S + j;
    float *to = after + j;
    const Vec keep = x->keep, carry = x->carry, rate = x->rate;
    Vec read[4], e[4];
    for (int n = 0; n < N; n++) read[n] = e[n] = vec_zero();
    for (int64_t i = 0; i < keys; i++) {
        const Vec reads = vec_set1(p[i]);
        for (int n = 0; n < N; n++) e[n] = vec_fma(reads, vec_load(from + i * DELTA_TILE + 16 * n), e[n]);
    }
    for (int n = 0; n < N; n++) {
        const int64_t lanes = vec_lanes(j + 16 * n, x->task->columns);
        e[n] = vec_first(vec_sub(e[n], momentum_row(x, x->in->v, j + 16 * n)), lanes > 0 ? lanes : 0);
        if (error) vec_store(error + j + 16 * n, e[n]);
    }
    for (int64_t i = 0; i < keys; i++) {
        const Vec writes = vec_mul(x->step, vec_set1(k[i])), asks = vec_set1(q[i]);
        for (int n = 0; n < N; n++) {
            const int64_t at = i * DELTA_TILE + 16 * n;
            const Vec momentum = vec_fma(writes, e[n], vec_mul(carry, vec_load(from + matrix + at)));
            const Vec state = vec_fnma(rate, momentum, vec_mul(keep, vec_load(from + at)));
            read[n] = vec_fma(asks, state, read[n]);
            vec_store(to + matrix + at, momentum);
            vec_store(to + at, state);
        }
    }
    for (int n = 0; n < N && o; n++) {
        const int64_t lanes = vec_lanes(j + 16 * n, x->task->columns);
        if (lanes > 0)
            vec_store_n(o + x->row * s->values + x->task->c + j + 16 * n,
                        vec_mul(vec_set1(s->scale), read[n]), lanes);
    }
}

static void momentum_token_step(const MomentumToken *x, int64_t matrix, const float *S, float *after,
                                float *o, float *error) {
    int64_t j = 0;
    for (; j + DELTA_VECS <= x->vectors; j += DELTA_VECS)
        momentum_step(x, 16 * j, DELTA_VECS, matrix, S, after, o, error);
    for (; j < x->vectors; j++) momentum_step(x, 16 * j, 1, matrix, S, after, o, error);
}

/* ---- scratch ---- */

enum { SUM_Q, SUM_K, SUM_P, SUMS };

/* states: S and M before each token of a chunk and after the last; d: their gradients. */
typedef struct {
    float *states, *d, *error, *derror, *cotangent, *sums;
} MomentumScratch;

static MomentumScratch momentum_scratch(const DeltaShape *s, float *base, int64_t *floats) {
    const int64_t ld = padded(s->keys), matrix = ld * DELTA_TILE;
    int64_t used = 0;
    MomentumScratch x;
    x.states = rows_part(base, &used, (DELTA_CHUNK + 1) * 2 * matrix);
    x.d = rows_part(base, &used, 2 * matrix);
    x.error = rows_part(base, &used, DELTA_CHUNK * DELTA_TILE);
    x.derror = rows_part(base, &used, DELTA_TILE);
    x.cotangent = rows_part(base, &used, DELTA_TILE);
    x.sums = rows_part(base, &used, SUMS * ld * VEC_LANES);
    if (floats) *floats = used;
    return x;
}

static int64_t momentum_workspace(const DeltaShape *s) {
    int64_t floats;
    momentum_scratch(s, 0, &floats);
    return floats;
}

static MomentumScratch momentum_own(const DeltaShape *s, float *workspace) {
    return momentum_scratch(s, workspace + parallel_index() * momentum_workspace(s), 0);
}

/* Both states of a head, (2 x keys x values), as tiles and back. */
static void momentum_load(const DeltaTask *t, const float *states, float *tiles) {
    const int64_t matrix = padded(t->shape->keys) * DELTA_TILE;
    delta_tile_load(t, states, tiles);
    delta_tile_load(t, states + t->shape->keys * t->shape->values, tiles + matrix);
}
static void momentum_save(const DeltaTask *t, const float *tiles, float *states) {
    const int64_t matrix = padded(t->shape->keys) * DELTA_TILE;
    delta_tile_save(t, tiles, states);
    delta_tile_save(t, tiles + matrix, states + t->shape->keys * t->shape->values);
}

static void momentum_forward(const DeltaShape *s, const MomentumInput *in, float *state, float *o,
                             float *snapshots, float *workspace) {
    const int64_t matrix = padded(s->keys) * DELTA_TILE, both = 2 * s->keys * s->values;
#pragma omp parallel for schedule(static) if (parallel_threads() > 1)
    for (int64_t i = 0; i < delta_tasks(s); i++) {
        const DeltaTask t = delta_task(s, 0, i);
        const int64_t head = t.batch * s->heads + t.head;
        float *tiles = momentum_own(s, workspace).d;
        momentum_load(&t, state + head * both, tiles);
        for (int64_t token = 0; token < s->tokens; token++) {
            if (snapshots && token % DELTA_CHUNK == 0)
                momentum_save(&t, tiles, snapshots + (head * delta_chunks(s) + token / DELTA_CHUNK) * both);
            const MomentumToken x = momentum_token(&t, in, token);
            momentum_token_step(&x, matrix, tiles, tiles, o, 0);
        }
        momentum_save(&t, tiles, state + head * both);
    }
}

/* ---- backward ---- */

/* Gradients that are sums over columns, by tile. */
typedef struct {
    float *q, *k, *p, *keep, *carry, *rate, *step;
} MomentumPartial;

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
    int64_t floats;
    momentum_partial(s, 0, 0, &floats);
    return floats;
}

/* One token on its way back: the states before and after it, their gradients. The sums over everything are kept for every
 * vector of columns, so that their order does not depend on how many go at once, and added from left to right. */
typedef struct {
    const MomentumToken *x;
    const MomentumScratch *scratch;
    const float *before, *after, *error;
    int64_t matrix, ld;
    float keep[DELTA_TILE], carry[DELTA_TILE], rate[DELTA_TILE], step[DELTA_TILE];
} MomentumBack;

/* dS += q do; dM -= rate dS, which is then the whole gradient of M'; de = step k dM. */
INLINE void momentum_back_write(MomentumBack *y, int64_t j, int N) {
    const int64_t keys = y->x->task->shape->keys, block = y->ld * VEC_LANES, matrix = y->matrix;
    const float *q = y->x->q, *k = y->x->k, *before = y->before + j, *after = y->after + j;
    float *dS = y->scratch->d + j, *dM = dS + matrix, *sums = y->scratch->sums;
    const Vec factor = y->x->rate;
    Vec o[4], e[4], de[4], keep[4], carry[4], rate[4];
    for (int n = 0; n < N; n++) {
        o[n] = vec_load(y->scratch->cotangent + j + 16 * n);
        e[n] = vec_load(y->error + j + 16 * n);
        de[n] = keep[n] = carry[n] = rate[n] = vec_zero();
    }
    for (int64_t i = 0; i < keys; i++) {
        float *sum = sums + i * VEC_LANES;
        const Vec asks = vec_set1(q[i]), writes = vec_set1(k[i]);
        Vec on_q = j ? vec_load(sum + SUM_Q * block) : vec_zero();
        Vec on_k = j ? vec_load(sum + SUM_K * block) : vec_zero();
        for (int n = 0; n < N; n++) {
            const int64_t at = i * DELTA_TILE + 16 * n;
            const Vec ds = vec_fma(asks, o[n], vec_load(dS + at)),
                      dm = vec_fnma(factor, ds, vec_load(dM + at));
            on_q = vec_fma(vec_load(after + at), o[n], on_q);
            on_k = vec_fma(dm, e[n], on_k);
            de[n] = vec_fma(writes, dm, de[n]);
            keep[n] = vec_fma(ds, vec_load(before + at), keep[n]);
            rate[n] = vec_fnma(ds, vec_load(after + matrix + at), rate[n]);
            carry[n] = vec_fma(dm, vec_load(before + matrix + at), carry[n]);
            vec_store(dS + at, ds);
            vec_store(dM + at, dm);
        }
        vec_store(sum + SUM_Q * block, on_q);
        vec_store(sum + SUM_K * block, on_k);
    }
    for (int n = 0; n < N; n++) {
        const int64_t at = j + 16 * n;
        vec_store(y->step + at, vec_mul(de[n], e[n]));
        vec_store(y->keep + at, keep[n]);
        vec_store(y->carry + at, carry[n]);
        vec_store(y->rate + at, rate[n]);
        vec_store(y->scratch->derror + at, vec_mul(y->x->step, de[n]));
    }
}

/* dS = keep dS + p de, dM = carry dM, and the sums over columns of S de. */
INLINE void momentum_back_read(const MomentumBack *y, int64_t j, int N) {
    const int64_t keys = y->x->task->shape->keys;
    const float *p = y->x->p, *before = y->before + j;
    float *dS = y->scratch->d + j, *dM = dS + y->matrix, *sums = y->scratch->sums + SUM_P * y->ld * VEC_LANES;
    const Vec keep = y->x->keep, carry = y->x->carry;
    Vec de[4];
    for (int n = 0; n < N; n++) de[n] = vec_load(y->scratch->derror + j + 16 * n);
    for (int64_t i = 0; i < keys; i++) {
        float *sum = sums + i * VEC_LANES;
        const Vec reads = vec_set1(p[i]);
        Vec on_p = j ? vec_load(sum) : vec_zero();
        for (int n = 0; n < N; n++) {
            const int64_t at = i * DELTA_TILE + 16 * n;
            on_p = vec_fma(vec_load(before + at), de[n], on_p);
            vec_store(dS + at, vec_fma(reads, de[n], vec_mul(keep, vec_load(dS + at))));
            vec_store(dM + at, vec_mul(carry, vec_load(dM + at)));
        }
        vec_store(sum, on_p);
    }
}

/* From left to right, as every sum over columns goes. */
static void momentum_back_passes(MomentumBack *y) {
    int64_t j = 0;
    for (; j + DELTA_VECS <= y->x->vectors; j += DELTA_VECS) momentum_back_write(y, 16 * j, DELTA_VECS);
    for (; j < y->x->vectors; j++) momentum_back_write(y, 16 * j, 1);
    for (j = 0; j + DELTA_VECS <= y->x->vectors; j += DELTA_VECS) momentum_back_read(y, 16 * j, DELTA_VECS);
    for (; j < y->x->vectors; j++) momentum_back_read(y, 16 * j, 1);
}

static float momentum_total(const MomentumBack *y, const float *sums) {
    Vec total = vec_zero();
    for (int64_t j = 0; j < y->x->vectors; j++) total = vec_add(total, vec_load(sums + 16 * j));
    return vec_sum(total);
}

static void momentum_back_token(const MomentumToken *x, const MomentumScratch *scratch, int64_t place,
                                const float *d_o, const MomentumGradient *d, const MomentumPartial *p) {
    const DeltaTask *t = x->task;
    const DeltaShape *s = t->shape;
    const int64_t ld = padded(s->keys), matrix = ld * DELTA_TILE, block = ld * VEC_LANES;
    MomentumBack y = {x,
                      scratch,
                      scratch->states + place * 2 * matrix,
                      scratch->states + (place + 1) * 2 * matrix,
                      scratch->error + place * DELTA_TILE,
                      matrix,
                      ld,
                      {0},
                      {0},
                      {0},
                      {0}};
    delta_cotangent(t, x->row, d_o, scratch->cotangent);
    momentum_back_passes(&y);
    for (int64_t j = 0; j < t->columns; j += VEC_LANES) {
        float *to = d->v + x->row * s->values + t->c + j;
        const int64_t lanes = vec_lanes(j, t->columns);
        vec_store_n(to, vec_sub(vec_load_n(to, lanes), vec_load(scratch->derror + j)), lanes);
    }
    FOR_VECTORS (i, s->keys) {
        const int64_t lanes = vec_lanes(i, s->keys), at = x->row * s->keys + i;
        const float *sums = scratch->sums + i * VEC_LANES;
        vec_store_n(p->q + at, vec_sums(sums + SUM_Q * block), lanes);
        vec_store_n(p->k + at, vec_mul(x->step, vec_sums(sums + SUM_K * block)), lanes);
        vec_store_n(p->p + at, vec_sums(sums + SUM_P * block), lanes);
    }
    p->keep[x->row] = momentum_total(&y, y.keep);
    p->carry[x->row] = momentum_total(&y, y.carry);
    p->rate[x->row] = momentum_total(&y, y.rate);
    p->step[x->row] = momentum_total(&y, y.step);
}

static void momentum_back_chunk(const DeltaTask *t, const MomentumInput *in, int64_t chunk,
                                const float *snapshot, const float *d_o, const MomentumGradient *d,
                                const MomentumPartial *p, const MomentumScratch *x) {
    const DeltaShape *s = t->shape;
    const int64_t from = chunk * DELTA_CHUNK, left = s->tokens - from, matrix = padded(s->keys) * DELTA_TILE;
    const int64_t count = left < DELTA_CHUNK ? left : DELTA_CHUNK;
    momentum_load(t, snapshot, x->states);
    for (int64_t i = 0; i < count; i++) {
        const MomentumToken token = momentum_token(t, in, from + i);
        momentum_token_step(&token, matrix, x->states + i * 2 * matrix, x->states + (i + 1) * 2 * matrix, 0,
                            x->error + i * DELTA_TILE);
    }
    for (int64_t i = count - 1; i >= 0; i--) {
        const MomentumToken token = momentum_token(t, in, from + i);
        momentum_back_token(&token, x, i, d_o, d, p);
    }
}

static void momentum_gather_row(const DeltaShape *s, int64_t row, const MomentumPartial *p,
                                const MomentumGradient *d) {
    const int64_t K = s->keys, rows = s->batch * s->tokens * s->heads,
                  tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE;
    float *const keyed[] = {p->q, p->k, p->p}, *const to[] = {d->q, d->k, d->p};
    float *const number[] = {p->keep, p->carry, p->rate, p->step}, *const sum[] = {d->keep, d->carry, d->rate,
                                                                                   d->step};
    for (int i = 0; i < 3; i++) delta_gather(K, tiles, rows * K, keyed[i] + row * K, to[i] + row * K);
    for (int i = 0; i < 4; i++)
        for (int64_t tile = 0; tile < tiles; tile++) sum[i][row] += number[i][tile * rows + row];
}

static void momentum_backward(const DeltaShape *s, const MomentumInput *in, const float *snapshots,
                              const float *d_o, const MomentumGradient *d, float *dstate, float *partial,
                              float *workspace) {
    const int64_t both = 2 * s->keys * s->values, chunks = delta_chunks(s);
#pragma omp parallel if (parallel_threads() > 1)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < delta_tasks(s); i++) {
            const DeltaTask t = delta_task(s, 0, i);
            const int64_t head = t.batch * s->heads + t.head;
            const MomentumScratch x = momentum_own(s, workspace);
            const MomentumPartial p = momentum_partial(s, t.tile, partial, 0);
            momentum_load(&t, dstate + head * both, x.d);
            for (int64_t c = chunks - 1; c >= 0; c--)
                momentum_back_chunk(&t, in, c, snapshots + (head * chunks + c) * both, d_o, d, &p, &x);
            momentum_save(&t, x.d, dstate + head * both);
        }
        const MomentumPartial p = momentum_partial(s, 0, partial, 0);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < s->batch * s->tokens * s->heads; row++)
            momentum_gather_row(s, row, &p, d);
    }
}

const struct momentum_kernel KERNEL(momentum_kernel) = {momentum_workspace, momentum_partial_floats,
                                                        momentum_forward, momentum_backward};
