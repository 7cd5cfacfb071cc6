#pragma once
#include "kernel/gemm.c"
#include "kernel/memory.h"
#include "vec/rows.h"

enum { MEMORY_LAYERS = 4, MEMORY_BLOCK = 16 };
#define MEMORY_TINY 7.8886091e-31f /* 2^-100 */

/* Scratch of one head and one chunk. Index l runs over the layer boundaries 0..L as in docs/design.md; every
 * matrix is chunk x ld[l] with rows padded. Names are those of the derivation: A pre-activation, H output, E
 * = dl/dH, D = dl/dA of the key path; Z input, O pre-activation of the query path; sigma_* the logistic
 * function of A and O; d* gradients. */
typedef struct {
    int layers;
    const int64_t *width;
    int64_t ld[5], ldc, offset[5], weights;
    float *A[5], *H[5], *E[5], *D[5], *Z[5], *O[5], *sigma_a[5], *sigma_o[5], *X;
    float *dH[5], *dD[5], *dA[5], *dE, *dZ, *dO, *left, *right, *transposed;
    float *P, *C, *F, *N, *dC, *dP, *dCt;
    float *keep, *theta, *eta, *beta, *a0, *p0, *coefficient, *dbeta, *da0, *dp0, *dtheta, *dkeep, *deta;
} MemoryChunk;

static float *memory_take(float **cursor, int64_t floats) {
    float *p = *cursor;
    *cursor += padded(floats);
    return p;
}

/* Row stride of a scratch matrix: an odd number of cache lines, so that a column of it spreads over all cache
 * sets. */
static int64_t memory_stride(int64_t width) {
    return padded(width) % (2 * VEC_LANES) ? padded(width) : padded(width) + VEC_LANES;
}

/* Lays the scratch out from `base` (NULL to measure) and returns its size in floats. */
static int64_t memory_layout(const MemoryShape *s, MemoryChunk *c, float *base) {
    float *cursor = base;
    const int64_t rows = padded(s->chunk);
    int64_t widest = 0;
    memset(c, 0, sizeof *c);
    c->layers = s->layers;
    c->width = s->width;
    c->ldc = rows;
    for (int l = 0; l <= s->layers; l++) {
        const int64_t size = rows * (c->ld[l] = memory_stride(s->width[l]));
        float **each[] = {&c->A[l],  &c->H[l],  &c->E[l],  &c->D[l],       &c->Z[l],      &c->O[l],
                          &c->dH[l], &c->dD[l], &c->dA[l], &c->sigma_a[l], &c->sigma_o[l]};
        for (size_t i = 0; i < sizeof each / sizeof *each; i++) *each[i] = memory_take(&cursor, size);
        if (size > widest) widest = size;
        c->offset[l] = c->weights;
        if (l > 0) c->weights += s->width[l - 1] * s->width[l];
    }
    float **wide[] = {&c->X, &c->dE, &c->dZ, &c->dO, &c->left, &c->right, &c->transposed};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) *wide[i] = memory_take(&cursor, widest);
    float **square[] = {&c->P, &c->C, &c->F, &c->N, &c->dC, &c->dP, &c->dCt};
    for (size_t i = 0; i < sizeof square / sizeof *square; i++)
        *square[i] = memory_take(&cursor, rows * rows);
    float **row[] = {&c->keep,  &c->theta, &c->eta, &c->beta,   &c->a0,    &c->p0,  &c->coefficient,
                     &c->dbeta, &c->da0,   &c->dp0, &c->dtheta, &c->dkeep, &c->deta};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) *row[i] = memory_take(&cursor, rows + 1);
    return cursor - base;
}

static int64_t memory_workspace_floats(const MemoryShape *s) {
    static float origin[1];
    MemoryChunk c;
    return memory_layout(s, &c, origin);
}

/* W[l] of a flat weight array; offset[l] is where layer l begins. */
INLINE int64_t memory_at(const MemoryChunk *c, int l) { return c->offset[l]; }

static void memory_load(const MemoryShape *s, const MemoryInput *in, MemoryChunk *c, int64_t b, int64_t h,
                        int64_t t, int64_t n) {
    const int64_t token = b * s->tokens + t, n0 = s->width[0], nl = s->width[s->layers];
    const int L = s->layers;
    rows_load(n, n0, in->k + (token * s->heads + h) * n0, s->heads * n0, c->H[0], c->ld[0]);
    rows_load(n, n0, in->q + (token * s->heads + h) * n0, s->heads * n0, c->Z[0], c->ld[0]);
    rows_load(n, nl, in->v + (token * s->heads + h) * nl, s->heads * nl, c->E[L], c->ld[L]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = (token + i) * s->heads + h;
        c->keep[i] = in->keep[at];
        c->theta[i] = in->theta[at];
        c->eta[i] = in->eta[at];
    }
}

/* Every whole vector of the first n rows of a matrix that belongs to layer boundary l; `at` is its offset. */
#define FOR_ROWS(c, l, n, at)                                                                                \
    for (int64_t row_ = 0; row_ < (n); row_++)                                                               \
        for (int64_t at = row_ * (c)->ld[l]; at < row_ * (c)->ld[l] + (c)->width[l]; at += VEC_LANES)

static void memory_silu(const MemoryChunk *c, int l, int64_t n, const float *x, float *sigma, float *out) {
    FOR_ROWS(c, l, n, j) {
        const Vec v = vec_load(x + j), s = vec_sigmoid(v);
        vec_store(sigma + j, s);
        vec_store(out + j, vec_mul(v, s));
    }
}

/* Inner gradient at weights W for n tokens: H, A, then E, D (eq 12 back-propagated). E[L] holds v on entry.
 */
static void memory_inner_gradient(MemoryChunk *c, const float *W, int64_t n) {
    const int L = c->layers;
    for (int l = 1; l <= L; l++) {
        gemm_serial(GEMM_NN, n, c->width[l], c->width[l - 1], c->H[l - 1], c->ld[l - 1], W + memory_at(c, l),
                    c->width[l], c->A[l], c->ld[l], 0);
        if (l < L) memory_silu(c, l, n, c->A[l], c->sigma_a[l], c->H[l]);
    }
    const Vec two = vec_set1(2.0f);
    FOR_ROWS(c, L, n, j) {
        vec_store(c->D[L] + j, vec_mul(two, vec_sub(vec_load(c->A[L] + j), vec_load(c->E[L] + j))));
    }
    for (int l = L; l >= 2; l--) {
        gemm_serial(GEMM_NT, n, c->width[l - 1], c->width[l], c->D[l], c->ld[l], W + memory_at(c, l),
                    c->width[l], c->E[l - 1], c->ld[l - 1], 0);
        FOR_ROWS(c, l - 1, n, j) {
            const Vec slope = vec_silu_d1(vec_load(c->A[l - 1] + j), vec_load(c->sigma_a[l - 1] + j));
            vec_store(c->D[l - 1] + j, vec_mul(vec_load(c->E[l - 1] + j), slope));
        }
    }
}

/* One tile of `rows` x 16 weights and momenta stays in registers while n tokens pass:
 * s = eta s + h x,  w = keep w + s,  o += z w; x is -theta dl/dA. */
INLINE void memory_scan_tile(const int rows, int64_t n, const MemoryChunk *c, const float *h, const float *z,
                             int64_t ldh, const float *x, float *o, int64_t ldo, float *W, float *S,
                             int64_t stride, int64_t lanes, int first) {
    Vec w[SCAN_ROWS], s[SCAN_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        __builtin_prefetch(W + (r + rows) * stride);
        __builtin_prefetch(S + (r + rows) * stride);
        w[r] = lanes == VEC_LANES ? vec_load(W + r * stride) : vec_load_n(W + r * stride, lanes);
        s[r] = lanes == VEC_LANES ? vec_load(S + r * stride) : vec_load_n(S + r * stride, lanes);
    }
    for (int64_t t = 0; t < n; t++) {
        const Vec xt = vec_load(x + t * ldo), keep = vec_set1(c->keep[t]), eta = vec_set1(c->eta[t]);
        Vec ot = first ? vec_zero() : vec_load(o + t * ldo);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            s[r] = vec_fma(eta, s[r], vec_mul(vec_set1(h[t * ldh + r]), xt));
            w[r] = vec_fma(keep, w[r], s[r]);
            ot = vec_fma(vec_set1(z[t * ldh + r]), w[r], ot);
        }
        vec_store(o + t * ldo, ot);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        vec_store_n(W + r * stride, w[r], lanes);
        vec_store_n(S + r * stride, s[r], lanes);
    }
}

static void memory_scan_layer(MemoryChunk *c, int l, int64_t n, float *W, float *S) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldh = c->ld[l - 1], ldo = c->ld[l];
    const float *h = c->H[l - 1], *z = c->Z[l - 1];
    for (int64_t j = 0; j < out; j += VEC_LANES) {
        const int64_t lanes = out - j < VEC_LANES ? out - j : VEC_LANES;
        int64_t r = 0;
        for (; r + SCAN_ROWS <= in; r += SCAN_ROWS)
            memory_scan_tile(SCAN_ROWS, n, c, h + r, z + r, ldh, c->X + j, c->O[l] + j, ldo, W + r * out + j,
                             S + r * out + j, out, lanes, r == 0);
        for (; r < in; r++)
            memory_scan_tile(1, n, c, h + r, z + r, ldh, c->X + j, c->O[l] + j, ldo, W + r * out + j,
                             S + r * out + j, out, lanes, r == 0);
    }
}

static void memory_scan(MemoryChunk *c, float *W, float *S, int64_t n) {
    float *step = c->coefficient;
    for (int64_t t = 0; t < n; t++) step[t] = -c->theta[t];
    for (int l = 1; l <= c->layers; l++) {
        rows_scale(n, c->width[l], c->ld[l], step, c->D[l], c->X);
        memory_scan_layer(c, l, n, W + memory_at(c, l), S + memory_at(c, l));
        if (l < c->layers) memory_silu(c, l, n, c->O[l], c->sigma_o[l], c->Z[l]);
    }
}

static Vec memory_flush(Vec x) {
    const Vec size = vec_max(x, vec_sub(vec_zero(), x));
    return vec_less(size, vec_set1(MEMORY_TINY), vec_zero(), x);
}

/* The chunk is full: its last state is the next chunk's start. */
static void memory_close_chunk(int64_t weights, float *start, float *W, float *S) {
    FOR_VECTORS(j, weights) {
        const int64_t lanes = weights - j < VEC_LANES ? weights - j : VEC_LANES;
        const Vec w = memory_flush(vec_load_n(W + j, lanes));
        vec_store_n(start + j, w, lanes);
        vec_store_n(W + j, w, lanes);
        vec_store_n(S + j, memory_flush(vec_load_n(S + j, lanes)), lanes);
    }
}

/* Coefficients of dual-form states (erratum E5), tokens counted from 0:
 * P[t][i] = prod eta_(i+1..t), C[t][i] = keep_t C[t-1][i] + P[t][i]; beta, a0, p0 are the weights of M_0, S_0
 * in M_t and of S_0 in S_t. Sums of products of numbers in [0,1]: no division, no cancellation (E3). */
static void memory_coefficients(MemoryChunk *c, int64_t n) {
    const int64_t ld = c->ldc;
    float beta = 1.0f, a0 = 0.0f, p0 = 1.0f;
    memset(c->P, 0, (size_t)(padded(n) * ld) * sizeof(float));
    memset(c->C, 0, (size_t)(padded(n) * ld) * sizeof(float));
    for (int64_t t = 0; t < n; t++) {
        float *P = c->P + t * ld, *C = c->C + t * ld;
        const Vec keep = vec_set1(c->keep[t]), eta = vec_set1(c->eta[t]);
        if (t > 0) FOR_VECTORS(i, t) vec_store(P + i, vec_mul(eta, vec_load(P - ld + i)));
        P[t] = 1.0f;
        FOR_VECTORS(i, t + 1) {
            const Vec previous = t > 0 ? vec_load(C - ld + i) : vec_zero();
            vec_store(C + i, vec_fma(keep, previous, vec_load(P + i)));
        }
        c->beta[t] = beta = c->keep[t] * beta;
        c->p0[t] = p0 = c->eta[t] * p0;
        c->a0[t] = a0 = fmaf(c->keep[t], a0, p0);
    }
}

static int64_t memory_block_end(int64_t i, int64_t n) { return i + MEMORY_BLOCK < n ? i + MEMORY_BLOCK : n; }

/* F = X Y' on and below the diagonal, by row blocks; y_transposed is Y'. */
static void memory_lower_product(MemoryChunk *c, int64_t n, int64_t width, const float *X, int64_t ld,
                                 const float *y_transposed, float *F) {
    for (int64_t i = 0; i < n; i += MEMORY_BLOCK) {
        const int64_t end = memory_block_end(i, n);
        gemm_serial(GEMM_NN, end - i, padded(end), width, X + i * ld, ld, y_transposed, c->ldc,
                    F + i * c->ldc, c->ldc, 0);
    }
}

/* out += T X for lower triangular T. */
static void memory_lower_apply(MemoryChunk *c, int64_t n, int64_t width, const float *T, const float *X,
                               float *out, int64_t ld) {
    for (int64_t i = 0; i < n; i += MEMORY_BLOCK) {
        const int64_t end = memory_block_end(i, n);
        gemm_serial(GEMM_NN, end - i, width, end, T + i * c->ldc, c->ldc, X, ld, out + i * ld, ld, 1);
    }
}

/* out += T' X for lower triangular T. */
static void memory_upper_apply(MemoryChunk *c, int64_t n, int64_t width, const float *T, const float *X,
                               float *out, int64_t ld) {
    for (int64_t i = 0; i < n; i += MEMORY_BLOCK)
        gemm_serial(GEMM_TN, memory_block_end(i, n) - i, width, n - i, T + i * c->ldc + i, c->ldc, X + i * ld,
                    ld, out + i * ld, ld, 1);
}

/* N[t][i] = -C[t][i] theta_i F[t][i] for i <= t, 0 above. */
static void memory_weigh(MemoryChunk *c, int64_t n) {
    for (int64_t t = 0; t < n; t++) {
        const float *C = c->C + t * c->ldc, *F = c->F + t * c->ldc;
        float *N = c->N + t * c->ldc;
        FOR_VECTORS(i, padded(n)) {
            const Vec weight = vec_mul(vec_load(C + i), vec_load(c->theta + i));
            vec_store(N + i, vec_sub(vec_zero(), vec_mul(weight, i <= t ? vec_load(F + i) : vec_zero())));
        }
    }
}

/* Query path of layer l at all tokens: O = (beta Z) W + (a0 Z) S - (C theta * Z H') D. */
static void memory_dual_query(MemoryChunk *c, int l, const float *W, const float *S, int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l];
    rows_transpose(n, in, c->H[l - 1], ldi, c->transposed, c->ldc);
    memory_lower_product(c, n, in, c->Z[l - 1], ldi, c->transposed, c->F);
    memory_weigh(c, n);
    rows_scale(n, in, ldi, c->beta, c->Z[l - 1], c->left);
    gemm_serial(GEMM_NN, n, out, in, c->left, ldi, W + memory_at(c, l), out, c->O[l], ldo, 0);
    rows_scale(n, in, ldi, c->a0, c->Z[l - 1], c->left);
    gemm_serial(GEMM_NN, n, out, in, c->left, ldi, S + memory_at(c, l), out, c->O[l], ldo, 1);
    memory_lower_apply(c, n, out, c->N, c->D[l], c->O[l], ldo);
    if (l < c->layers) memory_silu(c, l, n, c->O[l], c->sigma_o[l], c->Z[l]);
}

/* Final state of layer l: W = beta W + a0 S - (wc H)' D, S = p0 S - (ws H)' D, coefficients of the last
 * token. */
static void memory_dual_update(MemoryChunk *c, int l, float *W, float *S, int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], count = in * out;
    const Vec beta = vec_set1(c->beta[n - 1]), a0 = vec_set1(c->a0[n - 1]), p0 = vec_set1(c->p0[n - 1]);
    const float *last_c = c->C + (n - 1) * c->ldc, *last_p = c->P + (n - 1) * c->ldc;
    W += memory_at(c, l);
    S += memory_at(c, l);
    FOR_VECTORS(j, count) {
        const int64_t lanes = count - j < VEC_LANES ? count - j : VEC_LANES;
        const Vec s = vec_load_n(S + j, lanes);
        vec_store_n(W + j, vec_fma(beta, vec_load_n(W + j, lanes), vec_mul(a0, s)), lanes);
        vec_store_n(S + j, vec_mul(p0, s), lanes);
    }
    for (int64_t i = 0; i < n; i++) c->coefficient[i] = -last_c[i] * c->theta[i];
    rows_scale(n, in, ldi, c->coefficient, c->H[l - 1], c->left);
    gemm_serial(GEMM_TN, in, out, n, c->left, ldi, c->D[l], c->ld[l], W, out, 1);
    for (int64_t i = 0; i < n; i++) c->coefficient[i] = -last_p[i] * c->theta[i];
    rows_scale(n, in, ldi, c->coefficient, c->H[l - 1], c->left);
    gemm_serial(GEMM_TN, in, out, n, c->left, ldi, c->D[l], c->ld[l], S, out, 1);
}

static void memory_dual(MemoryChunk *c, float *W, float *S, int64_t n) {
    memory_coefficients(c, n);
    for (int l = 1; l <= c->layers; l++) memory_dual_query(c, l, W, S, n);
    for (int l = 1; l <= c->layers; l++) memory_dual_update(c, l, W, S, n);
}

typedef void (*MemoryChunkForm)(MemoryChunk *c, float *W, float *S, int64_t n);

/* |u_t|: u = h' d is an outer product in each layer, so its norm is |h| |d|. */
static void memory_surprise(const MemoryChunk *c, int64_t n, float *surprise, int64_t stride) {
    for (int64_t t = 0; t < n; t++) {
        float sum = 0.0f;
        for (int l = 1; l <= c->layers; l++) {
            const float *h = c->H[l - 1] + t * c->ld[l - 1], *d = c->D[l] + t * c->ld[l];
            sum = fmaf(row_dot(c->width[l - 1], h, h), row_dot(c->width[l], d, d), sum);
        }
        surprise[t * stride] = sqrtf(sum);
    }
}

static int64_t memory_chunks(const MemoryShape *s) {
    return (s->position + s->tokens + s->chunk - 1) / s->chunk;
}

static void memory_forward_head(const MemoryShape *s, const MemoryInput *in, float *state,
                                const MemoryOutput *out, MemoryChunk *c, int64_t b, int64_t h,
                                MemoryChunkForm form) {
    const int64_t nl = s->width[s->layers], P = c->weights;
    float *start = state, *W = state + P, *S = state + 2 * P;
    float *snapshot = out->snapshots ? out->snapshots + (b * s->heads + h) * memory_chunks(s) * 2 * P : 0;
    int64_t position = s->position;
    for (int64_t t = 0, n; t < s->tokens; t += n) {
        n = s->chunk - position < s->tokens - t ? s->chunk - position : s->tokens - t;
        if (snapshot) {
            memcpy(snapshot, W, (size_t)P * sizeof(float));
            memcpy(snapshot + P, S, (size_t)P * sizeof(float));
            snapshot += 2 * P;
        }
        memory_load(s, in, c, b, h, t, n);
        memory_inner_gradient(c, start, n);
        const int64_t at = (b * s->tokens + t) * s->heads + h;
        if (out->surprise) memory_surprise(c, n, out->surprise + at, s->heads);
        form(c, W, S, n);
        rows_save(n, nl, c->O[s->layers], c->ld[s->layers], out->y + at * nl, s->heads * nl);
        position = (position + n) % s->chunk;
        if (position == 0) memory_close_chunk(P, start, W, S);
    }
}

static void memory_forward(const MemoryShape *s, const MemoryInput *in, float *state, const MemoryOutput *out,
                           float *workspace, MemoryChunkForm form) {
    const int64_t heads = s->batch * s->heads, floats = memory_workspace_floats(s);
    const int threads = heads < parallel_threads() ? (int)heads : parallel_threads();
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        MemoryChunk c;
        float *mine = workspace + parallel_index() * floats;
        memset(mine, 0, (size_t)floats * sizeof(float));
        memory_layout(s, &c, mine);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < heads; i++)
            memory_forward_head(s, in, state + i * 3 * c.weights, out, &c, i / s->heads, i % s->heads, form);
    }
}

static void memory_forward_scan(const MemoryShape *s, const MemoryInput *in, float *state,
                                const MemoryOutput *out, float *workspace) {
    memory_forward(s, in, state, out, workspace, memory_scan);
}

static void memory_forward_dual(const MemoryShape *s, const MemoryInput *in, float *state,
                                const MemoryOutput *out, float *workspace) {
    memory_forward(s, in, state, out, workspace, memory_dual);
}

/* Backward of memory_dual_update for layer l (step 5' of the derivation); dW, dS belong to the chunk's end.
 */
static void memory_update_backward(MemoryChunk *c, int l, const float *W, const float *S, const float *dW,
                                   const float *dS, int64_t n, float *dwc, float *dws) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l],
                  at = memory_at(c, l);
    const float *last_c = c->C + (n - 1) * c->ldc, *last_p = c->P + (n - 1) * c->ldc, *H = c->H[l - 1];
    c->dbeta[n - 1] += flat_dot(in * out, W + at, dW + at);
    c->da0[n - 1] += flat_dot(in * out, S + at, dW + at);
    c->dp0[n - 1] += flat_dot(in * out, S + at, dS + at);
    for (int pass = 0; pass < 2; pass++) {
        const float *last = pass ? last_p : last_c, *d_end = (pass ? dS : dW) + at;
        float *dw = pass ? dws : dwc;
        gemm_serial(GEMM_NT, n, in, out, c->D[l], ldo, d_end, out, c->left, ldi, 0);
        for (int64_t i = 0; i < n; i++) {
            const float weight = -last[i] * c->theta[i];
            float *dh = c->dH[l - 1] + i * ldi;
            dw[i] -= row_dot(in, H + i * ldi, c->left + i * ldi);
            FOR_VECTORS(j, in) {
                vec_store(dh + j,
                          vec_fma(vec_set1(weight), vec_load(c->left + i * ldi + j), vec_load(dh + j)));
            }
            c->coefficient[i] = weight;
        }
        rows_scale(n, in, ldi, c->coefficient, H, c->left);
        gemm_serial(GEMM_NN, n, out, in, c->left, ldi, d_end, out, c->dD[l], ldo, 1);
    }
}

/* Step 5' for all layers, then moves dW, dS from the chunk's end to its start. */
static void memory_updates_backward(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                    int64_t n) {
    const float *last_c = c->C + (n - 1) * c->ldc, *last_p = c->P + (n - 1) * c->ldc;
    const Vec beta = vec_set1(c->beta[n - 1]), a0 = vec_set1(c->a0[n - 1]), p0 = vec_set1(c->p0[n - 1]);
    float *dwc = c->dkeep, *dws = c->deta; /* free until memory_gates_backward */
    memset(dwc, 0, (size_t)n * sizeof(float));
    memset(dws, 0, (size_t)n * sizeof(float));
    for (int l = 1; l <= c->layers; l++) memory_update_backward(c, l, W, S, dW, dS, n, dwc, dws);
    for (int64_t i = 0; i < n; i++) {
        c->dC[(n - 1) * c->ldc + i] += dwc[i] * c->theta[i];
        c->dP[(n - 1) * c->ldc + i] += dws[i] * c->theta[i];
        c->dtheta[i] += fmaf(dwc[i], last_c[i], dws[i] * last_p[i]);
    }
    FOR_VECTORS(j, c->weights) {
        const int64_t lanes = c->weights - j < VEC_LANES ? c->weights - j : VEC_LANES;
        const Vec w = vec_load_n(dW + j, lanes), s = vec_load_n(dS + j, lanes);
        vec_store_n(dS + j, vec_fma(a0, w, vec_mul(p0, s)), lanes);
        vec_store_n(dW + j, vec_mul(beta, w), lanes);
    }
}

/* dN = -(dO D'), then N' into dD, dF = C theta * dN (in place of N) and dCt += F * dN. */
static void memory_weights_backward(MemoryChunk *c, int l, int64_t n) {
    const int64_t out = c->width[l], ldo = c->ld[l];
    memory_weigh(c, n);
    memory_upper_apply(c, n, out, c->N, c->dO, c->dD[l], ldo);
    rows_transpose(n, out, c->D[l], ldo, c->transposed, c->ldc);
    memory_lower_product(c, n, out, c->dO, ldo, c->transposed, c->N);
    for (int64_t t = 0; t < n; t++) {
        const float *C = c->C + t * c->ldc, *F = c->F + t * c->ldc;
        float *N = c->N + t * c->ldc, *dCt = c->dCt + t * c->ldc;
        FOR_VECTORS(i, padded(n)) {
            const Vec dn = vec_sub(vec_zero(), i <= t ? vec_load(N + i) : vec_zero());
            const Vec f = i <= t ? vec_load(F + i) : vec_zero();
            vec_store(dCt + i, vec_fma(f, dn, vec_load(dCt + i)));
            vec_store(N + i, vec_mul(vec_mul(vec_load(C + i), vec_load(c->theta + i)), dn));
        }
    }
}

/* Step 4' for layer l: dO is given; leaves dZ of the layer's input in c->dZ. */
static void memory_query_backward(MemoryChunk *c, int l, const float *W, const float *S, float *dW, float *dS,
                                  int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldi = c->ld[l - 1], ldo = c->ld[l],
                  at = memory_at(c, l);
    const float *Z = c->Z[l - 1], *H = c->H[l - 1];
    rows_transpose(n, in, H, ldi, c->transposed, c->ldc);
    memory_lower_product(c, n, in, Z, ldi, c->transposed, c->F);
    memory_weights_backward(c, l, n);
    memory_upper_apply(c, n, in, c->N, Z, c->dH[l - 1], ldi);
    for (int pass = 0; pass < 2; pass++) {
        const float *weight = pass ? c->a0 : c->beta;
        float *dweight = pass ? c->da0 : c->dbeta;
        gemm_serial(GEMM_NT, n, in, out, c->dO, ldo, (pass ? S : W) + at, out, c->right, ldi, 0);
        for (int64_t t = 0; t < n; t++) {
            float *dz = c->dZ + t * ldi;
            const float *r = c->right + t * ldi;
            const Vec factor = vec_set1(weight[t]);
            dweight[t] += row_dot(in, Z + t * ldi, r);
            FOR_VECTORS(j, in) {
                vec_store(dz + j, vec_fma(factor, vec_load(r + j), pass ? vec_load(dz + j) : vec_zero()));
            }
        }
        rows_scale(n, in, ldi, weight, Z, c->left);
        gemm_serial(GEMM_TN, in, out, n, c->left, ldi, c->dO, ldo, (pass ? dS : dW) + at, out, 1);
    }
    memory_lower_apply(c, n, in, c->N, H, c->dZ, ldi);
}

static void memory_queries_backward(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                    int64_t n) {
    for (int l = c->layers; l >= 1; l--) {
        memory_query_backward(c, l, W, S, dW, dS, n);
        if (l > 1) FOR_ROWS(c, l - 1, n, j) {
                const Vec slope = vec_silu_d1(vec_load(c->O[l - 1] + j), vec_load(c->sigma_o[l - 1] + j));
                vec_store(c->dO + j, vec_mul(vec_load(c->dZ + j), slope));
            }
    }
}

/* Step 3': adjoint of memory_coefficients, t descending. */
static void memory_gates_backward(MemoryChunk *c, int64_t n) {
    const int64_t ld = c->ldc;
    for (int64_t t = 0; t < n; t++) FOR_VECTORS(i, padded(n)) {
            const Vec d = vec_load(c->dCt + t * ld + i), theta = vec_load(c->theta + i);
            vec_store(c->dtheta + i, vec_fma(d, vec_load(c->C + t * ld + i), vec_load(c->dtheta + i)));
            vec_store(c->dC + t * ld + i, vec_fma(d, theta, vec_load(c->dC + t * ld + i)));
        }
    for (int64_t t = n - 1; t >= 0; t--) {
        float *dC = c->dC + t * ld, *dP = c->dP + t * ld;
        const float a0 = t ? c->a0[t - 1] : 0.0f, beta = t ? c->beta[t - 1] : 1.0f,
                    p0 = t ? c->p0[t - 1] : 1.0f;
        const Vec keep = vec_set1(c->keep[t]), eta = vec_set1(c->eta[t]);
        c->dkeep[t] = fmaf(c->da0[t], a0, c->dbeta[t] * beta);
        if (t) c->dkeep[t] += row_dot(padded(t), dC, c->C + (t - 1) * ld);
        FOR_VECTORS(i, t + 1) vec_store(dP + i, vec_add(vec_load(dP + i), vec_load(dC + i)));
        c->dp0[t] += c->da0[t];
        c->deta[t] = c->dp0[t] * p0;
        if (!t) break;
        c->deta[t] += row_dot(padded(t), dP, c->P + (t - 1) * ld);
        FOR_VECTORS(i, t) {
            vec_store(dC - ld + i, vec_fma(keep, vec_load(dC + i), vec_load(dC - ld + i)));
            vec_store(dP - ld + i, vec_fma(eta, vec_load(dP + i), vec_load(dP - ld + i)));
        }
        c->da0[t - 1] = fmaf(c->keep[t], c->da0[t], c->da0[t - 1]);
        c->dbeta[t - 1] = fmaf(c->keep[t], c->dbeta[t], c->dbeta[t - 1]);
        c->dp0[t - 1] = fmaf(c->eta[t], c->dp0[t], c->dp0[t - 1]);
    }
}

/* Steps 2' and 1': through the inner gradient (second order) and the inner forward. Leaves dK in dH[0] and dV
 * / -2 in dD[L]. */
static void memory_inner_backward(MemoryChunk *c, const float *W, float *dW, int64_t n) {
    const int L = c->layers;
    for (int l = 1; l < L; l++) {
        FOR_ROWS(c, l, n, j) {
            const Vec x = vec_load(c->A[l] + j), s = vec_load(c->sigma_a[l] + j), dd = vec_load(c->dD[l] + j);
            vec_store(c->dE + j, vec_mul(dd, vec_silu_d1(x, s)));
            vec_store(c->dA[l] + j, vec_mul(vec_mul(dd, vec_load(c->E[l] + j)), vec_silu_d2(x, s)));
        }
        gemm_serial(GEMM_NN, n, c->width[l + 1], c->width[l], c->dE, c->ld[l], W + memory_at(c, l + 1),
                    c->width[l + 1], c->dD[l + 1], c->ld[l + 1], 1);
        gemm_serial(GEMM_TN, c->width[l], c->width[l + 1], n, c->dE, c->ld[l], c->D[l + 1], c->ld[l + 1],
                    dW + memory_at(c, l + 1), c->width[l + 1], 1);
    }
    const Vec two = vec_set1(2.0f);
    FOR_ROWS(c, L, n, j) vec_store(c->dA[L] + j, vec_mul(two, vec_load(c->dD[L] + j)));
    for (int l = L; l >= 1; l--) {
        if (l < L) FOR_ROWS(c, l, n, j) {
                const Vec slope = vec_silu_d1(vec_load(c->A[l] + j), vec_load(c->sigma_a[l] + j));
                vec_store(c->dA[l] + j, vec_fma(vec_load(c->dH[l] + j), slope, vec_load(c->dA[l] + j)));
            }
        gemm_serial(GEMM_TN, c->width[l - 1], c->width[l], n, c->H[l - 1], c->ld[l - 1], c->dA[l], c->ld[l],
                    dW + memory_at(c, l), c->width[l], 1);
        gemm_serial(GEMM_NT, n, c->width[l - 1], c->width[l], c->dA[l], c->ld[l], W + memory_at(c, l),
                    c->width[l], c->dH[l - 1], c->ld[l - 1], 1);
    }
}

static void memory_chunk_clear(MemoryChunk *c, int64_t n) {
    const size_t square = (size_t)(padded(n) * c->ldc) * sizeof(float),
                 row = (size_t)padded(n) * sizeof(float);
    for (int l = 0; l <= c->layers; l++) {
        memset(c->dH[l], 0, (size_t)(n * c->ld[l]) * sizeof(float));
        memset(c->dD[l], 0, (size_t)(n * c->ld[l]) * sizeof(float));
    }
    memset(c->dC, 0, square);
    memset(c->dP, 0, square);
    memset(c->dCt, 0, square);
    memset(c->dbeta, 0, row);
    memset(c->da0, 0, row);
    memset(c->dp0, 0, row);
    memset(c->dtheta, 0, row);
}

static void memory_backward_chunk(const MemoryShape *s, const MemoryInput *in, const float *snapshot,
                                  const float *dy, const MemoryGradient *d, float *dstate, MemoryChunk *c,
                                  int64_t b, int64_t h, int64_t t, int64_t n) {
    const int L = s->layers;
    const int64_t n0 = s->width[0], nl = s->width[L], token = b * s->tokens + t;
    const int64_t at0 = (token * s->heads + h) * n0, atl = (token * s->heads + h) * nl;
    const float *W = snapshot, *S = snapshot + c->weights;
    float *dW = dstate, *dS = dstate + c->weights;
    memory_load(s, in, c, b, h, t, n);
    memory_inner_gradient(c, W, n);
    memory_coefficients(c, n);
    for (int l = 1; l < L; l++) memory_dual_query(c, l, W, S, n);
    memory_chunk_clear(c, n);
    memory_updates_backward(c, W, S, dW, dS, n);
    rows_load(n, nl, dy + atl, s->heads * nl, c->dO, c->ld[L]);
    memory_queries_backward(c, W, S, dW, dS, n);
    memory_gates_backward(c, n);
    memory_inner_backward(c, W, dW, n);
    rows_add_to(n, n0, 1.0f, c->dZ, c->ld[0], d->q + at0, s->heads * n0);
    rows_add_to(n, n0, 1.0f, c->dH[0], c->ld[0], d->k + at0, s->heads * n0);
    rows_add_to(n, nl, -2.0f, c->dD[L], c->ld[L], d->v + atl, s->heads * nl);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = (token + i) * s->heads + h;
        d->keep[at] += c->dkeep[i];
        d->theta[at] += c->dtheta[i];
        d->eta[at] += c->deta[i];
    }
}

static void memory_backward(const MemoryShape *s, const MemoryInput *in, const float *snapshots,
                            const float *dy, const MemoryGradient *d, float *dstate, float *workspace) {
    const int64_t heads = s->batch * s->heads, floats = memory_workspace_floats(s), chunks = memory_chunks(s);
    const int threads = heads < parallel_threads() ? (int)heads : parallel_threads();
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        MemoryChunk c;
        float *mine = workspace + parallel_index() * floats;
        memset(mine, 0, (size_t)floats * sizeof(float));
        memory_layout(s, &c, mine);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < heads; i++)
            for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) {
                const int64_t t = chunk * s->chunk, left = s->tokens - t;
                memory_backward_chunk(s, in, snapshots + (i * chunks + chunk) * 2 * c.weights, dy, d,
                                      dstate + i * 2 * c.weights, &c, i / s->heads, i % s->heads, t,
                                      left < s->chunk ? left : s->chunk);
            }
    }
}

static const struct memory_kernel memory_kernel = {memory_workspace_floats, memory_forward_scan,
                                                   memory_forward_dual, memory_backward};
