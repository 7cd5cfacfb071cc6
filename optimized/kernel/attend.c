#pragma once
#include "kernel/attend.h"
#include "kernel/gemm.c"
#include "vec/rows.h"

static int64_t attend_cache_floats(const AttendShape *s) {
    return s->capacity * (s->width + padded(s->width));
}

typedef struct {
    int64_t ld;
    float scale, *q, *p, *o, *dp, *dq_all, *delta, *dk, *dv, *keys, *values_t, *dy;
    float top[ATTEND_BLOCK], sum[ATTEND_BLOCK];
} AttendScratch;

static int64_t attend_layout(const AttendShape *s, AttendScratch *a, float *base) {
    float *cursor = base;
    a->ld = padded(s->width);
    a->scale = 1.0f / sqrtf((float)s->width);
    const int64_t block = ATTEND_BLOCK * a->ld, square = ATTEND_BLOCK * ATTEND_BLOCK;
    float **each[] = {&a->q, &a->o, &a->dk, &a->dv, &a->keys, &a->values_t, &a->dy, &a->p, &a->dp};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        *each[i] = cursor;
        cursor += i < 7 ? block : square;
    }
    a->dq_all = cursor;
    a->delta = cursor += s->tokens * a->ld;
    return cursor + padded(s->tokens) - base;
}

static int64_t attend_workspace_floats(const AttendShape *s) {
    static float origin[1];
    AttendScratch a;
    return attend_layout(s, &a, origin);
}

static const float *attend_keys(const AttendShape *s, const float *head, int64_t at) {
    return head + at * s->width;
}
static const float *attend_values(const AttendShape *s, const float *head, int64_t at) {
    return head + s->capacity * s->width + at * padded(s->width);
}

static void attend_append(const AttendShape *s, const float *k, const float *v, float *cache) {
    const int64_t heads = s->batch * s->heads, stride = s->heads * s->width;
#pragma omp parallel for schedule(static) if (parallel_threads() > 1)
    for (int64_t i = 0; i < heads; i++) {
        float *head = cache + i * attend_cache_floats(s);
        const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
        for (int64_t t = 0; t < s->tokens; t++) {
            const int64_t position = s->past + t, lane = position % ATTEND_BLOCK;
            float *block = head + (position - lane) * s->width;
            for (int64_t c = 0; c < s->width; c++) block[c * ATTEND_BLOCK + lane] = k[at + t * stride + c];
        }
        rows_load(s->tokens, s->width, v + at, stride,
                  head + s->capacity * s->width + s->past * padded(s->width), padded(s->width));
    }
}

INLINE Vec attend_visible(Vec score, int64_t lane, int64_t visible) {
    static const float index[VEC_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vec_less(vec_load(index), vec_set1((float)(visible - lane)), score, vec_set1(-INFINITY));
}

/* One row of scores becomes exp(s - m); the running maximum, sum and output row are rescaled when the maximum
 * grows. */
INLINE void attend_softmax_row(float *p, int64_t visible, float *top, float *sum, float *o, int64_t ld) {
    Vec s[ATTEND_BLOCK / VEC_LANES], total = vec_zero();
    Vec high = vec_set1(-INFINITY);
#pragma GCC unroll 4
    for (int j = 0; j < ATTEND_BLOCK / VEC_LANES; j++) {
        s[j] = vec_load(p + j * VEC_LANES);
        if (visible < ATTEND_BLOCK) s[j] = attend_visible(s[j], j * VEC_LANES, visible);
        high = vec_max(high, s[j]);
    }
    const float row_top = vec_top(high);
    if (row_top > *top) {
        const Vec rescale = vec_exp(vec_set1(*top - row_top));
        FOR_VECTORS(j, ld) vec_store(o + j, vec_mul(rescale, vec_load(o + j)));
        float lanes[VEC_LANES];
        vec_store(lanes, rescale);
        *sum *= lanes[0];
        *top = row_top;
    }
#pragma GCC unroll 4
    for (int j = 0; j < ATTEND_BLOCK / VEC_LANES; j++) {
        const Vec e = vec_exp(vec_sub(s[j], vec_set1(*top)));
        vec_store(p + j * VEC_LANES, e);
        total = vec_add(total, e);
    }
    *sum += vec_sum(total);
}

/* ATTEND_BLOCK queries of one head against all keys they see. */
static void attend_forward_block(const AttendShape *s, AttendScratch *a, const float *q, const float *head,
                                 float *y, float *statistics, int64_t t, int64_t n) {
    const int64_t stride = s->heads * s->width, last = s->past + t + n - 1, keys = s->past + s->tokens;
    rows_load(n, s->width, q, stride, a->q, a->ld);
    FOR_VECTORS(j, n * a->ld) vec_store(a->q + j, vec_mul(vec_set1(a->scale), vec_load(a->q + j)));
    memset(a->o, 0, (size_t)(n * a->ld) * sizeof(float));
    for (int64_t r = 0; r < n; r++) a->top[r] = -INFINITY, a->sum[r] = 0.0f;
    for (int64_t at = 0; at <= last; at += ATTEND_BLOCK) {
        gemm_serial(GEMM_NN, n, ATTEND_BLOCK, s->width, a->q, a->ld, attend_keys(s, head, at), ATTEND_BLOCK,
                    a->p, ATTEND_BLOCK, 0);
        for (int64_t r = 0; r < n; r++) {
            const int64_t visible = s->past + t + r - at + 1;
            float *p = a->p + r * ATTEND_BLOCK;
            if (visible > 0)
                attend_softmax_row(p, visible, &a->top[r], &a->sum[r], a->o + r * a->ld, a->ld);
            else
                memset(p, 0, ATTEND_BLOCK * sizeof(float));
        }
        const int64_t count = keys - at < ATTEND_BLOCK ? keys - at : ATTEND_BLOCK;
        gemm_serial(GEMM_NN, n, a->ld, count, a->p, ATTEND_BLOCK, attend_values(s, head, at), a->ld, a->o,
                    a->ld, 1);
    }
    for (int64_t r = 0; r < n; r++) {
        const float inverse = 1.0f / a->sum[r];
        FOR_VECTORS(j, a->ld) {
            vec_store(a->o + r * a->ld + j, vec_mul(vec_set1(inverse), vec_load(a->o + r * a->ld + j)));
        }
        if (statistics) statistics[2 * r] = a->top[r], statistics[2 * r + 1] = inverse;
    }
    rows_save(n, s->width, a->o, a->ld, y, stride);
}

static void attend_forward(const AttendShape *s, const float *q, const float *cache, float *y,
                           float *statistics, float *workspace) {
    const int64_t heads = s->batch * s->heads, blocks = (s->tokens + ATTEND_BLOCK - 1) / ATTEND_BLOCK;
    const int64_t floats = attend_workspace_floats(s), head_floats = attend_cache_floats(s);
    const int threads = heads * blocks < parallel_threads() ? (int)(heads * blocks) : parallel_threads();
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        AttendScratch a;
        attend_layout(s, &a, workspace + parallel_index() * floats);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < heads * blocks; i++) {
            const int64_t head = i % heads, t = (blocks - 1 - i / heads) * ATTEND_BLOCK;
            const int64_t at = (((head / s->heads) * s->tokens + t) * s->heads + head % s->heads) * s->width;
            attend_forward_block(s, &a, q + at, cache + head * head_floats, y + at,
                                 statistics ? statistics + (head * s->tokens + t) * 2 : 0, t,
                                 s->tokens - t < ATTEND_BLOCK ? s->tokens - t : ATTEND_BLOCK);
        }
    }
}

/* p = exp(s - m) / sum in a->p and dS = p (dP - delta) in a->dp, for queries t.. against keys at.. */
static void attend_block_weights(const AttendShape *s, AttendScratch *a, const float *keys,
                                 const float *statistics, int64_t t, int64_t n, int64_t at) {
    gemm_serial(GEMM_NN, n, ATTEND_BLOCK, s->width, a->q, a->ld, keys, ATTEND_BLOCK, a->p, ATTEND_BLOCK, 0);
    gemm_serial(GEMM_NN, n, ATTEND_BLOCK, s->width, a->dy, a->ld, a->values_t, ATTEND_BLOCK, a->dp,
                ATTEND_BLOCK, 0);
    for (int64_t r = 0; r < n; r++) {
        const int64_t visible = t + r - at + 1;
        const Vec top = vec_set1(statistics[2 * (t + r)]), inverse = vec_set1(statistics[2 * (t + r) + 1]);
        const Vec delta = vec_set1(a->delta[t + r]);
        for (int64_t j = 0; j < ATTEND_BLOCK; j += VEC_LANES) {
            float *p = a->p + r * ATTEND_BLOCK + j, *dp = a->dp + r * ATTEND_BLOCK + j;
            Vec score = vec_load(p);
            if (visible < ATTEND_BLOCK) score = attend_visible(score, j, visible);
            const Vec weight = vec_mul(vec_exp(vec_sub(score, top)), inverse);
            vec_store(p, weight);
            vec_store(dp, vec_mul(weight, vec_sub(vec_load(dp), delta)));
        }
    }
}

static void attend_backward_keys(const AttendShape *s, AttendScratch *a, const float *q, const float *dy,
                                 const float *head, const float *statistics, float *dk, float *dv,
                                 int64_t at) {
    const int64_t stride = s->heads * s->width, left = s->tokens - at;
    const int64_t count = left < ATTEND_BLOCK ? left : ATTEND_BLOCK;
    const float *keys = attend_keys(s, head, at);
    for (int64_t c = 0; c < s->width; c++)
        for (int64_t r = 0; r < ATTEND_BLOCK; r++) a->keys[r * a->ld + c] = keys[c * ATTEND_BLOCK + r];
    rows_transpose(ATTEND_BLOCK, a->ld, attend_values(s, head, at), a->ld, a->values_t, ATTEND_BLOCK);
    memset(a->dk, 0, (size_t)(ATTEND_BLOCK * a->ld) * sizeof(float));
    memset(a->dv, 0, (size_t)(ATTEND_BLOCK * a->ld) * sizeof(float));
    for (int64_t t = at; t < s->tokens; t += ATTEND_BLOCK) {
        const int64_t n = s->tokens - t < ATTEND_BLOCK ? s->tokens - t : ATTEND_BLOCK;
        rows_load(n, s->width, q + t * stride, stride, a->q, a->ld);
        FOR_VECTORS(j, n * a->ld) vec_store(a->q + j, vec_mul(vec_set1(a->scale), vec_load(a->q + j)));
        rows_load(n, s->width, dy + t * stride, stride, a->dy, a->ld);
        attend_block_weights(s, a, keys, statistics, t, n, at);
        gemm_serial(GEMM_TN, count, a->ld, n, a->p, ATTEND_BLOCK, a->dy, a->ld, a->dv, a->ld, 1);
        gemm_serial(GEMM_TN, count, a->ld, n, a->dp, ATTEND_BLOCK, a->q, a->ld, a->dk, a->ld, 1);
        gemm_serial(GEMM_NN, n, a->ld, count, a->dp, ATTEND_BLOCK, a->keys, a->ld, a->dq_all + t * a->ld,
                    a->ld, 1);
    }
    rows_add_to(count, s->width, 1.0f, a->dk, a->ld, dk + at * stride, stride);
    rows_add_to(count, s->width, 1.0f, a->dv, a->ld, dv + at * stride, stride);
}

static void attend_backward(const AttendShape *s, const float *q, const float *cache, const float *y,
                            const float *statistics, const float *dy, float *dq, float *dk, float *dv,
                            float *workspace) {
    const int64_t heads = s->batch * s->heads, floats = attend_workspace_floats(s),
                  stride = s->heads * s->width;
    const int threads = heads < parallel_threads() ? (int)heads : parallel_threads();
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        AttendScratch a;
        float *mine = workspace + parallel_index() * floats;
        memset(mine, 0, (size_t)floats * sizeof(float));
        attend_layout(s, &a, mine);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < heads; i++) {
            const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
            memset(a.dq_all, 0, (size_t)(s->tokens * a.ld) * sizeof(float));
            for (int64_t t = 0; t < s->tokens; t++)
                a.delta[t] = flat_dot(s->width, dy + at + t * stride, y + at + t * stride);
            for (int64_t k = 0; k < s->tokens; k += ATTEND_BLOCK)
                attend_backward_keys(s, &a, q + at, dy + at, cache + i * attend_cache_floats(s),
                                     statistics + i * s->tokens * 2, dk + at, dv + at, k);
            rows_add_to(s->tokens, s->width, a.scale, a.dq_all, a.ld, dq + at, stride);
        }
    }
}

static const struct attend_kernel attend_kernel = {attend_cache_floats, attend_workspace_floats,
                                                   attend_append, attend_forward, attend_backward};
