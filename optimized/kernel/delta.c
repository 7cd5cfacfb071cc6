#include "kernel/delta/adjoint.h"
#include "kernel/delta/chunk_adjoint.h"
#include "kernel/delta/forward.h"

#include <string.h>

/* Whether the way back takes chunks: their products pay where the state is large beside what a pair of tokens costs, and rows
 * of keys fill a vector. The shape alone decides, so that every instruction set does the same. */
static int delta_by_chunks(const DeltaShape *s) {
    const int64_t columns = s->values < DELTA_TILE ? s->values : DELTA_TILE,
                  small = s->removal == DELTA_KEY && s->decays > 1 ? 2048 : 1024;
    return s->keys >= VEC_LANES && s->keys * columns >= (s->removal == DELTA_PAIR ? 8192 : small);
}

static int64_t delta_workspace(const DeltaShape *s) {
    int64_t tokens, chunk;
    delta_scratch(s, 0, &tokens);
    delta_chunk(s, 0, &chunk);
    return delta_by_chunks(s) && chunk > tokens ? chunk : tokens;
}

static __attribute__((nonnull)) DeltaScratch delta_own(const DeltaShape *s, float *workspace, int thread) {
    return delta_scratch(s, workspace + thread * delta_workspace(s), 0);
}

static void delta_forward_task(const DeltaTask *t, float *state, float *o, float *snapshots,
                               const DeltaScratch *x) {
    const DeltaShape *s = t->shape;
    const int64_t matrix = s->keys * s->values, head = t->batch * s->heads + t->head;
    delta_forward_tile(&(DeltaForward){t, x->token, x->dS, o, state + head * matrix,
                                       snapshots ? snapshots + head * delta_chunks(s) * matrix : 0});
}

static void delta_forward_part(ParallelPart part, const DeltaShape *s, const DeltaInput *in, float *state,
                               float *o, float *snapshots, float *workspace) {
    const DeltaScratch x = delta_own(s, workspace, part.thread);
    for (int64_t i = part.begin; i < part.end; i++) {
        const DeltaTask t = delta_task(s, in, i);
        delta_forward_task(&t, state, o, snapshots, &x);
    }
}

static void delta_forward(const DeltaShape *s, const DeltaInput *in, float *state, float *o, float *snapshots,
                          float *workspace) {
    PARALLEL_PARTS(parallel_threads(), delta_tasks(s), 1,
                   delta_forward_part(part, s, in, state, o, snapshots, workspace));
}

/* ---- backward ---- */

/* One tile, and a key head for every head. */
static int delta_whole(const DeltaShape *s) { return s->values <= DELTA_TILE && s->key_heads == s->heads; }

static DeltaPartial delta_partial(const DeltaShape *s, int64_t tile, float *base, int64_t *floats) {
    const int64_t rows = s->batch * s->tokens * s->heads, tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE;
    int64_t used = 0;
    DeltaPartial p = {0};
    const int64_t keys = s->keys, pair = s->removal == DELTA_PAIR ? keys : 0;
    const struct {
        float **rows;
        int64_t width;
    } all[] = {{&p.q, keys}, {&p.k, keys}, {&p.decay, s->decays}, {&p.a, pair}, {&p.b, pair}, {&p.rate, 1}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        float *part = rows_part(base, &used, tiles * rows * all[i].width);
        *all[i].rows = part ? part + tile * rows * all[i].width : 0;
    }
    if (floats) *floats = used;
    return p;
}

static int64_t delta_partial_floats(const DeltaShape *s) {
    int64_t floats = 0;
    if (!delta_whole(s)) delta_partial(s, 0, 0, &floats);
    return floats;
}

static void delta_back_token(const DeltaTask *t, const DeltaToken *x, int64_t place, const float *d_o,
                             const DeltaGradient *d, const DeltaPartial *p, const DeltaScratch *scratch) {
    delta_cotangent(t, x->row, d_o, scratch->cotangent);
    delta_back_soon(t, x->row - 2 * t->shape->heads, d_o, d, p);
    DeltaBack y = {t,
                   x,
                   scratch->states + place * delta_ld(t->shape) * DELTA_WALK,
                   scratch->u + place * DELTA_WALK,
                   scratch->w + place * DELTA_WALK,
                   scratch->cotangent,
                   scratch->dS,
                   scratch->du,
                   scratch->dw,
                   scratch->in,
                   scratch->out,
                   0.0f,
                   0.0f};
    delta_back_in_all(&y);
    delta_back_values(&y, d, p);
    delta_back_out_all(&y, p);
}

/* The states, u and w of a chunk's tokens again, then the tokens from the last to the first. */
static void delta_back_by_tokens(const DeltaTask *t, int64_t chunk, const float *snapshot, const float *d_o,
                                 const DeltaGradient *d, const DeltaPartial *p, const DeltaScratch *x) {
    const DeltaShape *s = t->shape;
    const int64_t from = chunk * DELTA_CHUNK, left = s->tokens - from, ld = delta_ld(s),
                  matrix = ld * DELTA_WALK;
    const int64_t count = left < DELTA_CHUNK ? left : DELTA_CHUNK;
    DeltaToken token[DELTA_CHUNK];
    token[0] = delta_token(t, from, x->token);
    for (int64_t i = 1; i < count; i++) token[i] = delta_token(t, from + i, x->token + i * DELTA_ROWS * ld);
    delta_columns_load(t, snapshot, 0, DELTA_WALK / VEC_LANES, x->states, DELTA_WALK);
    for (int64_t j = 0; j < t->columns; j += VEC_LANES) {
        Vec u;
        delta_read(t, token->reading, x->states + j, DELTA_WALK, 1, &u);
        vec_store(x->u + j, u);
    }
    for (int64_t i = 0; i < count; i++) {
        float *u = x->u + i * DELTA_WALK, *w = x->w + i * DELTA_WALK, *S = x->states + i * matrix;
        delta_written(t, token[i].row, u, w);
        if (i + 1 < count) delta_token_apart(t, &token[i], S, w, u, S + matrix, u + DELTA_WALK);
    }
    for (int64_t i = count - 1; i >= 0; i--) delta_back_token(t, &token[i], i, d_o, d, p, x);
}

static const float *delta_snapshot(const DeltaTask *t, const float *snapshots, int64_t chunk) {
    const DeltaShape *s = t->shape;
    const int64_t head = t->batch * s->heads + t->head;
    return snapshots + (head * delta_chunks(s) + chunk) * s->keys * s->values;
}

/* Columns of a tile at a time, which add to what those before them found. */
static void delta_back_walk(const DeltaTask *tile, const float *snapshots, const float *d_o,
                            const DeltaGradient *d, float *dstate, const DeltaPartial *p, float *own) {
    const DeltaScratch x = delta_scratch(tile->shape, own, 0);
    for (int64_t j = 0; j < tile->columns; j += DELTA_WALK) {
        DeltaTask t = *tile;
        DeltaPartial mine = *p;
        t.c += j, t.columns = tile->columns - j < DELTA_WALK ? tile->columns - j : DELTA_WALK;
        mine.whole |= j > 0;
        delta_columns_load(&t, dstate, 0, DELTA_WALK / VEC_LANES, x.dS, DELTA_WALK);
        for (int64_t i = delta_chunks(t.shape) - 1; i >= 0; i--)
            delta_back_by_tokens(&t, i, delta_snapshot(&t, snapshots, i), d_o, d, &mine, &x);
        delta_columns_save(&t, x.dS, DELTA_WALK, 0, DELTA_WALK / VEC_LANES, dstate);
    }
}

static void delta_back_in_chunks(const DeltaTask *t, const float *snapshots, const float *d_o,
                                 const DeltaGradient *d, float *dstate, const DeltaPartial *p, float *own) {
    int64_t floats;
    DeltaChunk c = delta_chunk(t->shape, own, &floats);
    c.task = t;
    /* Pads, and rows behind the last token, are read and never written. */
    memset(own, 0, (size_t)floats * sizeof(float));
    delta_tile_load(t, dstate, c.dS);
    for (int64_t i = delta_chunks(t->shape) - 1; i >= 0; i--)
        delta_chunk_back(&c, i, delta_snapshot(t, snapshots, i), d_o, d, p);
    delta_tile_save(t, c.dS, dstate);
}

static void delta_back_task(const DeltaTask *t, const float *snapshots, const float *d_o,
                            const DeltaGradient *d, float *dstate, const DeltaPartial *p, float *own) {
    const DeltaShape *s = t->shape;
    dstate += (t->batch * s->heads + t->head) * s->keys * s->values;
    if (delta_by_chunks(s))
        delta_back_in_chunks(t, snapshots, d_o, d, dstate, p, own);
    else
        delta_back_walk(t, snapshots, d_o, d, dstate, p, own);
}

/* What the tiles found, added to the gradients of one token and head; a key head takes that of all its heads. */
static void delta_gather_row(const DeltaShape *s, int64_t row, const DeltaPartial *p,
                             const DeltaGradient *d) {
    const int64_t K = s->keys, rows = s->batch * s->tokens * s->heads, stride = rows * K, at = row * K,
                  tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE, D = s->decays;
    const int64_t key = row / s->heads * s->key_heads + row % s->heads * s->key_heads / s->heads;
    delta_gather(K, tiles, stride, p->q + at, d->q + key * K);
    delta_gather(K, tiles, stride, p->k + at, d->k + key * K);
    if (D) delta_gather(D, tiles, rows * D, p->decay + row * D, d->decay + row * D);
    if (s->removal == DELTA_PAIR) {
        delta_gather(K, tiles, stride, p->a + at, d->a + at);
        delta_gather(K, tiles, stride, p->b + at, d->b + at);
    }
    if (s->rates == 1) delta_gather(1, tiles, rows, p->rate + row, d->rate + row);
}

static void delta_back_part(ParallelPart part, const DeltaShape *s, const DeltaInput *in,
                            const float *snapshots, const float *d_o, const DeltaGradient *d, float *dstate,
                            float *partial, float *workspace) {
    const DeltaPartial own = {d->q, d->k, d->decay, d->a, d->b, d->rate, 1};
    float *scratch = workspace + part.thread * delta_workspace(s);
    for (int64_t i = part.begin; i < part.end; i++) {
        const DeltaTask t = delta_task(s, in, i);
        const DeltaPartial p = delta_whole(s) ? own : delta_partial(s, t.tile, partial, 0);
        delta_back_task(&t, snapshots, d_o, d, dstate, &p, scratch);
    }
}

static void delta_gather_part(ParallelPart part, const DeltaShape *s, float *partial,
                              const DeltaGradient *d) {
    const DeltaPartial p = delta_partial(s, 0, partial, 0);
    for (int64_t token = part.begin; token < part.end; token++)
        for (int64_t h = 0; h < s->heads; h++) delta_gather_row(s, token * s->heads + h, &p, d);
}

static void delta_backward(const DeltaShape *s, const DeltaInput *in, const float *snapshots,
                           const float *d_o, const DeltaGradient *d, float *dstate, float *partial,
                           float *workspace) {
    PARALLEL_PARTS(parallel_threads(), delta_tasks(s), 1,
                   delta_back_part(part, s, in, snapshots, d_o, d, dstate, partial, workspace));
    if (delta_whole(s)) return;
    PARALLEL_PARTS(parallel_threads(), s->batch * s->tokens, 1, delta_gather_part(part, s, partial, d));
}

const struct delta_kernel KERNEL(delta_kernel) = {delta_workspace, delta_partial_floats, delta_forward,
                                                  delta_backward};
