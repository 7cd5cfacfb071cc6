#include "kernel/relative.h"
#include "base/parallel.h"
#include "kernel/serial.h"
#include "vec/rows.h"

/* 64 queries against n keys: scores or weights, what p says of distances, and the gradients of both. */
typedef struct {
    int64_t ld;
    float scale, *p, *shifted, *dp, *dshifted;
    float delta[RELATIVE_BLOCK];
} RelativeScratch;

/* Lays the scratch out from `base`, or only measures it (NULL). Its size in floats. */
static int64_t relative_layout(const RelativeShape *s, RelativeScratch *a, float *base) {
    int64_t used = 0;
    a->ld = padded(s->keys);
    a->scale = 1.0f / sqrtf((float)s->width);
    float **each[] = {&a->p, &a->shifted, &a->dp, &a->dshifted};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        *each[i] = rows_part(base, &used, RELATIVE_BLOCK * a->ld);
    return used;
}

static int64_t relative_workspace_floats(const RelativeShape *s) {
    RelativeScratch a;
    return relative_layout(s, &a, 0);
}

/* Where a sequence and head begin; floats from one row to the next. */
typedef struct {
    int64_t query, key, head, stride;
} RelativePlace;

static RelativePlace relative_place(const RelativeShape *s, int64_t b, int64_t h) {
    const int64_t stride = s->heads * s->width, head = h * s->width;
    return (RelativePlace){b * s->tokens * stride + head, b * s->key_rows * stride + head, head, stride};
}

/* n queries from t: keys that the last of them sees. */
static int64_t relative_seen(const RelativeShape *s, int64_t t, int64_t n) {
    return s->keys - s->tokens + t + n;
}

/* Scores of n queries from t against the keys that the last of them sees; key j of query r meets column n - 1 - r + j of
 * the distances'. */
static void relative_scores(const RelativeShape *s, RelativeScratch *a, const RelativeInput *in,
                            const RelativePlace *at, int64_t t, int64_t n) {
    const int64_t seen = relative_seen(s, t, n), query = at->query + t * at->stride;
    const float *r = in->r + (s->distances - seen) * at->stride + at->head;
    gemm_serial(GEMM_NT, n, seen, s->width, in->q + query, at->stride, in->k + at->key, at->stride, a->p,
                a->ld, 0);
    gemm_serial(GEMM_NT, n, seen, s->width, in->p + query, at->stride, r, at->stride, a->shifted, a->ld, 0);
    for (int64_t i = 0; i < n; i++) {
        const int64_t own = seen - n + i + 1, shift = n - 1 - i;
        float *p = a->p + i * a->ld, *shifted = a->shifted + i * a->ld + shift;
        FOR_VECTORS (j, own) {
            const int64_t lanes = vec_lanes(j, own);
            const Vec sum = vec_add(vec_load_n(p + j, lanes), vec_load_n(shifted + j, lanes));
            vec_store_n(p + j, vec_mul(vec_set1(a->scale), sum), lanes);
        }
        for (int64_t j = own; j < seen; j++) p[j] = -INFINITY;
    }
}

/* Lanes behind the last score become -inf. */
INLINE Vec relative_load(const float *p, int64_t j, int64_t own) {
    const Vec score = vec_load_n(p + j, vec_lanes(j, own));
    return vec_less(vec_index(), vec_set1((float)(own - j)), score, vec_set1(-INFINITY));
}

/* One row of `own` scores becomes its softmax; the maximum and the inverse of the sum are returned by pointer. */
static void relative_softmax(float *p, int64_t own, float *top, float *inverse) {
    Vec highest = vec_set1(-INFINITY), sum = vec_zero();
    FOR_VECTORS (j, own) highest = vec_max(highest, relative_load(p, j, own));
    *top = vec_top(highest);
    FOR_VECTORS (j, own) {
        const Vec e = vec_exp_negative(vec_sub(relative_load(p, j, own), vec_set1(*top)));
        vec_store_n(p + j, e, vec_lanes(j, own));
        sum = vec_add(sum, e);
    }
    *inverse = 1.0f / vec_sum(sum);
    FOR_VECTORS (j, own) {
        const int64_t lanes = vec_lanes(j, own);
        vec_store_n(p + j, vec_mul(vec_set1(*inverse), vec_load_n(p + j, lanes)), lanes);
    }
}

static void relative_forward_block(const RelativeShape *s, RelativeScratch *a, const RelativeInput *in,
                                   const RelativePlace *at, float *y, float *statistics, int64_t t,
                                   int64_t n) {
    const int64_t seen = relative_seen(s, t, n);
    relative_scores(s, a, in, at, t, n);
    for (int64_t i = 0; i < n; i++) {
        float *p = a->p + i * a->ld, top, inverse;
        const int64_t own = seen - n + i + 1;
        relative_softmax(p, own, &top, &inverse);
        memset(p + own, 0, (size_t)(seen - own) * sizeof(float));
        if (statistics) statistics[2 * (t + i)] = top, statistics[2 * (t + i) + 1] = inverse;
    }
    gemm_serial(GEMM_NN, n, s->width, seen, a->p, a->ld, in->v + at->key, at->stride,
                y + at->query + t * at->stride, at->stride, 0);
}

static int64_t relative_blocks(const RelativeShape *s) {
    return (s->tokens + RELATIVE_BLOCK - 1) / RELATIVE_BLOCK;
}

/* Blocks of queries, those that see most first. */
static void relative_forward_tasks(ParallelPart part, const RelativeShape *s, const RelativeInput *in,
                                   float *y, float *statistics, float *workspace) {
    const int64_t heads = s->batch * s->heads, blocks = relative_blocks(s);
    RelativeScratch a;
    relative_layout(s, &a, workspace + part.thread * relative_workspace_floats(s));
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t head = i % heads, t = (blocks - 1 - i / heads) * RELATIVE_BLOCK;
        const int64_t n = s->tokens - t < RELATIVE_BLOCK ? s->tokens - t : RELATIVE_BLOCK;
        const RelativePlace at = relative_place(s, head / s->heads, head % s->heads);
        relative_forward_block(s, &a, in, &at, y, statistics ? statistics + head * s->tokens * 2 : 0, t, n);
    }
}

static void relative_forward(const RelativeShape *s, const RelativeInput *in, float *y, float *statistics,
                             float *workspace) {
    const int64_t tasks = s->batch * s->heads * relative_blocks(s);
    PARALLEL_TASKS(parallel_least(tasks), tasks,
                   relative_forward_tasks(part, s, in, y, statistics, workspace));
}

/* Weights in a->p; dS = p (dP - delta) scale in a->dp, and the same shifted to the columns of distances. */
static void relative_block_weights(RelativeScratch *a, const float *statistics, int64_t seen, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t own = seen - n + i + 1;
        float *p = a->p + i * a->ld, *dp = a->dp + i * a->ld, *shifted = a->dshifted + i * a->ld;
        const Vec top = vec_set1(statistics[2 * i]), inverse = vec_set1(statistics[2 * i + 1]),
                  delta = vec_set1(a->delta[i]), scale = vec_set1(a->scale);
        memset(shifted, 0, (size_t)a->ld * sizeof(float));
        FOR_VECTORS (j, own) {
            const int64_t lanes = vec_lanes(j, own);
            const Vec weight = vec_mul(vec_exp_negative(vec_sub(relative_load(p, j, own), top)), inverse);
            const Vec ds = vec_mul(vec_mul(weight, vec_sub(vec_load_n(dp + j, lanes), delta)), scale);
            vec_store_n(p + j, weight, lanes);
            vec_store_n(dp + j, ds, lanes);
            vec_store_n(shifted + n - 1 - i + j, ds, lanes);
        }
        memset(p + own, 0, (size_t)(seen - own) * sizeof(float));
        memset(dp + own, 0, (size_t)(seen - own) * sizeof(float));
    }
}

static void relative_backward_block(const RelativeShape *s, RelativeScratch *a, const RelativeInput *in,
                                    const float *y, const float *statistics, const float *dy,
                                    const RelativeGradient *g, const RelativePlace *at, int64_t t,
                                    int64_t n) {
    const int64_t seen = relative_seen(s, t, n), query = at->query + t * at->stride, stride = at->stride;
    const int64_t distance = (s->distances - seen) * stride + at->head, width = s->width;
    relative_scores(s, a, in, at, t, n);
    for (int64_t i = 0; i < n; i++)
        a->delta[i] = flat_dot(width, dy + query + i * stride, y + query + i * stride);
    gemm_serial(GEMM_NT, n, seen, width, dy + query, stride, in->v + at->key, stride, a->dp, a->ld, 0);
    relative_block_weights(a, statistics + 2 * t, seen, n);
    gemm_serial(GEMM_TN, seen, width, n, a->p, a->ld, dy + query, stride, g->v + at->key, stride, 1);
    gemm_serial(GEMM_NN, n, width, seen, a->dp, a->ld, in->k + at->key, stride, g->q + query, stride, 1);
    gemm_serial(GEMM_TN, seen, width, n, a->dp, a->ld, in->q + query, stride, g->k + at->key, stride, 1);
    gemm_serial(GEMM_NN, n, width, seen, a->dshifted, a->ld, in->r + distance, stride, g->p + query, stride,
                1);
    gemm_serial(GEMM_TN, seen, width, n, a->dshifted, a->ld, in->p + query, stride, g->r + distance, stride,
                1);
}

static void relative_backward_heads(ParallelPart part, const RelativeShape *s, const RelativeInput *in,
                                    const float *y, const float *statistics, const float *dy,
                                    const RelativeGradient *g, float *workspace) {
    RelativeScratch a;
    relative_layout(s, &a, workspace + part.thread * relative_workspace_floats(s));
    for (int64_t h = part.begin; h < part.end; h++)
        for (int64_t b = 0; b < s->batch; b++) {
            const RelativePlace at = relative_place(s, b, h);
            const float *of_head = statistics + (b * s->heads + h) * s->tokens * 2;
            for (int64_t t = 0; t < s->tokens; t += RELATIVE_BLOCK)
                relative_backward_block(s, &a, in, y, of_head, dy, g, &at, t,
                                        s->tokens - t < RELATIVE_BLOCK ? s->tokens - t : RELATIVE_BLOCK);
        }
}

/* Heads are shared out; r belongs to all sequences, which therefore follow each other. */
static void relative_backward(const RelativeShape *s, const RelativeInput *in, const float *y,
                              const float *statistics, const float *dy, const RelativeGradient *g,
                              float *workspace) {
    PARALLEL_PARTS(parallel_least(s->heads), s->heads, 1,
                   relative_backward_heads(part, s, in, y, statistics, dy, g, workspace));
}

const struct relative_kernel KERNEL(relative_kernel) = {relative_workspace_floats, relative_forward,
                                                        relative_backward};
