#include "kernel/delta/adjoint.h"

static int64_t delta_workspace(const DeltaShape *s) {
    int64_t floats;
    delta_scratch(s, 0, &floats);
    return floats;
}

/* Where a thread's scratch begins. */
static DeltaScratch delta_own(const DeltaShape *s, float *workspace) {
    return delta_scratch(s, workspace + parallel_index() * delta_workspace(s), 0);
}

static void delta_forward_task(const DeltaTask *t, float *state, float *o, float *snapshots,
                               const DeltaScratch *x) {
    const DeltaShape *s = t->shape;
    const int64_t matrix = s->keys * s->values, head = t->batch * s->heads + t->head;
    DeltaToken token = delta_token_at(x->token, delta_ld(s));
    delta_tile_load(t, state + head * matrix, x->dS);
    for (int64_t i = 0; i < s->tokens; i++) {
        if (snapshots && i % DELTA_CHUNK == 0)
            delta_tile_save(t, x->dS, snapshots + (head * delta_chunks(s) + i / DELTA_CHUNK) * matrix);
        delta_token_load(t, i, &token);
        delta_token_step(t, &token, i, x->dS, x->dS, o, (DeltaTrace){0, 0});
    }
    delta_tile_save(t, x->dS, state + head * matrix);
}

static void delta_forward(const DeltaShape *s, const DeltaInput *in, float *state, float *o, float *snapshots,
                          float *workspace) {
#pragma omp parallel for schedule(static) if (parallel_threads() > 1)
    for (int64_t i = 0; i < delta_tasks(s); i++) {
        const DeltaTask t = delta_task(s, in, i);
        const DeltaScratch x = delta_own(s, workspace);
        delta_forward_task(&t, state, o, snapshots, &x);
    }
}

/* ---- backward ---- */

/* The gradients that are sums over columns, by tile: batch x tokens x heads rows each. */
typedef struct {
    float *q, *k, *decay, *a, *b, *rate;
} DeltaPartial;

static DeltaPartial delta_partial(const DeltaShape *s, int64_t tile, float *base, int64_t *floats) {
    const int64_t rows = s->batch * s->tokens * s->heads, tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE;
    int64_t used = 0;
    DeltaPartial p = {0};
    float **keyed[] = {&p.q, &p.k, &p.decay, &p.a, &p.b};
    for (int i = 0; i < (s->removal == DELTA_PAIR ? 5 : 3); i++) {
        float *all = rows_part(base, &used, tiles * rows * s->keys);
        *keyed[i] = all ? all + tile * rows * s->keys : 0;
    }
    float *rate = rows_part(base, &used, tiles * rows);
    p.rate = rate ? rate + tile * rows : 0;
    if (floats) *floats = used;
    return p;
}

static int64_t delta_partial_floats(const DeltaShape *s) {
    int64_t floats;
    delta_partial(s, 0, 0, &floats);
    return floats;
}

/* The sums over columns of one token as gradients of q, k, decay, a, b. */
static void delta_back_keys(const DeltaBack *y, int64_t row, const DeltaPartial *p) {
    const DeltaShape *s = y->task->shape;
    const int64_t block = y->ld * VEC_LANES;
    FOR_VECTORS (i, s->keys) {
        const int64_t lanes = vec_lanes(i, s->keys), at = row * s->keys + i;
        const float *sums = y->sums + i * VEC_LANES;
        Vec k = delta_lanes(sums + SUM_K * block), decay = delta_lanes(sums + SUM_DECAY * block);
        vec_store_n(p->q + at, delta_lanes(sums + SUM_Q * block), lanes);
        if (s->removal != DELTA_NONE) {
            const Vec n = delta_lanes(sums + SUM_N * block);
            if (s->removal == DELTA_PAIR) {
                vec_store_n(p->a + at, n, lanes);
                vec_store_n(p->b + at, delta_lanes(sums + SUM_B * block), lanes);
            } else {
                k = vec_fma(vec_load(y->x->decay + i), n, k);
                decay = vec_fma(vec_load(y->x->k + i), n, decay);
            }
        }
        vec_store_n(p->k + at, k, lanes);
        vec_store_n(p->decay + at, decay, lanes);
    }
}

static void delta_back_token(const DeltaTask *t, int64_t token, int64_t place, const DeltaToken *x,
                             const DeltaScratch *scratch, const float *d_o, const DeltaGradient *d,
                             const DeltaPartial *p) {
    const DeltaShape *s = t->shape;
    const int64_t ld = delta_ld(s), matrix = ld * DELTA_TILE, row = delta_row(t, token);
    float cotangent[DELTA_TILE];
    delta_cotangent(t, row, d_o, cotangent);
    const DeltaBack y = {t,
                         x,
                         scratch->states + place * matrix,
                         scratch->states + (place + 1) * matrix,
                         scratch->u + place * DELTA_TILE,
                         scratch->w + place * DELTA_TILE,
                         cotangent,
                         scratch->dS,
                         scratch->du,
                         scratch->dw,
                         scratch->sums,
                         ld,
                         (t->columns + 15) / 16};
    delta_back_pass(&y, 0);
    const float rate = delta_back_values(&y, row, d);
    delta_back_pass(&y, 1);
    delta_back_keys(&y, row, p);
    p->rate[row] = rate;
}

/* The chunk's states and traces again, then its tokens from the last to the first. */
static void delta_back_chunk(const DeltaTask *t, int64_t chunk, const float *snapshot, const float *d_o,
                             const DeltaGradient *d, const DeltaPartial *p, const DeltaScratch *x) {
    const DeltaShape *s = t->shape;
    const int64_t from = chunk * DELTA_CHUNK, left = s->tokens - from, ld = delta_ld(s),
                  matrix = ld * DELTA_TILE;
    const int64_t count = left < DELTA_CHUNK ? left : DELTA_CHUNK;
    DeltaToken token[DELTA_CHUNK];
    delta_tile_load(t, snapshot, x->states);
    for (int64_t i = 0; i < count; i++) {
        token[i] = delta_token_at(x->token + i * DELTA_ROWS * ld, ld);
        delta_token_load(t, from + i, &token[i]);
        delta_token_step(t, &token[i], from + i, x->states + i * matrix, x->states + (i + 1) * matrix, 0,
                         (DeltaTrace){x->u + i * DELTA_TILE, x->w + i * DELTA_TILE});
    }
    for (int64_t i = count - 1; i >= 0; i--) delta_back_token(t, from + i, i, &token[i], x, d_o, d, p);
}

static void delta_back_task(const DeltaTask *t, const float *snapshots, const float *d_o,
                            const DeltaGradient *d, float *dstate, const DeltaPartial *p,
                            const DeltaScratch *x) {
    const DeltaShape *s = t->shape;
    const int64_t matrix = s->keys * s->values, head = t->batch * s->heads + t->head,
                  chunks = delta_chunks(s);
    delta_tile_load(t, dstate + head * matrix, x->dS);
    for (int64_t c = chunks - 1; c >= 0; c--)
        delta_back_chunk(t, c, snapshots + (head * chunks + c) * matrix, d_o, d, p, x);
    delta_tile_save(t, x->dS, dstate + head * matrix);
}

static float delta_gather_one(int64_t n, int64_t tiles, int64_t stride, const float *from) {
    Vec sum = vec_zero();
    for (int64_t tile = 0; tile < tiles; tile++)
        FOR_VECTORS (i, n) sum = vec_add(sum, vec_load_n(from + tile * stride + i, vec_lanes(i, n)));
    return vec_sum(sum);
}

/* What the tiles found, added to the gradients of one token and head; a key head takes that of all its heads. */
static void delta_gather_row(const DeltaShape *s, int64_t row, const DeltaPartial *p,
                             const DeltaGradient *d) {
    const int64_t K = s->keys, stride = s->batch * s->tokens * s->heads * K, at = row * K,
                  tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE;
    const int64_t key = row / s->heads * s->key_heads + row % s->heads * s->key_heads / s->heads;
    delta_gather(K, tiles, stride, p->q + at, d->q + key * K);
    delta_gather(K, tiles, stride, p->k + at, d->k + key * K);
    if (s->decays > 1) delta_gather(K, tiles, stride, p->decay + at, d->decay + at);
    if (s->decays == 1) d->decay[row] += delta_gather_one(K, tiles, stride, p->decay + at);
    if (s->removal == DELTA_PAIR) {
        delta_gather(K, tiles, stride, p->a + at, d->a + at);
        delta_gather(K, tiles, stride, p->b + at, d->b + at);
    }
    if (s->rates != 1) return;
    for (int64_t tile = 0; tile < tiles; tile++) d->rate[row] += p->rate[tile * stride / K + row];
}

static void delta_backward(const DeltaShape *s, const DeltaInput *in, const float *snapshots,
                           const float *d_o, const DeltaGradient *d, float *dstate, float *partial,
                           float *workspace) {
#pragma omp parallel if (parallel_threads() > 1)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < delta_tasks(s); i++) {
            const DeltaTask t = delta_task(s, in, i);
            const DeltaScratch x = delta_own(s, workspace);
            const DeltaPartial p = delta_partial(s, t.tile, partial, 0);
            delta_back_task(&t, snapshots, d_o, d, dstate, &p, &x);
        }
        const DeltaPartial p = delta_partial(s, 0, partial, 0);
#pragma omp for schedule(static)
        for (int64_t token = 0; token < s->batch * s->tokens; token++)
            for (int64_t h = 0; h < s->heads; h++) delta_gather_row(s, token * s->heads + h, &p, d);
    }
}

const struct delta_kernel KERNEL(delta_kernel) = {delta_workspace, delta_partial_floats, delta_forward,
                                                  delta_backward};
