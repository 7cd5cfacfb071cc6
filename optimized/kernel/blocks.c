#include "kernel/blocks.h"
#include "base/parallel.h"
#include "kernel/attend/tile.h"
#include "kernel/serial.h"

/* ---- tiles: block c is tiles c per_block .. of up to 64 tokens ---- */

static int64_t blocks_per_block(const BlocksShape *s) { return (s->block + ATTEND_BLOCK - 1) / ATTEND_BLOCK; }

/* Lanes of a tile. */
static int64_t blocks_lanes(const BlocksShape *s) {
    return s->block < ATTEND_BLOCK ? padded(s->block) : ATTEND_BLOCK;
}

static int64_t blocks_tile(const BlocksShape *s, int64_t at) {
    return at / s->block * blocks_per_block(s) + at % s->block / ATTEND_BLOCK;
}

/* First token of a tile, and the first behind it. */
static int64_t blocks_begin(const BlocksShape *s, int64_t tile) {
    return tile / blocks_per_block(s) * s->block + tile % blocks_per_block(s) * ATTEND_BLOCK;
}
static int64_t blocks_end(const BlocksShape *s, int64_t tile) {
    const int64_t end = blocks_begin(s, tile) + ATTEND_BLOCK,
                  next = (tile / blocks_per_block(s) + 1) * s->block;
    return end < next ? end : next;
}

/* ---- cache ---- */

static int64_t blocks_rows(const BlocksShape *s) {
    return s->capacity > 0 ? (blocks_tile(s, s->capacity - 1) + 1) * blocks_lanes(s) : 0;
}
static int64_t blocks_cache_floats(const BlocksShape *s) {
    return blocks_rows(s) * (s->width + padded(s->width));
}

/* A tile's keys, transposed; and its values. */
static const float *blocks_keys(const BlocksShape *s, const float *head, int64_t tile) {
    return head + tile * blocks_lanes(s) * s->width;
}
static const float *blocks_values(const BlocksShape *s, const float *head, int64_t tile) {
    return head + blocks_rows(s) * s->width + tile * blocks_lanes(s) * padded(s->width);
}

/* n rows, the width of all heads apart, from token `at` on, all in one tile. */
static void blocks_put(const BlocksShape *s, int64_t n, const float *k, const float *v, float *head,
                       int64_t at) {
    const int64_t lanes = blocks_lanes(s), tile = blocks_tile(s, at), lane = at - blocks_begin(s, tile),
                  stride = s->heads * s->width, ld = padded(s->width);
    flat_transpose(n, s->width, k, stride, head + tile * lanes * s->width + lane, lanes);
    rows_load(n, s->width, v, stride, head + blocks_rows(s) * s->width + (tile * lanes + lane) * ld, ld);
}

static void blocks_append_heads(ParallelPart part, const BlocksShape *s, const float *k, const float *v,
                                float *cache) {
    const int64_t end = s->past + s->tokens;
    for (int64_t i = part.begin; i < part.end; i++)
        for (int64_t a = s->past, n; a < end; a += n) {
            const int64_t next = blocks_end(s, blocks_tile(s, a)),
                          at =
                              ((i / s->heads * s->tokens + a - s->past) * s->heads + i % s->heads) * s->width;
            n = (next < end ? next : end) - a;
            blocks_put(s, n, k + at, v + at, cache + i * blocks_cache_floats(s), a);
        }
}

static void blocks_append(const BlocksShape *s, const float *k, const float *v, float *cache) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1, blocks_append_heads(part, s, k, v, cache));
}

/* ---- scratch ---- */

typedef struct {
    int64_t ld, lanes;
    float scale, *q, *o, *dy, *p, *dp, *dk_all, *dv_all;
    float top[ATTEND_BLOCK], sum[ATTEND_BLOCK], delta[ATTEND_BLOCK];
} BlocksScratch;

/* Lays the scratch out from `base`, or only measures it (NULL). Its size in floats. */
static int64_t blocks_layout(const BlocksShape *s, BlocksScratch *a, float *base) {
    int64_t used = 0;
    a->ld = padded(s->width);
    a->lanes = blocks_lanes(s);
    a->scale = 1.0f / sqrtf((float)s->width);
    a->q = rows_part(base, &used, ATTEND_BLOCK * a->ld);
    a->o = rows_part(base, &used, ATTEND_BLOCK * a->ld);
    a->dy = rows_part(base, &used, ATTEND_BLOCK * a->ld);
    a->p = rows_part(base, &used, ATTEND_BLOCK * a->lanes);
    a->dp = rows_part(base, &used, ATTEND_BLOCK * a->lanes);
    a->dk_all = rows_part(base, &used, s->tokens * a->ld);
    a->dv_all = rows_part(base, &used, s->tokens * a->ld);
    return used;
}

static int64_t blocks_workspace_floats(const BlocksShape *s) {
    BlocksScratch a;
    return blocks_layout(s, &a, 0);
}

/* ---- tiles of queries: n rows from row t of the call, which lie in one tile; head `head` of a sequence ---- */

typedef struct {
    int64_t t, n;
    const int64_t *list;
} BlocksQueries;

static BlocksQueries blocks_queries(const BlocksShape *s, int64_t tile, int64_t head) {
    const int64_t begin = blocks_begin(s, tile), end = blocks_end(s, tile);
    const int64_t first = begin > s->past ? begin : s->past,
                  last = end < s->past + s->tokens ? end : s->past + s->tokens;
    const int64_t row = head * blocks_touched(s) + first / s->block - s->past / s->block;
    return (BlocksQueries){first - s->past, last - first, s->list + row * s->most};
}

static int64_t blocks_first_tile(const BlocksShape *s) { return blocks_tile(s, s->past); }
static int64_t blocks_tiles(const BlocksShape *s) {
    return s->tokens > 0 ? blocks_tile(s, s->past + s->tokens - 1) - blocks_first_tile(s) + 1 : 0;
}

/* Tiles of a listed block, up to that of the last query; keys of a tile that the last query sees. */
static int64_t blocks_tile_stop(const BlocksShape *s, const BlocksQueries *x, int64_t block) {
    const int64_t stop = (block + 1) * blocks_per_block(s),
                  own = blocks_tile(s, s->past + x->t + x->n - 1) + 1;
    return stop < own ? stop : own;
}
static int64_t blocks_seen(const BlocksShape *s, const BlocksQueries *x, int64_t tile) {
    const int64_t end = blocks_end(s, tile), last = s->past + x->t + x->n;
    return (end < last ? end : last) - blocks_begin(s, tile);
}

/* Lanes of the tile that rows see: keys that there are, and of their own tile those up to their own. */
static AttendSeen blocks_lanes_seen(const BlocksShape *s, const BlocksQueries *x, int64_t tile) {
    const int64_t first = s->past + x->t, keys = blocks_end(s, tile) - blocks_begin(s, tile);
    return tile == blocks_tile(s, first) ? (AttendSeen){0, 0, first + 1 - blocks_begin(s, tile), 1}
                                         : (AttendSeen){0, 0, keys, 0};
}

static void blocks_forward_tile(const BlocksShape *s, BlocksScratch *a, const BlocksQueries *x,
                                const float *head, int64_t tile) {
    gemm_serial(GEMM_NN, x->n, a->lanes, s->width, a->q, a->ld, blocks_keys(s, head, tile), a->lanes, a->p,
                a->lanes, 0);
    const AttendSeen seen = blocks_lanes_seen(s, x, tile);
    attend_softmax_rows(x->n, a->p, a->lanes, &seen, a->top, a->sum, a->o, a->ld);
    gemm_serial(GEMM_NN, x->n, a->ld, blocks_seen(s, x, tile), a->p, a->lanes, blocks_values(s, head, tile),
                a->ld, a->o, a->ld, 1);
}

/* q, y: of the tile's first row. Returns the tiles of keys. */
static int64_t blocks_forward_queries(const BlocksShape *s, BlocksScratch *a, const BlocksQueries *x,
                                      const float *q, const float *head, float *y, float *statistics) {
    const int64_t stride = s->heads * s->width;
    int64_t tiles = 0;
    attend_load_queries(x->n, s->width, q, stride, a->scale, a->q, a->ld);
    attend_softmax_begin(x->n, a->top, a->sum, a->o, a->ld);
    for (int64_t j = 0; j < s->most && x->list[j] >= 0; j++)
        for (int64_t tile = x->list[j] * blocks_per_block(s); tile < blocks_tile_stop(s, x, x->list[j]);
             tile++) {
            blocks_forward_tile(s, a, x, head, tile);
            tiles++;
        }
    attend_finish_rows(x->n, a->ld, a->top, a->sum, a->o, statistics);
    rows_save(x->n, s->width, a->o, a->ld, y, stride);
    return tiles;
}

static void blocks_forward_tasks(ParallelPart part, const BlocksShape *s, const float *q, const float *cache,
                                 float *y, float *statistics, float *workspace, int64_t *multiplied) {
    const int64_t heads = s->batch * s->heads;
    int64_t count = 0;
    BlocksScratch a;
    blocks_layout(s, &a, workspace + part.thread * blocks_workspace_floats(s));
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t head = i % heads;
        const BlocksQueries x = blocks_queries(s, blocks_first_tile(s) + i / heads, head % s->heads);
        const int64_t at = (((head / s->heads) * s->tokens + x.t) * s->heads + head % s->heads) * s->width;
        count += blocks_forward_queries(s, &a, &x, q + at, cache + head * blocks_cache_floats(s), y + at,
                                        statistics ? statistics + (head * s->tokens + x.t) * 2 : 0);
    }
#pragma omp atomic
    *multiplied += count;
}

static int64_t blocks_forward(const BlocksShape *s, const float *q, const float *cache, float *y,
                              float *statistics, float *workspace) {
    const int64_t tasks = s->batch * s->heads * blocks_tiles(s);
    int64_t multiplied = 0;
    PARALLEL_TASKS(parallel_least(tasks), tasks,
                   blocks_forward_tasks(part, s, q, cache, y, statistics, workspace, &multiplied));
    return multiplied;
}

/* ---- backward ---- */

/* Of one tile of keys: dk_all, dv_all, and dq in a->o. statistics: of the first query. */
static void blocks_backward_tile(const BlocksShape *s, BlocksScratch *a, const BlocksQueries *x,
                                 const float *head, const float *statistics, int64_t tile) {
    const float *keys = blocks_keys(s, head, tile), *values = blocks_values(s, head, tile);
    const int64_t count = blocks_seen(s, x, tile), at = blocks_begin(s, tile) * a->ld;
    gemm_serial(GEMM_NN, x->n, a->lanes, s->width, a->q, a->ld, keys, a->lanes, a->p, a->lanes, 0);
    gemm_serial(GEMM_NT, x->n, count, s->width, a->dy, a->ld, values, a->ld, a->dp, a->lanes, 0);
    const AttendSeen seen = blocks_lanes_seen(s, x, tile);
    for (int64_t r = 0; r < x->n; r++)
        attend_weights_row(a->p + r * a->lanes, a->dp + r * a->lanes, a->lanes, 0, attend_seen_high(&seen, r),
                           statistics + 2 * r, a->delta[r]);
    gemm_serial(GEMM_TN, count, a->ld, x->n, a->p, a->lanes, a->dy, a->ld, a->dv_all + at, a->ld, 1);
    gemm_serial(GEMM_TN, count, a->ld, x->n, a->dp, a->lanes, a->q, a->ld, a->dk_all + at, a->ld, 1);
    gemm_serial(GEMM_NT, x->n, s->width, count, a->dp, a->lanes, keys, a->lanes, a->o, a->ld, 1);
}

/* One tile of queries of a head: q, y, dy, dq from the head's first row. */
static void blocks_backward_queries(const BlocksShape *s, BlocksScratch *a, const BlocksQueries *x,
                                    const float *q, const float *head, const float *y,
                                    const float *statistics, const float *dy, float *dq) {
    const int64_t stride = s->heads * s->width, from = x->t * stride;
    attend_load_queries(x->n, s->width, q + from, stride, a->scale, a->q, a->ld);
    rows_load(x->n, s->width, dy + from, stride, a->dy, a->ld);
    memset(a->o, 0, (size_t)(x->n * a->ld) * sizeof(float));
    for (int64_t r = 0; r < x->n; r++)
        a->delta[r] = flat_dot(s->width, dy + from + r * stride, y + from + r * stride);
    for (int64_t j = 0; j < s->most && x->list[j] >= 0; j++)
        for (int64_t tile = x->list[j] * blocks_per_block(s); tile < blocks_tile_stop(s, x, x->list[j]);
             tile++)
            blocks_backward_tile(s, a, x, head, statistics + x->t * 2, tile);
    rows_add_to(x->n, s->width, a->scale, a->o, a->ld, dq + from, stride);
}

static void blocks_backward_heads(ParallelPart part, const BlocksShape *s, const float *q, const float *cache,
                                  const float *y, const float *statistics, const float *dy, float *dq,
                                  float *dk, float *dv, float *workspace) {
    const int64_t floats = blocks_workspace_floats(s), stride = s->heads * s->width;
    float *mine = workspace + part.thread * floats;
    BlocksScratch a;
    memset(mine, 0, (size_t)floats * sizeof(float));
    blocks_layout(s, &a, mine);
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
        memset(a.dk_all, 0, (size_t)(s->tokens * a.ld) * sizeof(float));
        memset(a.dv_all, 0, (size_t)(s->tokens * a.ld) * sizeof(float));
        for (int64_t tile = 0; tile < blocks_tiles(s); tile++) {
            const BlocksQueries x = blocks_queries(s, tile, i % s->heads);
            blocks_backward_queries(s, &a, &x, q + at, cache + i * blocks_cache_floats(s), y + at,
                                    statistics + i * s->tokens * 2, dy + at, dq + at);
        }
        rows_add_to(s->tokens, s->width, 1.0f, a.dk_all, a.ld, dk + at, stride);
        rows_add_to(s->tokens, s->width, 1.0f, a.dv_all, a.ld, dv + at, stride);
    }
}

static void blocks_backward(const BlocksShape *s, const float *q, const float *cache, const float *y,
                            const float *statistics, const float *dy, float *dq, float *dk, float *dv,
                            float *workspace) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1,
                   blocks_backward_heads(part, s, q, cache, y, statistics, dy, dq, dk, dv, workspace));
}

const struct blocks_kernel KERNEL(blocks_kernel) = {blocks_cache_floats, blocks_workspace_floats,
                                                    blocks_append, blocks_forward, blocks_backward};
