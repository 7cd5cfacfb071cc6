#include "kernel/favor.h"
#include "base/parallel.h"
#include "kernel/serial.h"
#include "vec/rows.h"

enum { FAVOR_BLOCK = 64 }; /* tokens whose scores are one product */
enum { FAVOR_TILE = 2 };   /* vectors of columns at once */
#define FAVOR_FLOOR 1e-3f  /* added to the features of relu */

static int64_t favor_state_floats(const FavorShape *s) {
    return s->features * padded(s->width) + 2 * padded(s->features);
}

/* What one head carries, and its adjoint: rows (features x ld), sums and maxima (features). */
typedef struct {
    float *S, *z, *top;
} FavorState;

static FavorState favor_state(const FavorShape *s, float *base) {
    float *z = base + s->features * padded(s->width);
    return (FavorState){base, z, z + padded(s->features)};
}

/* Coefficients of `tokens` rows, features at a stride lf: what is kept, added, read; the sum of the read's. Backward only:
 * gradients of the scores, and the adjoint of the state. */
typedef struct {
    int64_t tokens, ld, lf;
    float *rows, *v, *y, *keep, *fresh, *read, *total, *du, *da, *adjoint, *state;
} FavorScratch;

/* Lays the scratch out from `base`, or only measures it (NULL). Its size in floats. */
static int64_t favor_layout(const FavorShape *s, int backward, FavorScratch *a, float *base) {
    int64_t used = 0;
    a->tokens = backward || s->tokens < FAVOR_BLOCK ? s->tokens : FAVOR_BLOCK;
    a->ld = padded(s->width), a->lf = padded(s->features);
    float **wide[] = {&a->rows, &a->v, &a->y}, **tall[] = {&a->keep, &a->fresh, &a->read, &a->du, &a->da};
    for (int i = 0; i < 3; i++) *wide[i] = rows_part(base, &used, a->tokens * a->ld);
    for (int i = 0; i < (backward ? 5 : 3); i++) *tall[i] = rows_part(base, &used, a->tokens * a->lf);
    a->total = rows_part(base, &used, padded(a->tokens));
    a->adjoint = backward ? rows_part(base, &used, favor_state_floats(s)) : 0;
    a->state = backward ? rows_part(base, &used, favor_state_floats(s)) : 0;
    return used;
}

static int64_t favor_workspace_floats(const FavorShape *s, int backward) {
    FavorScratch a;
    return favor_layout(s, backward, &a, 0);
}

/* width^(-1/4) */
static float favor_scale(const FavorShape *s) { return 1.0f / sqrtf(sqrtf((float)s->width)); }

/* scores (n x lf) = x P' of n rows of one head. */
static void favor_scores(const FavorShape *s, FavorScratch *a, int64_t n, const float *x, const float *P,
                         float *scores) {
    gemm_serial(GEMM_NT, n, s->features, s->width, x, s->heads * s->width, P, s->width, scores, a->lf, 0);
}

INLINE Vec favor_relu(Vec u) { return vec_add(vec_max(vec_zero(), u), vec_set1(FAVOR_FLOOR)); }

/* One token's scores of its key, in fresh, become its coefficients; top and z advance. half: |k|^2 / (2 sqrt(width)). */
INLINE void favor_key(const FavorShape *s, const FavorState x, int64_t j, int first, float half, float *keep,
                      float *fresh) {
    const Vec u = vec_mul(vec_set1(favor_scale(s)), vec_load(fresh + j));
    Vec kept = vec_set1(1.0f), added = favor_relu(u), top = vec_zero();
    if (!s->relu) {
        const Vec a = vec_sub(u, vec_set1(half)), before = vec_load(x.top + j);
        top = first ? a : vec_max(before, a);
        kept = first ? vec_zero() : vec_exp_negative(vec_sub(before, top));
        added = vec_exp_negative(vec_sub(a, top));
    }
    kept = vec_first(kept, s->features - j), added = vec_first(added, s->features - j);
    vec_store(keep + j, kept);
    vec_store(fresh + j, added);
    vec_store(x.top + j, vec_first(top, s->features - j));
    vec_store(x.z + j, vec_fma(kept, vec_load(x.z + j), added));
}

/* One token's scores of its query, in read, become the weights of the features; returns their sum times z. */
static float favor_query(const FavorShape *s, const FavorState x, int64_t lf, float *read) {
    const Vec scale = vec_set1(favor_scale(s));
    Vec top = vec_set1(-INFINITY), total = vec_zero();
    FOR_VECTORS (j, lf) {
        const Vec u = vec_mul(scale, vec_load(read + j));
        const Vec e = s->relu ? favor_relu(u) : vec_add(u, vec_load(x.top + j));
        vec_store(read + j, e);
        top = vec_max(top, vec_less(vec_index(), vec_set1((float)(s->features - j)), e, top));
    }
    const Vec largest = vec_set1(vec_top(top));
    FOR_VECTORS (j, lf) {
        const Vec e = vec_load(read + j);
        const Vec w = vec_first(s->relu ? e : vec_exp_negative(vec_sub(e, largest)), s->features - j);
        vec_store(read + j, w);
        total = vec_fma(w, vec_load(x.z + j), total);
    }
    return vec_sum(total);
}

/* Coefficients of n tokens of one head, in turn; top and z advance. first: the sequence begins here. */
static void favor_coefficients(const FavorShape *s, FavorScratch *a, const FavorState x, int64_t n, int first,
                               const float *q, const float *k, const float *P) {
    const int64_t stride = s->heads * s->width;
    const float scale = favor_scale(s), square = 0.5f * scale * scale;
    favor_scores(s, a, n, q, P, a->read);
    favor_scores(s, a, n, k, P, a->fresh);
    for (int64_t t = 0; t < n; t++) {
        const float half = square * flat_dot(s->width, k + t * stride, k + t * stride);
        FOR_VECTORS (j, a->lf)
            favor_key(s, x, j, first && t == 0, half, a->keep + t * a->lf, a->fresh + t * a->lf);
        a->total[t] = favor_query(s, x, a->lf, a->read + t * a->lf);
    }
}

/* S = keep S + fresh v and y = read S for `count` vectors of columns of one token, whose sums run in registers. */
INLINE void favor_columns(const FavorShape *s, const FavorScratch *a, float *S, int64_t t, const float *v,
                          float *y, int count) {
    const float *keep = a->keep + t * a->lf, *fresh = a->fresh + t * a->lf, *read = a->read + t * a->lf;
    Vec sum[FAVOR_TILE], value[FAVOR_TILE];
    for (int i = 0; i < count; i++) sum[i] = vec_zero(), value[i] = vec_load(v + i * VEC_LANES);
    for (int64_t m = 0; m < s->features; m++) {
        const Vec kept = vec_set1(keep[m]), added = vec_set1(fresh[m]), weight = vec_set1(read[m]);
        for (int i = 0; i < count; i++) {
            float *to = S + m * a->ld + i * VEC_LANES;
            const Vec row = vec_fma(added, value[i], vec_mul(kept, vec_load(to)));
            vec_store(to, row);
            sum[i] = vec_fma(weight, row, sum[i]);
        }
    }
    for (int i = 0; i < count; i++) vec_store(y + i * VEC_LANES, vec_div(sum[i], vec_set1(a->total[t])));
}

static void favor_advance(const FavorShape *s, const FavorScratch *a, float *S, int64_t t, const float *v,
                          float *y) {
    int64_t j = 0;
    for (; j + FAVOR_TILE * VEC_LANES <= a->ld; j += FAVOR_TILE * VEC_LANES)
        favor_columns(s, a, S + j, t, v + j, y + j, FAVOR_TILE);
    for (; j < a->ld; j += VEC_LANES) favor_columns(s, a, S + j, t, v + j, y + j, 1);
}

static void favor_forward_head(const FavorShape *s, FavorScratch *a, const float *q, const float *k,
                               const float *v, const float *P, float *state, float *y) {
    const int64_t stride = s->heads * s->width;
    const FavorState x = favor_state(s, state);
    for (int64_t from = 0; from < s->tokens; from += a->tokens) {
        const int64_t n = s->tokens - from < a->tokens ? s->tokens - from : a->tokens, at = from * stride;
        rows_load(n, s->width, v + at, stride, a->v, a->ld);
        favor_coefficients(s, a, x, n, s->past + from == 0, q + at, k + at, P);
        for (int64_t t = 0; t < n; t++) favor_advance(s, a, x.S, t, a->v + t * a->ld, a->y + t * a->ld);
        rows_save(n, s->width, a->y, a->ld, y + at, stride);
    }
}

/* A thread's scratch, full of zeros. */
static FavorScratch favor_own(const FavorShape *s, int backward, float *workspace, int thread) {
    const int64_t floats = favor_workspace_floats(s, backward);
    float *mine = workspace + thread * floats;
    FavorScratch a;
    memset(mine, 0, (size_t)floats * sizeof(float));
    favor_layout(s, backward, &a, mine);
    return a;
}

static void favor_forward_heads(ParallelPart part, const FavorShape *s, const float *q, const float *k,
                                const float *v, const float *projection, float *state, float *y,
                                float *workspace) {
    FavorScratch a = favor_own(s, 0, workspace, part.thread);
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
        favor_forward_head(s, &a, q + at, k + at, v + at, projection, state + i * favor_state_floats(s),
                           y + at);
    }
}

static void favor_forward(const FavorShape *s, const float *q, const float *k, const float *v,
                          const float *projection, float *state, float *y, float *workspace) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1,
                   favor_forward_heads(part, s, q, k, v, projection, state, y, workspace));
}

/* With y = N / D, N = sum_m w_m S_m, D = sum_m w_m z_m: dN = dy / D (in place of dy), dD = -(dy.y) / D, and
 * du_m = w_m (dN.S_m + dD z_m); relu: without w_m, where u > 0. Returns dD. */
static float favor_backward_read(const FavorShape *s, const FavorScratch *a, const FavorState x, int64_t t,
                                 const float *y, float *dy) {
    const float *read = a->read + t * a->lf;
    float *du = a->du + t * a->lf;
    const float dD = -row_dot(a->ld, dy, y) / a->total[t];
    FOR_VECTORS (j, a->ld) vec_store(dy + j, vec_div(vec_load(dy + j), vec_set1(a->total[t])));
    for (int64_t m = 0; m < s->features; m++) {
        const float slope = s->relu ? (read[m] > FAVOR_FLOOR ? 1.0f : 0.0f) : read[m];
        du[m] = slope * fmaf(dD, x.z[m], row_dot(a->ld, dy, x.S + m * a->ld));
    }
    return dD;
}

/* G_m = w_m dN + keep_m of the next token G_m, g_m likewise with dD; dv = sum_m fresh_m G_m and
 * da_m = fresh_m (G_m.v + g_m); relu: without fresh_m, where a > 0. */
static void favor_backward_write(const FavorShape *s, const FavorScratch *a, const FavorState G, int64_t t,
                                 float dD, const float *dN, const float *v, float *dv) {
    const float *fresh = a->fresh + t * a->lf, *read = a->read + t * a->lf;
    const float *next = t + 1 < a->tokens ? a->keep + (t + 1) * a->lf : 0;
    float *da = a->da + t * a->lf;
    FOR_VECTORS (j, a->ld) vec_store(dv + j, vec_zero());
    for (int64_t m = 0; m < s->features; m++) {
        const float slope = s->relu ? (fresh[m] > FAVOR_FLOOR ? 1.0f : 0.0f) : fresh[m];
        const float kept = next ? next[m] : 0.0f;
        float *row = G.S + m * a->ld;
        Vec inner = vec_zero();
        FOR_VECTORS (j, a->ld) {
            const Vec g =
                vec_fma(vec_set1(read[m]), vec_load(dN + j), vec_mul(vec_set1(kept), vec_load(row + j)));
            vec_store(row + j, g);
            inner = vec_fma(g, vec_load(v + j), inner);
            vec_store(dv + j, vec_fma(vec_set1(fresh[m]), g, vec_load(dv + j)));
        }
        G.z[m] = fmaf(read[m], dD, kept * G.z[m]);
        da[m] = slope * (vec_sum(inner) + G.z[m]);
    }
}

/* dq += scale du P, dk += scale da P - scale^2 (sum_m da_m) k. */
static void favor_backward_scores(const FavorShape *s, FavorScratch *a, const float *k, const float *P,
                                  float *dq, float *dk) {
    const int64_t stride = s->heads * s->width, T = s->tokens;
    const float scale = favor_scale(s);
    gemm_serial(GEMM_NN, T, s->width, s->features, a->du, a->lf, P, s->width, a->rows, a->ld, 0);
    rows_add_to(T, s->width, scale, a->rows, a->ld, dq, stride);
    gemm_serial(GEMM_NN, T, s->width, s->features, a->da, a->lf, P, s->width, a->rows, a->ld, 0);
    rows_add_to(T, s->width, scale, a->rows, a->ld, dk, stride);
    for (int64_t t = 0; t < T && !s->relu; t++) {
        Vec sum = vec_zero();
        FOR_VECTORS (j, a->lf) sum = vec_add(sum, vec_load(a->da + t * a->lf + j));
        const Vec factor = vec_set1(-scale * scale * vec_sum(sum));
        FOR_VECTORS (j, s->width) {
            const int64_t at = t * stride + j, lanes = vec_lanes(j, s->width);
            vec_store_n(dk + at, vec_fma(factor, vec_load_n(k + at, lanes), vec_load_n(dk + at, lanes)),
                        lanes);
        }
    }
}

static void favor_backward_head(const FavorShape *s, FavorScratch *a, const float *q, const float *k,
                                const float *v, const float *P, const float *dy, float *dq, float *dk,
                                float *dv) {
    const int64_t stride = s->heads * s->width;
    const FavorState x = favor_state(s, a->state), G = favor_state(s, a->adjoint);
    float *dN = a->rows, *y = a->y;
    memset(a->state, 0, (size_t)favor_state_floats(s) * sizeof(float));
    memset(a->adjoint, 0, (size_t)favor_state_floats(s) * sizeof(float));
    rows_load(s->tokens, s->width, v, stride, a->v, a->ld);
    rows_load(s->tokens, s->width, dy, stride, dN, a->ld);
    favor_coefficients(s, a, x, s->tokens, 1, q, k, P);
    memset(x.z, 0, (size_t)a->lf * sizeof(float)); /* once more, together with S */
    for (int64_t t = 0; t < s->tokens; t++) {
        favor_advance(s, a, x.S, t, a->v + t * a->ld, y + t * a->ld);
        FOR_VECTORS (j, a->lf) {
            const int64_t at = t * a->lf + j;
            vec_store(x.z + j, vec_fma(vec_load(a->keep + at), vec_load(x.z + j), vec_load(a->fresh + at)));
        }
        /* the sum is not needed any more: what it was is in dN */
        a->total[t] = favor_backward_read(s, a, x, t, y + t * a->ld, dN + t * a->ld);
    }
    for (int64_t t = s->tokens - 1; t >= 0; t--)
        favor_backward_write(s, a, G, t, a->total[t], dN + t * a->ld, a->v + t * a->ld, y + t * a->ld);
    rows_add_to(s->tokens, s->width, 1.0f, y, a->ld, dv, stride);
    favor_backward_scores(s, a, k, P, dq, dk);
}

static void favor_backward_heads(ParallelPart part, const FavorShape *s, const float *q, const float *k,
                                 const float *v, const float *projection, const float *dy, float *dq,
                                 float *dk, float *dv, float *workspace) {
    FavorScratch a = favor_own(s, 1, workspace, part.thread);
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = ((i / s->heads) * s->tokens * s->heads + i % s->heads) * s->width;
        favor_backward_head(s, &a, q + at, k + at, v + at, projection, dy + at, dq + at, dk + at, dv + at);
    }
}

static void favor_backward(const FavorShape *s, const float *q, const float *k, const float *v,
                           const float *projection, const float *dy, float *dq, float *dk, float *dv,
                           float *workspace) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1,
                   favor_backward_heads(part, s, q, k, v, projection, dy, dq, dk, dv, workspace));
}

const struct favor_kernel KERNEL(favor_kernel) = {favor_state_floats, favor_workspace_floats, favor_forward,
                                                  favor_backward};
