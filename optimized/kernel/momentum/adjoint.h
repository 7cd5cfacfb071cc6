/* A chunk of tokens on its way back. */
#pragma once
#include "kernel/momentum/token.h"

#include <string.h>

/* Sums over columns that a token's gradients are: by key, by token alone. */
enum { SUM_Q, SUM_K, SUM_P, SUMS };
enum { ON_KEEP, ON_CARRY, ON_RATE, ONS };

/* Vectors of one key at the tokens of a chunk; of one key's row of the tile before and after them. */
enum { MOMENTUM_KEY = DELTA_CHUNK * VEC_LANES, MOMENTUM_ROW = (DELTA_CHUNK + 1) * DELTA_TILE };

/* Of a chunk, the last four token by token: walk: gradients of the states on their way back; d: those at its ends; S, M: one
 * key's rows of the states; sums: of one key, a vector of lanes each; keys: the sums, 16 tokens for every key; ons. */
typedef struct {
    float *d, *walk, *S, *M, *sums, *keys, *ons, *error, *derror, *cotangent, *step;
} MomentumScratch;

static MomentumScratch momentum_scratch(const DeltaShape *s, float *base, int64_t *floats) {
    const int64_t ld = padded(s->keys), tile = momentum_tile(s);
    int64_t used = 0;
    MomentumScratch x = {0};
    x.d = rows_part(base, &used, tile);
    x.walk = rows_part(base, &used, tile);
    x.S = rows_part(base, &used, MOMENTUM_ROW);
    x.M = rows_part(base, &used, MOMENTUM_ROW);
    x.sums = rows_part(base, &used, SUMS * MOMENTUM_KEY);
    x.keys = rows_part(base, &used, SUMS * ld * DELTA_CHUNK);
    x.ons = rows_part(base, &used, ONS * MOMENTUM_KEY);
    float **const rows[] = {&x.error, &x.derror, &x.cotangent, &x.step};
    for (int i = 0; i < 4; i++) *rows[i] = rows_part(base, &used, DELTA_CHUNK * DELTA_TILE);
    if (floats) *floats = used;
    return x;
}

static int64_t momentum_workspace(const DeltaShape *s) {
    int64_t floats;
    momentum_scratch(s, 0, &floats);
    return floats;
}

static MomentumScratch momentum_own(const DeltaShape *s, float *workspace, int thread) {
    return momentum_scratch(s, workspace + thread * momentum_workspace(s), 0);
}

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

/* A chunk on its way back. Its errors are known, and so are rows of S and M apart from each other; but the gradient of an
 * error is a sum over rows. So first all rows of the gradients go back for those alone, then each row for the rest. */
typedef struct {
    const DeltaTask *task;
    const MomentumToken *token;
    int64_t count, ld;
    MomentumScratch x;
} MomentumBack;

/* Token i, N vectors of columns: dS += q do; dM -= rate dS, which is then the whole gradient of M'; de = step k dM. Before
 * that the gradients come out of the token behind it: dS = keep dS + p de, dM = carry dM. */
INLINE void momentum_walk(const MomentumBack *y, int64_t i, int64_t j, int N, int last) {
    const MomentumToken *x = y->token + i, *behind = last ? x : x + 1;
    const int64_t keys = y->task->shape->keys, band = momentum_at(y->task->shape, j),
                  row = i * DELTA_TILE + j;
    const float *q = x->q, *k = x->k, *p = behind->p, *from = (last ? y->x.d : y->x.walk) + band;
    float *to = y->x.walk + band;
    const Vec rate = x->rate, keep = behind->keep, carry = behind->carry;
    Vec o[4], de[4], error[4];
    for (int n = 0; n < N; n++) {
        o[n] = vec_load(y->x.cotangent + row + 16 * n);
        error[n] = last ? vec_zero() : vec_load(y->x.derror + row + DELTA_TILE + 16 * n);
        de[n] = vec_zero();
    }
    for (int64_t r = 0; r < keys; r++) {
        const Vec asks = vec_set1(q[r]), writes = vec_set1(k[r]), reads = vec_set1(p[r]);
        for (int n = 0; n < N; n++) {
            const int64_t at = r * MOMENTUM_KEY_ROWS + 16 * n;
            Vec ds = vec_load(from + at), dm = vec_load(from + MOMENTUM_BAND + at);
            if (!last) ds = vec_fma(reads, error[n], vec_mul(keep, ds)), dm = vec_mul(carry, dm);
            ds = vec_fma(asks, o[n], ds);
            dm = vec_fnma(rate, ds, dm);
            de[n] = vec_fma(writes, dm, de[n]);
            vec_store(to + at, ds);
            vec_store(to + MOMENTUM_BAND + at, dm);
        }
    }
    for (int n = 0; n < N; n++) {
        vec_store(y->x.step + row + 16 * n, vec_mul(de[n], vec_load(y->x.error + row + 16 * n)));
        vec_store(y->x.derror + row + 16 * n, vec_mul(x->step, de[n]));
    }
}

static void momentum_walk_all(const MomentumBack *y) {
    const int64_t vectors = (y->task->columns + 15) / 16, last = y->count - 1;
    int64_t j = 0;
    for (; j + MOMENTUM_VECS <= vectors; j += MOMENTUM_VECS) {
        momentum_walk(y, last, 16 * j, MOMENTUM_VECS, 1);
        for (int64_t i = last - 1; i >= 0; i--) momentum_walk(y, i, 16 * j, MOMENTUM_VECS, 0);
    }
    for (; j < vectors; j++) {
        momentum_walk(y, last, 16 * j, 1, 1);
        for (int64_t i = last - 1; i >= 0; i--) momentum_walk(y, i, 16 * j, 1, 0);
    }
}

/* Row r of S and M, which are N vectors, before every token of the chunk and after the last. */
INLINE void momentum_row_again(const MomentumBack *y, int64_t r, int N, const float *snapshot) {
    const DeltaShape *s = y->task->shape;
    Vec S[4], M[4];
    for (int n = 0; n < N; n++) {
        const int64_t lanes = vec_lanes(16 * n, y->task->columns), at = r * s->values + y->task->c + 16 * n;
        S[n] = vec_load_n(snapshot + at, lanes);
        M[n] = vec_load_n(snapshot + s->keys * s->values + at, lanes);
        vec_store(y->x.S + 16 * n, S[n]);
        vec_store(y->x.M + 16 * n, M[n]);
    }
    for (int64_t i = 0; i < y->count; i++) {
        const MomentumToken *x = y->token + i;
        const Vec writes = vec_mul(x->step, vec_set1(x->k[r]));
        const float *error = y->x.error + i * DELTA_TILE;
        float *to_S = y->x.S + (i + 1) * DELTA_TILE, *to_M = y->x.M + (i + 1) * DELTA_TILE;
        for (int n = 0; n < N; n++) {
            M[n] = vec_fma(writes, vec_load(error + 16 * n), vec_mul(x->carry, M[n]));
            S[n] = vec_fnma(x->rate, M[n], vec_mul(x->keep, S[n]));
            vec_store(to_M + 16 * n, M[n]);
            vec_store(to_S + 16 * n, S[n]);
        }
    }
}

/* Row r at token i: its gradients go back, and leave their shares of the token's. */
INLINE void momentum_row_token(const MomentumBack *y, int64_t r, int64_t i, int N, Vec *dS, Vec *dM) {
    const MomentumToken *x = y->token + i;
    const int64_t row = i * DELTA_TILE;
    const float *before = y->x.S + row, *momentum = y->x.M + row, *o = y->x.cotangent + row,
                *error = y->x.error + row, *derror = y->x.derror + row;
    float *sums = y->x.sums + i * VEC_LANES, *ons = y->x.ons + i * VEC_LANES;
    const Vec asks = vec_set1(x->q[r]), reads = vec_set1(x->p[r]);
    Vec on_q = vec_zero(), on_k = vec_zero(), on_p = vec_zero();
    Vec keep = vec_load(ons + ON_KEEP * MOMENTUM_KEY), carry = vec_load(ons + ON_CARRY * MOMENTUM_KEY),
        rate = vec_load(ons + ON_RATE * MOMENTUM_KEY);
    for (int n = 0; n < N; n++) {
        const Vec out = vec_load(o + 16 * n), S = vec_load(before + 16 * n), de = vec_load(derror + 16 * n);
        const Vec ds = vec_fma(asks, out, dS[n]), dm = vec_fnma(x->rate, ds, dM[n]);
        on_q = vec_fma(vec_load(before + DELTA_TILE + 16 * n), out, on_q);
        on_k = vec_fma(dm, vec_load(error + 16 * n), on_k);
        on_p = vec_fma(S, de, on_p);
        keep = vec_fma(ds, S, keep);
        rate = vec_fnma(ds, vec_load(momentum + DELTA_TILE + 16 * n), rate);
        carry = vec_fma(dm, vec_load(momentum + 16 * n), carry);
        dS[n] = vec_fma(reads, de, vec_mul(x->keep, ds));
        dM[n] = vec_mul(x->carry, dm);
    }
    vec_store(sums + SUM_Q * MOMENTUM_KEY, on_q);
    vec_store(sums + SUM_K * MOMENTUM_KEY, on_k);
    vec_store(sums + SUM_P * MOMENTUM_KEY, on_p);
    vec_store(ons + ON_KEEP * MOMENTUM_KEY, keep);
    vec_store(ons + ON_CARRY * MOMENTUM_KEY, carry);
    vec_store(ons + ON_RATE * MOMENTUM_KEY, rate);
}

/* Row r of the gradient of S at the chunk's ends, vector n of columns; that of M lies MOMENTUM_BAND behind it. */
INLINE float *momentum_d(const MomentumBack *y, int64_t r, int n) {
    return y->x.d + momentum_at(y->task->shape, 16 * n) + r * MOMENTUM_KEY_ROWS;
}

INLINE void momentum_rows(const MomentumBack *y, int N, const float *snapshot) {
    for (int64_t r = 0; r < y->task->shape->keys; r++) {
        Vec dS[4], dM[4];
        momentum_row_again(y, r, N, snapshot);
        for (int n = 0; n < N; n++) {
            const float *d = momentum_d(y, r, n);
            dS[n] = vec_load(d), dM[n] = vec_load(d + MOMENTUM_BAND);
        }
        for (int64_t i = y->count - 1; i >= 0; i--) momentum_row_token(y, r, i, N, dS, dM);
        for (int n = 0; n < N; n++) {
            float *d = momentum_d(y, r, n);
            vec_store(d, dS[n]), vec_store(d + MOMENTUM_BAND, dM[n]);
        }
        for (int sum = 0; sum < SUMS; sum++)
            vec_store(y->x.keys + (sum * y->ld + r) * DELTA_CHUNK, vec_sums(y->x.sums + sum * MOMENTUM_KEY));
    }
}

/* Every vector of the tile at once on every CPU: sums over columns and rows keep their order. */
static void momentum_rows_all(const MomentumBack *y, const float *snapshot) {
    switch ((y->task->columns + 15) / 16) {
    case 1:
        momentum_rows(y, 1, snapshot);
        break;
    case 2:
        momentum_rows(y, 2, snapshot);
        break;
    case 3:
        momentum_rows(y, 3, snapshot);
        break;
    default:
        momentum_rows(y, 4, snapshot);
    }
}

/* A sum of the chunk's keys into the rows of its tokens. */
static void momentum_give_keys(const MomentumBack *y, const MomentumPartial *p, int sum, float *rows) {
    const int64_t keys = y->task->shape->keys;
    FOR_VECTORS (r, keys) {
        float turned[DELTA_CHUNK * VEC_LANES];
        vec_transpose(y->x.keys + (sum * y->ld + r) * DELTA_CHUNK, DELTA_CHUNK, turned, VEC_LANES);
        for (int64_t i = 0; i < y->count; i++) {
            const Vec all = vec_load(turned + i * VEC_LANES), step = y->token[i].step;
            momentum_put(p, rows + y->token[i].row * keys + r, sum == SUM_K ? vec_mul(step, all) : all,
                         vec_lanes(r, keys));
        }
    }
}

static void momentum_give_chunk(const MomentumBack *y, const MomentumGradient *d, const MomentumPartial *p) {
    const DeltaTask *t = y->task;
    momentum_give_keys(y, p, SUM_Q, p->q);
    momentum_give_keys(y, p, SUM_K, p->k);
    momentum_give_keys(y, p, SUM_P, p->p);
    for (int64_t i = 0; i < y->count; i++) {
        const int64_t row = y->token[i].row;
        const float *ons = y->x.ons + i * VEC_LANES;
        Vec step = vec_zero();
        for (int64_t j = 0; j < t->columns; j += VEC_LANES) {
            const int64_t lanes = vec_lanes(j, t->columns), at = i * DELTA_TILE + j;
            float *to = d->v + row * t->shape->values + t->c + j;
            vec_store_n(to, vec_sub(vec_load_n(to, lanes), vec_load(y->x.derror + at)), lanes);
            step = vec_add(step, vec_load(y->x.step + at));
        }
        momentum_put(p, p->step + row, vec_set1(vec_sum(step)), 1);
        momentum_put(p, p->keep + row, vec_set1(vec_sum(vec_load(ons + ON_KEEP * MOMENTUM_KEY))), 1);
        momentum_put(p, p->carry + row, vec_set1(vec_sum(vec_load(ons + ON_CARRY * MOMENTUM_KEY))), 1);
        momentum_put(p, p->rate + row, vec_set1(vec_sum(vec_load(ons + ON_RATE * MOMENTUM_KEY))), 1);
    }
}

/* What the token of this row is going to need and to add to. */
static void momentum_back_soon(const DeltaTask *t, const MomentumInput *in, int64_t row, const float *errors,
                               const float *d_o, const MomentumGradient *d, const MomentumPartial *p) {
    const DeltaShape *s = t->shape;
    if (row < 0) return;
    const float *const values[] = {errors, d_o, d->v}, *const keys[] = {in->q, in->k, in->p,
                                                                        p->q,  p->k,  p->p};
    for (int i = 0; i < 3; i++) delta_soon(values[i] + row * s->values + t->c, t->columns);
    for (int i = 0; i < 6; i++) delta_soon(keys[i] + row * s->keys, s->keys);
}

static void momentum_back_chunk(const DeltaTask *t, const MomentumInput *in, int64_t chunk,
                                const float *snapshots, const float *d_o, const MomentumGradient *d,
                                const MomentumPartial *p, const MomentumScratch *x) {
    const DeltaShape *s = t->shape;
    const int64_t from = chunk * DELTA_CHUNK, left = s->tokens - from, head = t->batch * s->heads + t->head;
    const float *errors = snapshots + momentum_states(s),
                *snapshot = snapshots + (head * delta_chunks(s) + chunk) * 2 * s->keys * s->values;
    MomentumToken token[DELTA_CHUNK];
    const MomentumBack y = {t, token, left < DELTA_CHUNK ? left : DELTA_CHUNK, padded(s->keys), *x};
    for (int64_t i = 0; i < y.count; i++) {
        token[i] = momentum_token(t, in, from + i);
        momentum_back_soon(t, in, token[i].row - DELTA_CHUNK * s->heads, errors, d_o, d, p);
        delta_cotangent(t, token[i].row, d_o, x->cotangent + i * DELTA_TILE);
        for (int64_t j = 0; j < t->columns; j += VEC_LANES)
            vec_store(x->error + i * DELTA_TILE + j, momentum_row(&token[i], errors, j));
    }
    memset(x->sums, 0, SUMS * MOMENTUM_KEY * sizeof(float));
    memset(x->ons, 0, ONS * MOMENTUM_KEY * sizeof(float));
    momentum_walk_all(&y);
    momentum_rows_all(&y, snapshot);
    momentum_give_chunk(&y, d, p);
}
