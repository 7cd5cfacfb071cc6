#include "kernel/attend.h"
#include "base/parallel.h"
#include "kernel/attend/tile.h"
#include "kernel/serial.h"

/* Rows of the cache: the prefix in whole blocks, then the ring of sequence keys. */
static int64_t attend_rows(const AttendShape *s) { return attend_round(s->prefix) + s->capacity; }

static int64_t attend_cache_floats(const AttendShape *s) {
    return attend_rows(s) * (s->width + padded(s->width));
}

/* Sequence keys that exist once row t of the call has arrived; those it sees begin at attend_low. */
static int64_t attend_high(const AttendShape *s, int64_t t) {
    return s->lead + s->stride * (s->past + t + 1);
}
static int64_t attend_low(const AttendShape *s, int64_t t) {
    const int64_t low = attend_high(s, t) - s->window;
    return s->window && low > 0 ? low : 0;
}

static int64_t attend_key_rows(const AttendShape *s) {
    return s->stride * s->tokens + (s->past ? 0 : s->lead);
}

typedef struct {
    int64_t ld;
    float scale, slope, *q, *p, *o, *dp, *dq_all, *delta, *dk, *dv, *keys, *values_t, *dy;
    float top[ATTEND_BLOCK], sum[ATTEND_BLOCK];
} AttendScratch;

/* Lays the scratch out from `base`, or only measures it (NULL). Its size in floats. */
static int64_t attend_layout(const AttendShape *s, AttendScratch *a, float *base) {
    int64_t used = 0;
    a->ld = padded(s->width);
    a->scale = 1.0f / sqrtf((float)s->width);
    const int64_t block = ATTEND_BLOCK * a->ld, square = ATTEND_BLOCK * ATTEND_BLOCK;
    float **each[] = {&a->q, &a->o, &a->dk, &a->dv, &a->keys, &a->values_t, &a->dy, &a->p, &a->dp};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        *each[i] = rows_part(base, &used, i < 7 ? block : square);
    }
    a->dq_all = rows_part(base, &used, s->tokens * a->ld);
    a->delta = rows_part(base, &used, padded(s->tokens));
    return used;
}

static int64_t attend_workspace_floats(const AttendShape *s) {
    AttendScratch a;
    return attend_layout(s, &a, 0);
}

/* 64 keys from cache row `row`, transposed; and their values. */
static const float *attend_keys(const AttendShape *s, const float *head, int64_t row) {
    return head + row * s->width;
}
static const float *attend_values(const AttendShape *s, const float *head, int64_t row) {
    return head + attend_rows(s) * s->width + row * padded(s->width);
}

/* Cache row of sequence key `at`. */
static int64_t attend_ring(const AttendShape *s, int64_t at) {
    return attend_round(s->prefix) + at % s->capacity;
}

/* n rows, the width of all heads apart, to cache rows from `row` on, all in one block. */
static void attend_put(const AttendShape *s, int64_t n, const float *k, const float *v, float *head,
                       int64_t row) {
    const int64_t lane = row % ATTEND_BLOCK, stride = s->heads * s->width, ld = padded(s->width);
    flat_transpose(n, s->width, k, stride, head + (row - lane) * s->width + lane, ATTEND_BLOCK);
    rows_load(n, s->width, v, stride, head + attend_rows(s) * s->width + row * ld, ld);
}

/* Rows from `at` on that lie in one block and before `end`. */
static int64_t attend_run(int64_t at, int64_t end) {
    const int64_t block = ATTEND_BLOCK - at % ATTEND_BLOCK;
    return end - at < block ? end - at : block;
}

static void attend_append_prefix(const AttendShape *s, const float *kp, const float *vp, float *cache) {
    for (int64_t i = 0; i < s->batch * s->heads; i++)
        for (int64_t j = 0; j < s->prefix; j += ATTEND_BLOCK) {
            const int64_t row = s->prefix_each ? i / s->heads * s->prefix + j : j;
            const int64_t at = (row * s->heads + i % s->heads) * s->width;
            attend_put(s, attend_run(j, s->prefix), kp + at, vp + at, cache + i * attend_cache_floats(s), j);
        }
}

static void attend_append_heads(ParallelPart part, const AttendShape *s, const float *k, const float *v,
                                float *cache) {
    const int64_t rows = attend_key_rows(s);
    const int64_t begin = s->past ? attend_high(s, -1) : 0; /* index of the call's first key */
    const int64_t from = s->first ? attend_high(s, s->first - 1) : begin,
                  end = attend_high(s, s->first + s->count - 1);
    for (int64_t i = part.begin; i < part.end; i++)
        for (int64_t a = from, n; a < end; a += n) {
            const int64_t at = ((i / s->heads * rows + a - begin) * s->heads + i % s->heads) * s->width;
            n = attend_run(a, end);
            attend_put(s, n, k + at, v + at, cache + i * attend_cache_floats(s), attend_ring(s, a));
        }
}

static void attend_append(const AttendShape *s, const float *k, const float *v, float *cache) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1, attend_append_heads(part, s, k, v, cache));
}

/* ALiBi's bias of the scores that n queries from row t give to the block of sequence keys from index `at` on. */
static void attend_bias(const AttendShape *s, const AttendScratch *a, int64_t at, int64_t t, int64_t n) {
    for (int64_t r = 0; r < n; r++)
        attend_bias_row(a->p + r * ATTEND_BLOCK, ATTEND_BLOCK, a->slope, at - (s->past + t + r));
}

/* What rows from t on see of the keys from index `at` on. */
static AttendSeen attend_seen(const AttendShape *s, int64_t t, int64_t at, int prefix) {
    const int64_t high = attend_high(s, t) - at;
    if (prefix) return (AttendSeen){0, 0, s->prefix - at, 0};
    return s->window ? (AttendSeen){high - s->window, s->stride, high, s->stride}
                     : (AttendSeen){0, 0, high, s->stride};
}

/* n queries from row t against the block of keys in cache row `row`: keys from index `at` on, or (prefix)
 * those that every query sees. */
static void attend_forward_keys(const AttendShape *s, AttendScratch *a, const float *head, int64_t row,
                                int64_t at, int64_t count, int prefix, int64_t t, int64_t n) {
    gemm_serial(GEMM_NN, n, ATTEND_BLOCK, s->width, a->q, a->ld, attend_keys(s, head, row), ATTEND_BLOCK,
                a->p, ATTEND_BLOCK, 0);
    if (s->slopes && !prefix) attend_bias(s, a, at, t, n);
    const AttendSeen seen = attend_seen(s, t, at, prefix);
    attend_softmax_rows(n, a->p, ATTEND_BLOCK, &seen, a->top, a->sum, a->o, a->ld);
    gemm_serial(GEMM_NN, n, a->ld, count < ATTEND_BLOCK ? count : ATTEND_BLOCK, a->p, ATTEND_BLOCK,
                attend_values(s, head, row), a->ld, a->o, a->ld, 1);
}

/* ATTEND_BLOCK queries of one head against all keys they see. */
static void attend_forward_block(const AttendShape *s, AttendScratch *a, const float *q, const float *head,
                                 float *y, float *statistics, int64_t t, int64_t n) {
    const int64_t stride = s->heads * s->width, end = attend_high(s, t + n - 1);
    const int64_t keys = attend_high(s, s->first + s->count - 1);
    attend_load_queries(n, s->width, q, stride, a->scale, a->q, a->ld);
    attend_softmax_begin(n, a->top, a->sum, a->o, a->ld);
    for (int64_t at = 0; at < s->prefix; at += ATTEND_BLOCK)
        attend_forward_keys(s, a, head, at, at, s->prefix - at, 1, t, n);
    for (int64_t at = attend_low(s, t) / ATTEND_BLOCK * ATTEND_BLOCK; at < end; at += ATTEND_BLOCK)
        attend_forward_keys(s, a, head, attend_ring(s, at), at, keys - at, 0, t, n);
    attend_finish_rows(n, a->ld, a->top, a->sum, a->o, statistics);
    rows_save(n, s->width, a->o, a->ld, y, stride);
}

/* Blocks of queries, those that see most first. */
static void attend_forward_tasks(ParallelPart part, const AttendShape *s, const float *q, const float *cache,
                                 float *y, float *statistics, float *workspace) {
    const int64_t heads = s->batch * s->heads, blocks = attend_round(s->count) / ATTEND_BLOCK;
    AttendScratch a;
    attend_layout(s, &a, workspace + part.thread * attend_workspace_floats(s));
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t head = i % heads, block = (blocks - 1 - i / heads) * ATTEND_BLOCK;
        const int64_t t = s->first + block;
        a.slope = s->slopes ? s->slopes[head % s->heads] : 0.0f;
        const int64_t at = (((head / s->heads) * s->tokens + t) * s->heads + head % s->heads) * s->width;
        attend_forward_block(s, &a, q + at, cache + head * attend_cache_floats(s), y + at,
                             statistics ? statistics + (head * s->tokens + t) * 2 : 0, t,
                             s->count - block < ATTEND_BLOCK ? s->count - block : ATTEND_BLOCK);
    }
}

static void attend_forward(const AttendShape *s, const float *q, const float *cache, float *y,
                           float *statistics, float *workspace) {
    const int64_t tasks = s->batch * s->heads * (attend_round(s->count) / ATTEND_BLOCK);
    PARALLEL_TASKS(parallel_least(tasks), tasks,
                   attend_forward_tasks(part, s, q, cache, y, statistics, workspace));
}

/* p = exp(s - m) / sum in a->p and dS = p (dP - delta) in a->dp, for queries t.. against keys at.. */
static void attend_block_weights(const AttendShape *s, AttendScratch *a, const float *keys,
                                 const float *statistics, int64_t t, int64_t n, int64_t at, int prefix) {
    gemm_serial(GEMM_NN, n, ATTEND_BLOCK, s->width, a->q, a->ld, keys, ATTEND_BLOCK, a->p, ATTEND_BLOCK, 0);
    gemm_serial(GEMM_NN, n, ATTEND_BLOCK, s->width, a->dy, a->ld, a->values_t, ATTEND_BLOCK, a->dp,
                ATTEND_BLOCK, 0);
    if (s->slopes && !prefix) attend_bias(s, a, at, t, n);
    const AttendSeen seen = attend_seen(s, t, at, prefix);
    for (int64_t r = 0; r < n; r++)
        attend_weights_row(a->p + r * ATTEND_BLOCK, a->dp + r * ATTEND_BLOCK, ATTEND_BLOCK,
                           attend_seen_low(&seen, r), attend_seen_high(&seen, r), statistics + 2 * (t + r),
                           a->delta[t + r]);
}

/* The block of `count` keys in cache row `row` against the queries that see it. dk, dv: its rows. */
static void attend_backward_keys(const AttendShape *s, AttendScratch *a, const float *q, const float *dy,
                                 const float *head, const float *statistics, float *dk, float *dv,
                                 int64_t row, int64_t at, int64_t count, int prefix) {
    const int64_t stride = s->heads * s->width, last = at + ATTEND_BLOCK + s->window; /* beyond the window */
    const float *keys = attend_keys(s, head, row);
    flat_transpose(s->width, ATTEND_BLOCK, keys, ATTEND_BLOCK, a->keys, a->ld);
    rows_transpose(ATTEND_BLOCK, a->ld, attend_values(s, head, row), a->ld, a->values_t, ATTEND_BLOCK);
    memset(a->dk, 0, (size_t)(ATTEND_BLOCK * a->ld) * sizeof(float));
    memset(a->dv, 0, (size_t)(ATTEND_BLOCK * a->ld) * sizeof(float));
    const int64_t early =
        prefix || at < s->lead ? 0 : (at - s->lead) / s->stride / ATTEND_BLOCK * ATTEND_BLOCK;
    for (int64_t t = early; t < s->tokens && (prefix || !s->window || t < last); t += ATTEND_BLOCK) {
        const int64_t n = s->tokens - t < ATTEND_BLOCK ? s->tokens - t : ATTEND_BLOCK;
        attend_load_queries(n, s->width, q + t * stride, stride, a->scale, a->q, a->ld);
        rows_load(n, s->width, dy + t * stride, stride, a->dy, a->ld);
        attend_block_weights(s, a, keys, statistics, t, n, at, prefix);
        gemm_serial(GEMM_TN, count, a->ld, n, a->p, ATTEND_BLOCK, a->dy, a->ld, a->dv, a->ld, 1);
        gemm_serial(GEMM_TN, count, a->ld, n, a->dp, ATTEND_BLOCK, a->q, a->ld, a->dk, a->ld, 1);
        gemm_serial(GEMM_NN, n, a->ld, count, a->dp, ATTEND_BLOCK, a->keys, a->ld, a->dq_all + t * a->ld,
                    a->ld, 1);
    }
    rows_add_to(count, s->width, 1.0f, a->dk, a->ld, dk, stride);
    rows_add_to(count, s->width, 1.0f, a->dv, a->ld, dv, stride);
}

static int64_t attend_block_count(int64_t at, int64_t keys) {
    return keys - at < ATTEND_BLOCK ? keys - at : ATTEND_BLOCK;
}

/* All keys of head i. */
static void attend_backward_head(const AttendShape *s, AttendScratch *a, const float *q, const float *cache,
                                 const float *statistics, const float *dy, float *dk, float *dv, float *dkp,
                                 float *dvp, int64_t i) {
    const int64_t stride = s->heads * s->width, b = i / s->heads, keys = attend_key_rows(s);
    const int64_t offset = i % s->heads * s->width;
    const float *head = cache + i * attend_cache_floats(s);
    q += b * s->tokens * stride + offset;
    dy += b * s->tokens * stride + offset;
    statistics += i * s->tokens * 2;
    for (int64_t at = 0; at < s->prefix; at += ATTEND_BLOCK) {
        const int64_t to = (b * s->prefix + at) * stride + offset;
        attend_backward_keys(s, a, q, dy, head, statistics, dkp + to, dvp + to, at, at,
                             attend_block_count(at, s->prefix), 1);
    }
    for (int64_t at = 0; at < keys; at += ATTEND_BLOCK) {
        const int64_t to = (b * keys + at) * stride + offset;
        attend_backward_keys(s, a, q, dy, head, statistics, dk + to, dv + to, attend_ring(s, at), at,
                             attend_block_count(at, keys), 0);
    }
}

static void attend_backward_heads(ParallelPart part, const AttendShape *s, const float *q, const float *cache,
                                  const float *y, const float *statistics, const float *dy, float *dq,
                                  float *dk, float *dv, float *dkp, float *dvp, float *workspace) {
    const int64_t floats = attend_workspace_floats(s), stride = s->heads * s->width;
    float *mine = workspace + part.thread * floats;
    AttendScratch a;
    memset(mine, 0, (size_t)floats * sizeof(float));
    attend_layout(s, &a, mine);
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
        a.slope = s->slopes ? s->slopes[i % s->heads] : 0.0f;
        memset(a.dq_all, 0, (size_t)(s->tokens * a.ld) * sizeof(float));
        for (int64_t t = 0; t < s->tokens; t++)
            a.delta[t] = flat_dot(s->width, dy + at + t * stride, y + at + t * stride);
        attend_backward_head(s, &a, q, cache, statistics, dy, dk, dv, dkp, dvp, i);
        rows_add_to(s->tokens, s->width, a.scale, a.dq_all, a.ld, dq + at, stride);
    }
}

static void attend_backward(const AttendShape *s, const float *q, const float *cache, const float *y,
                            const float *statistics, const float *dy, float *dq, float *dk, float *dv,
                            float *dkp, float *dvp, float *workspace) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(
        parallel_least(heads), heads, 1,
        attend_backward_heads(part, s, q, cache, y, statistics, dy, dq, dk, dv, dkp, dvp, workspace));
}

const struct attend_kernel KERNEL(attend_kernel) = {attend_cache_floats,  attend_workspace_floats,
                                                    attend_append_prefix, attend_append,
                                                    attend_forward,       attend_backward};
