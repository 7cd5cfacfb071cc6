#include "kernel/lsh.h"
#include "base/parallel.h"
#include "kernel/serial.h"
#include "vec/rows.h"

enum { LSH_BLOCK = 64 }; /* tokens whose projections are one product */
enum { LSH_TILE = 4 };   /* vectors of keys at once */

static int64_t lsh_half(const LshShape *s) { return s->buckets / 2; }

/* Floats of one ring: keys, then values. */
static int64_t lsh_ring_floats(const LshShape *s) {
    return s->width * padded(s->window) + s->window * padded(s->width);
}

static int64_t lsh_rings(const LshShape *s) { return s->rounds * s->buckets; }

static int64_t lsh_state_floats(const LshShape *s) {
    return lsh_rings(s) * lsh_ring_floats(s) + padded(lsh_rings(s));
}

/* Forward: projections of a block of rows, scores of all rounds, one key, value and read. Backward: rows of a whole head
 * (x, keys, values and gradients), one token's scores and their gradients. */
typedef struct {
    int64_t tokens, ld, lp, ls; /* strides of rows, projections, one round's scores */
    float *project, *score, *dscore, *row, *x, *key, *v, *dy, *dx, *dkey, *dv;
} LshScratch;

/* Lays the scratch out from `base`, or only measures it (NULL). Its size in floats. */
static int64_t lsh_layout(const LshShape *s, int backward, LshScratch *a, float *base) {
    int64_t used = 0;
    a->tokens = s->tokens < LSH_BLOCK ? s->tokens : LSH_BLOCK;
    a->ld = padded(s->width), a->lp = padded(s->rounds * lsh_half(s)), a->ls = padded(s->window);
    a->project = rows_part(base, &used, a->tokens * a->lp);
    a->score = rows_part(base, &used, s->rounds * a->ls);
    a->row = rows_part(base, &used, a->ld);
    if (!backward) return used;
    a->dscore = rows_part(base, &used, s->rounds * a->ls);
    float **each[] = {&a->x, &a->key, &a->v, &a->dy, &a->dx, &a->dkey, &a->dv};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        *each[i] = rows_part(base, &used, s->tokens * a->ld);
    return used;
}

static int64_t lsh_workspace_floats(const LshShape *s, int backward) {
    LshScratch a;
    return lsh_layout(s, backward, &a, 0);
}

/* Of one head: for every round and token the one before it in its bucket; the last one of every bucket; whom one token
 * sees. */
static int64_t lsh_index_count(const LshShape *s) {
    return s->rounds * s->tokens + lsh_rings(s) + s->rounds * s->window;
}

/* project (n x rounds x half) = x R of n rows of one head. */
static void lsh_project(const LshShape *s, LshScratch *a, int64_t n, const float *x, const float *rotations) {
    const int64_t columns = s->rounds * lsh_half(s);
    if (columns)
        gemm_serial(GEMM_NN, n, columns, s->width, x, s->heads * s->width, rotations, columns, a->project,
                    a->lp, 0);
}

static int64_t lsh_bucket(const LshShape *s, const float *project, int64_t round) {
    const int64_t half = lsh_half(s);
    const float *y = project + round * half;
    int64_t best = 0;
    float top = half ? y[0] : 0.0f;
    for (int64_t i = 1; i < 2 * half; i++) {
        const float each = i < half ? y[i] : -y[i - half];
        if (each > top) top = each, best = i;
    }
    return best;
}

/* What makes a row of x its key. */
static float lsh_inverse(const LshShape *s, const float *x) {
    return inverse_root(flat_dot(s->width, x, x) / (float)s->width + s->eps) / sqrtf((float)s->width);
}

/* Where a ring's values are, its next slot, and how many slots are filled. */
static float *lsh_values(const LshShape *s, float *ring) { return ring + s->width * padded(s->window); }
static int64_t lsh_slot(const LshShape *s, float count) { return (int64_t)count % s->window; }
static int64_t lsh_filled(const LshShape *s, float count) {
    return (int64_t)count < s->window ? (int64_t)count : s->window;
}

/* Products of x with `count` vectors of keys, rows ls apart. */
INLINE void lsh_products(const LshShape *s, const float *x, const float *keys, int64_t ls, float *score,
                         const int count) {
    Vec sum[LSH_TILE];
    for (int i = 0; i < count; i++) sum[i] = vec_zero();
    for (int64_t c = 0; c < s->width; c++)
        for (int i = 0; i < count; i++)
            sum[i] = vec_fma(vec_set1(x[c]), vec_load(keys + c * ls + i * VEC_LANES), sum[i]);
    for (int i = 0; i < count; i++) vec_store(score + i * VEC_LANES, sum[i]);
}

/* Scores of the n filled slots of a ring, -inf behind them up to a whole vector; the largest so far. */
static Vec lsh_scores(const LshShape *s, const float *x, const float *ring, int64_t n, float *score,
                      Vec top) {
    const int64_t ls = padded(s->window);
    int64_t at = 0;
    for (; at + LSH_TILE * VEC_LANES <= padded(n); at += LSH_TILE * VEC_LANES)
        lsh_products(s, x, ring + at, ls, score + at, LSH_TILE);
    switch ((padded(n) - at) / VEC_LANES) {
    case 3:
        lsh_products(s, x, ring + at, ls, score + at, 3);
        break;
    case 2:
        lsh_products(s, x, ring + at, ls, score + at, 2);
        break;
    case 1:
        lsh_products(s, x, ring + at, ls, score + at, 1);
    }
    FOR_VECTORS (j, n) {
        const Vec seen =
            vec_less(vec_index(), vec_set1((float)(n - j)), vec_load(score + j), vec_set1(-INFINITY));
        vec_store(score + j, seen);
        top = vec_max(top, seen);
    }
    return top;
}

/* Scores become their exponentials; the sum so far. */
static Vec lsh_exponentials(int64_t n, float top, float *score, Vec sum) {
    FOR_VECTORS (j, n) {
        const Vec e = vec_exp_negative(vec_sub(vec_load(score + j), vec_set1(top)));
        vec_store(score + j, e);
        sum = vec_add(sum, e);
    }
    return sum;
}

/* y += sum over i of factor[i] times row seen[i], or row i where seen is NULL, `count` vectors of columns. */
INLINE void lsh_gather_columns(const int count, int64_t n, int64_t ld, const float *factor, const float *rows,
                               const int32_t *seen, float *y) {
    Vec sum[LSH_TILE];
    for (int v = 0; v < count; v++) sum[v] = vec_load(y + v * VEC_LANES);
    for (int64_t i = 0; i < n; i++) {
        const float *row = rows + (seen ? seen[i] : i) * ld;
        for (int v = 0; v < count; v++)
            sum[v] = vec_fma(vec_set1(factor[i]), vec_load(row + v * VEC_LANES), sum[v]);
    }
    for (int v = 0; v < count; v++) vec_store(y + v * VEC_LANES, sum[v]);
}

static void lsh_gather(int64_t n, int64_t ld, const float *factor, const float *rows, const int32_t *seen,
                       float *y) {
    int64_t j = 0;
    for (; j + LSH_TILE * VEC_LANES <= ld; j += LSH_TILE * VEC_LANES)
        lsh_gather_columns(LSH_TILE, n, ld, factor, rows + j, seen, y + j);
    for (; j < ld; j += VEC_LANES) lsh_gather_columns(1, n, ld, factor, rows + j, seen, y + j);
}

/* The rings of one head, and one token's of them: number round x buckets + bucket. */
typedef struct {
    float *rings, *count;
} LshState;

static float *lsh_ring(const LshShape *s, const LshState state, int64_t i) {
    return state.rings + i * lsh_ring_floats(s);
}

/* y (ld) of one token from its rings, or v where they are empty. */
static void lsh_look(const LshShape *s, LshScratch *a, const LshState state, const float *project,
                     const float *x, const float *v, float *y) {
    Vec top = vec_set1(-INFINITY), sum = vec_zero();
    int64_t seen = 0;
    for (int64_t r = 0; r < s->rounds; r++) {
        const int64_t i = r * s->buckets + lsh_bucket(s, project, r), n = lsh_filled(s, state.count[i]);
        top = lsh_scores(s, x, lsh_ring(s, state, i), n, a->score + r * a->ls, top);
        seen += n;
    }
    if (!seen) {
        rows_load(1, s->width, v, s->width, y, a->ld);
        return;
    }
    FOR_VECTORS (j, a->ld) vec_store(y + j, vec_zero());
    const float largest = vec_top(top);
    for (int64_t r = 0; r < s->rounds; r++) {
        const int64_t i = r * s->buckets + lsh_bucket(s, project, r), n = lsh_filled(s, state.count[i]);
        const float *values = lsh_values(s, lsh_ring(s, state, i)), *weight = a->score + r * a->ls;
        sum = lsh_exponentials(n, largest, a->score + r * a->ls, sum);
        lsh_gather(n, a->ld, weight, values, 0, y);
    }
    const Vec total = vec_set1(vec_sum(sum));
    FOR_VECTORS (j, a->ld) vec_store(y + j, vec_div(vec_load(y + j), total));
}

/* One token goes into its rings. */
static void lsh_keep(const LshShape *s, const LshState state, const float *project, const float *x,
                     const float *v) {
    const float inverse = lsh_inverse(s, x);
    const int64_t ls = padded(s->window), ld = padded(s->width);
    for (int64_t r = 0; r < s->rounds; r++) {
        const int64_t i = r * s->buckets + lsh_bucket(s, project, r), slot = lsh_slot(s, state.count[i]);
        float *ring = lsh_ring(s, state, i);
        for (int64_t c = 0; c < s->width; c++) ring[c * ls + slot] = x[c] * inverse;
        rows_load(1, s->width, v, s->width, lsh_values(s, ring) + slot * ld, ld);
        state.count[i] += 1.0f;
        if (state.count[i] == 2.0f * (float)s->window) state.count[i] = (float)s->window;
    }
}

static void lsh_forward_head(const LshShape *s, LshScratch *a, const float *x, const float *v,
                             const float *rotations, float *state, float *y) {
    const int64_t stride = s->heads * s->width;
    const LshState rings = {state, state + lsh_rings(s) * lsh_ring_floats(s)};
    for (int64_t from = 0; from < s->tokens; from += a->tokens) {
        const int64_t n = s->tokens - from < a->tokens ? s->tokens - from : a->tokens;
        lsh_project(s, a, n, x + from * stride, rotations);
        for (int64_t t = 0; t < n; t++) {
            const int64_t at = (from + t) * stride;
            const float *project = a->project + t * a->lp;
            lsh_look(s, a, rings, project, x + at, v + at, a->row);
            lsh_keep(s, rings, project, x + at, v + at);
            rows_save(1, s->width, a->row, a->ld, y + at, stride);
        }
    }
}

static void lsh_forward_heads(ParallelPart part, const LshShape *s, const float *x, const float *v,
                              const float *rotations, float *state, float *y, float *workspace) {
    const int64_t turns = s->width * s->rounds * lsh_half(s);
    LshScratch a;
    lsh_layout(s, 0, &a, workspace + part.thread * lsh_workspace_floats(s, 0));
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
        lsh_forward_head(s, &a, x + at, v + at, rotations + i % s->heads * turns,
                         state + i * lsh_state_floats(s), y + at);
    }
}

static void lsh_forward(const LshShape *s, const float *x, const float *v, const float *rotations,
                        float *state, float *y, float *workspace) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1,
                   lsh_forward_heads(part, s, x, v, rotations, state, y, workspace));
}

/* before (rounds x tokens): who came before every token in its bucket, or -1; last (rounds x buckets). */
static void lsh_chains(const LshShape *s, LshScratch *a, const float *x, const float *rotations,
                       int32_t *before, int32_t *last) {
    for (int64_t i = 0; i < lsh_rings(s); i++) last[i] = -1;
    for (int64_t from = 0; from < s->tokens; from += a->tokens) {
        const int64_t n = s->tokens - from < a->tokens ? s->tokens - from : a->tokens;
        lsh_project(s, a, n, x + from * s->heads * s->width, rotations);
        for (int64_t t = 0; t < n; t++)
            for (int64_t r = 0; r < s->rounds; r++) {
                int32_t *end = last + r * s->buckets + lsh_bucket(s, a->project + t * a->lp, r);
                before[r * s->tokens + from + t] = *end;
                *end = (int32_t)(from + t);
            }
    }
}

/* x . row seen[i], each summed as row_dot does. */
static void lsh_dots(int64_t n, int64_t ld, const float *x, const float *rows, const int32_t *seen,
                     float *dot) {
    for (int64_t first = 0; first < n; first += VEC_LANES) {
        const int64_t count = vec_lanes(first, n);
        float product[VEC_LANES * VEC_LANES] = {0};
        for (int64_t i = 0; i < count; i++) {
            const float *row = rows + seen[first + i] * ld;
            Vec sum = vec_zero();
            FOR_VECTORS (j, ld) sum = vec_fma(vec_load(x + j), vec_load(row + j), sum);
            vec_store(product + i * VEC_LANES, sum);
        }
        vec_store_n(dot + first, vec_sums(product), count);
    }
}

/* Whom token t sees; returns how many. */
static int64_t lsh_seen(const LshShape *s, int64_t t, const int32_t *before, int32_t *seen) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->rounds; r++) {
        int32_t j = before[r * s->tokens + t];
        for (int64_t left = s->window; left > 0 && j >= 0; left--, j = before[r * s->tokens + j])
            seen[n++] = j;
    }
    return n;
}

/* Scores become their shares of the sum. */
static void lsh_softmax(int64_t n, float *score) {
    Vec top = vec_set1(-INFINITY);
    for (int64_t i = n; i < padded(n); i++) score[i] = -INFINITY;
    FOR_VECTORS (j, n) top = vec_max(top, vec_load(score + j));
    const Vec total = vec_set1(vec_sum(lsh_exponentials(n, vec_top(top), score, vec_zero())));
    FOR_VECTORS (j, n) vec_store(score + j, vec_div(vec_load(score + j), total));
}

INLINE void lsh_add(int64_t ld, float factor, const float *from, float *to) {
    FOR_VECTORS (j, ld) vec_store(to + j, vec_fma(vec_set1(factor), vec_load(from + j), vec_load(to + j)));
}

/* With shares p and dp = dy.v: dscore = p (dp - sum p dp), which goes to the token's x and the keys. */
static void lsh_backward_token(const LshShape *s, LshScratch *a, int64_t t, const int32_t *before,
                               int32_t *seen) {
    const int64_t n = lsh_seen(s, t, before, seen);
    const float *dy = a->dy + t * a->ld, *x = a->x + t * a->ld;
    if (!n) {
        lsh_add(a->ld, 1.0f, dy, a->dv + t * a->ld);
        return;
    }
    lsh_dots(n, a->ld, x, a->key, seen, a->score);
    lsh_softmax(n, a->score);
    lsh_dots(n, a->ld, dy, a->v, seen, a->dscore);
    const float mean = flat_dot(n, a->score, a->dscore);
    for (int64_t i = 0; i < n; i++) {
        lsh_add(a->ld, a->score[i], dy, a->dv + seen[i] * a->ld);
        a->dscore[i] = a->score[i] * (a->dscore[i] - mean);
        lsh_add(a->ld, a->dscore[i], x, a->dkey + seen[i] * a->ld);
    }
    lsh_gather(n, a->ld, a->dscore, a->key, seen, a->dx + t * a->ld);
}

static void lsh_backward_head(const LshShape *s, LshScratch *a, const float *x, const float *v,
                              const float *rotations, const float *dy, float *dx, float *dv, int32_t *index) {
    const int64_t stride = s->heads * s->width, T = s->tokens;
    int32_t *before = index, *last = before + s->rounds * T, *seen = last + lsh_rings(s);
    rows_load(T, s->width, x, stride, a->x, a->ld);
    rows_load(T, s->width, v, stride, a->v, a->ld);
    rows_load(T, s->width, dy, stride, a->dy, a->ld);
    float *sums[] = {a->dx, a->dkey, a->dv};
    for (int i = 0; i < 3; i++) memset(sums[i], 0, (size_t)(T * a->ld) * sizeof(float));
    for (int64_t t = 0; t < T; t++) {
        const float inverse = lsh_inverse(s, x + t * stride);
        rows_scale(1, a->ld, a->ld, &inverse, a->x + t * a->ld, a->key + t * a->ld);
    }
    lsh_chains(s, a, x, rotations, before, last);
    for (int64_t t = 0; t < T; t++) lsh_backward_token(s, a, t, before, seen);
    /* key = x inverse: dx += inverse (dkey - key (key.dkey)) */
    for (int64_t t = 0; t < T; t++) {
        const float inverse = lsh_inverse(s, x + t * stride), *key = a->key + t * a->ld;
        float *dkey = a->dkey + t * a->ld;
        lsh_add(a->ld, -row_dot(a->ld, key, dkey), key, dkey);
        lsh_add(a->ld, inverse, dkey, a->dx + t * a->ld);
    }
    rows_add_to(T, s->width, 1.0f, a->dx, a->ld, dx, stride);
    rows_add_to(T, s->width, 1.0f, a->dv, a->ld, dv, stride);
}

static void lsh_backward_heads(ParallelPart part, const LshShape *s, const float *x, const float *v,
                               const float *rotations, const float *dy, float *dx, float *dv,
                               float *workspace, int32_t *index) {
    const int64_t turns = s->width * s->rounds * lsh_half(s);
    LshScratch a;
    lsh_layout(s, 1, &a, workspace + part.thread * lsh_workspace_floats(s, 1));
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
        lsh_backward_head(s, &a, x + at, v + at, rotations + i % s->heads * turns, dy + at, dx + at, dv + at,
                          index + part.thread * lsh_index_count(s));
    }
}

static void lsh_backward(const LshShape *s, const float *x, const float *v, const float *rotations,
                         const float *dy, float *dx, float *dv, float *workspace, int32_t *index) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1,
                   lsh_backward_heads(part, s, x, v, rotations, dy, dx, dv, workspace, index));
}

const struct lsh_kernel KERNEL(lsh_kernel) = {lsh_state_floats, lsh_workspace_floats, lsh_index_count,
                                              lsh_forward, lsh_backward};
