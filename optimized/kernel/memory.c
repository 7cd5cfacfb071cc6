#include "kernel/memory.h"
#include "base/parallel.h"
#include "vec/rows.h"
#include "kernel/memory/dual_backward.c"
#include "kernel/memory/scan_backward.c"

static int64_t memory_workspace_floats(const MemoryShape *s) {
    MemoryChunk c;
    return memory_layout(s, &c, padded(s->chunk), 0);
}

/* What a pass touches: forward by rows, where a call of one token has one row to clear; forward by matrix products, which
 * want whole blocks of rows; everything. */
typedef enum { SCRATCH_ROWS, SCRATCH_FORWARD, SCRATCH_ALL } MemoryScratch;

/* What a pass does with head i (batch x heads + head), and what it needs to know. */
typedef void (*MemoryWork)(MemoryChunk *c, int64_t i, const void *job);

static void memory_scratch(const MemoryShape *s, MemoryChunk *c, MemoryScratch scratch, float *mine) {
    const int64_t some = s->tokens < s->chunk ? s->tokens : s->chunk;
    const int64_t floats = memory_layout(s, c, scratch == SCRATCH_ROWS ? some : padded(s->chunk), mine);
    memset(mine, 0, (size_t)(scratch == SCRATCH_ALL ? floats : c->forward) * sizeof(float));
}

static void memory_heads(ParallelPart part, const MemoryShape *s, float *workspace, MemoryScratch scratch,
                         MemoryWork work, const void *job) {
    MemoryChunk c;
    memory_scratch(s, &c, scratch, workspace + part.thread * memory_workspace_floats(s));
    for (int64_t i = part.begin; i < part.end; i++) work(&c, i, job);
}

/* Every head of every batch member, shared among threads; scratch full of zeros. */
static void memory_each_head(const MemoryShape *s, float *workspace, MemoryScratch scratch, MemoryWork work,
                             const void *job) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1, memory_heads(part, s, workspace, scratch, work, job));
}

/* The chunk is full: its last state is the next chunk's start. */
static void memory_close_chunk(int64_t weights, float *start, float *W, float *S) {
    FOR_VECTORS (j, weights) {
        const int64_t lanes = vec_lanes(j, weights);
        const Vec w = memory_flush(vec_load_n(W + j, lanes));
        vec_store_n(start + j, w, lanes);
        vec_store_n(W + j, w, lanes);
        vec_store_n(S + j, memory_flush(vec_load_n(S + j, lanes)), lanes);
    }
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

typedef struct {
    const MemoryInput *in;
    float *state;
    const MemoryOutput *out;
    MemoryChunkForm form;
} MemoryForward;

static void memory_forward_head(MemoryChunk *c, int64_t i, const void *job) {
    const MemoryForward *f = job;
    const MemoryShape *s = c->shape;
    const int64_t nl = s->width[s->layers], P = c->weights, b = i / s->heads, h = i % s->heads;
    float *start = f->state + i * 3 * P, *W = start + P, *S = start + 2 * P;
    float *snapshot = f->out->snapshots ? f->out->snapshots + i * memory_chunks(s) * 2 * P : 0;
    int64_t position = s->position;
    for (int64_t t = 0, n; t < s->tokens; t += n) {
        n = s->chunk - position < s->tokens - t ? s->chunk - position : s->tokens - t;
        if (snapshot) {
            memcpy(snapshot, W, (size_t)P * sizeof(float));
            memcpy(snapshot + P, S, (size_t)P * sizeof(float));
            snapshot += 2 * P;
        }
        memory_load(c, f->in, b, h, t, n, s->channelwise);
        memory_inner_gradient(c, start, n);
        const int64_t at = (b * s->tokens + t) * s->heads + h;
        if (f->out->surprise) memory_surprise(c, n, f->out->surprise + at, s->heads);
        f->form(c, W, S, n);
        memory_output(c, n, c->O[s->layers], c->Z[0], &c->query, c->Y);
        rows_save(n, nl, c->Y, c->ld[s->layers], f->out->y + at * nl, s->heads * nl);
        position = (position + n) % s->chunk;
        if (position == 0) memory_close_chunk(P, start, W, S);
    }
}

static void memory_forward_scan(const MemoryShape *s, const MemoryInput *in, float *state,
                                const MemoryOutput *out, float *workspace) {
    const MemoryForward job = {in, state, out, memory_scan};
    memory_each_head(s, workspace, SCRATCH_ROWS, memory_forward_head, &job);
}

static void memory_forward_dual(const MemoryShape *s, const MemoryInput *in, float *state,
                                const MemoryOutput *out, float *workspace) {
    const MemoryForward job = {in, state, out, memory_dual};
    memory_each_head(s, workspace, SCRATCH_FORWARD, memory_forward_head, &job);
}

static void memory_chunk_clear(MemoryChunk *c, int64_t n) {
    const size_t square = (size_t)(padded(n) * c->ldc) * sizeof(float),
                 row = (size_t)padded(n) * sizeof(float);
    for (int l = 0; l <= c->layers; l++) {
        memset(c->dH[l], 0, (size_t)(n * c->ld[l]) * sizeof(float));
        memset(c->dD[l], 0, (size_t)(n * c->ld[l]) * sizeof(float));
    }
    for (int set = 0; set < c->sets; set++) {
        MemoryGates *g = &c->gates[set];
        float *const squares[] = {g->dC, g->dP, g->dCt};
        float *const rows[] = {g->dbeta, g->da0, g->dp0, g->dtheta, g->dkeep, g->deta};
        for (size_t i = 0; i < sizeof squares / sizeof *squares; i++) memset(squares[i], 0, square);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) memset(rows[i], 0, row);
    }
}

/* dY -> dO of the last layer, everything between, and the gates: by matrix products. */
static void memory_dual_backward(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                 int64_t n) {
    for (int g = 0; g < c->sets; g++) memory_coefficients(&c->gates[g], c->ldc, n);
    for (int l = 1; l < c->layers + c->shape->norm; l++) memory_dual_query(c, l, W, S, n);
    if (c->shape->norm) memory_output(c, n, c->O[c->layers], c->Z[0], &c->query, c->Y);
    memory_updates_backward(c, W, S, dW, dS, n);
    memory_output_slope(c, n, &c->query, c->dY, c->dO);
    memory_queries_backward(c, W, S, dW, dS, n);
    for (int g = 0; g < c->sets; g++) memory_gates_backward(&c->gates[g], c->ldc, n);
}

/* The same by the scan's adjoint. */
static void memory_adjoint(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS, int64_t n) {
    memcpy(c->copy, W, (size_t)c->weights * sizeof(float));
    memcpy(c->copy + padded(c->weights), S, (size_t)c->weights * sizeof(float));
    memory_scan(c, c->copy, c->copy + padded(c->weights), n);
    if (c->shape->norm) memory_output(c, n, c->O[c->layers], c->Z[0], &c->query, c->Y);
    memory_output_slope(c, n, &c->query, c->dY, c->dO);
    memory_scans_backward(c, W, S, dW, dS, n);
}

typedef void (*MemoryBackwardForm)(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                   int64_t n);

static void memory_save_gates(const MemoryChunk *c, const MemoryGradient *d, int64_t at, int64_t h,
                              int64_t n) {
    const MemoryShape *s = c->shape;
    const int64_t channels = memory_channels(s);
    for (int64_t t = 0; t < n; t++) {
        const int64_t first = ((at + t) * s->heads + h) * c->sets;
        for (int g = 0; g < c->sets; g++) {
            if (!s->channelwise) d->keep[first + g] += c->gates[g].dkeep[t];
            d->theta[first + g] += c->gates[g].dtheta[t];
            d->eta[first + g] += c->gates[g].deta[t];
        }
        for (int l = 1; s->channelwise && l <= c->layers; l++) {
            float *keep = d->keep + (first + (s->per_layer ? l - 1 : 0)) * channels;
            const float *row = c->ddecay[l] + t * c->ld[l];
            for (int64_t j = 0, i = 0; j < c->width[l]; j++, i = i + 1 < channels ? i + 1 : 0)
                keep[i] += row[j];
        }
    }
}

typedef struct {
    const MemoryInput *in;
    const float *snapshots, *dy;
    const MemoryGradient *d;
    float *dstate;
    MemoryBackwardForm form;
} MemoryBackward;

/* Tokens t .. t + n - 1 of head i, one chunk whose start is the snapshot. */
static void memory_backward_chunk(MemoryChunk *c, const MemoryBackward *job, const float *snapshot, int64_t i,
                                  int64_t t, int64_t n) {
    const MemoryShape *s = c->shape;
    const MemoryGradient *d = job->d;
    const int L = s->layers;
    const int64_t n0 = s->width[0], nl = s->width[L], b = i / s->heads, h = i % s->heads;
    const int64_t token = b * s->tokens + t, at0 = (token * s->heads + h) * n0;
    const int64_t atl = (token * s->heads + h) * nl;
    const float *W = snapshot, *S = snapshot + c->weights;
    float *dW = job->dstate + i * 2 * c->weights, *dS = dW + c->weights;
    memory_load(c, job->in, b, h, t, n, job->form == memory_adjoint);
    memory_inner_gradient(c, W, n);
    memory_chunk_clear(c, n);
    rows_load(n, nl, job->dy + atl, s->heads * nl, c->dY, c->ld[L]);
    job->form(c, W, S, dW, dS, n);
    memory_inner_backward(c, W, dW, n);
    rows_add_to(n, n0, 1.0f, c->dZ, c->ld[0], d->q + at0, s->heads * n0);
    if (s->residual) rows_add_to(n, n0, 1.0f, c->dY, c->ld[0], d->q + at0, s->heads * n0);
    rows_add_to(n, n0, 1.0f, c->dH[0], c->ld[0], d->k + at0, s->heads * n0);
    rows_add_to(n, nl, -2.0f, c->dD[L], c->ld[L], d->v + atl, s->heads * nl);
    memory_save_gates(c, d, token, h, n);
}

static void memory_backward_head(MemoryChunk *c, int64_t i, const void *job) {
    const MemoryBackward *back = job;
    const MemoryShape *s = c->shape;
    const int64_t chunks = memory_chunks(s);
    for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) {
        const int64_t t = chunk * s->chunk, left = s->tokens - t;
        memory_backward_chunk(c, back, back->snapshots + (i * chunks + chunk) * 2 * c->weights, i, t,
                              left < s->chunk ? left : s->chunk);
    }
}

static void memory_backward(const MemoryShape *s, const MemoryInput *in, const float *snapshots,
                            const float *dy, const MemoryGradient *d, float *dstate, float *workspace) {
    const MemoryBackward job = {in, snapshots, dy,
                                d,  dstate,    s->channelwise ? memory_adjoint : memory_dual_backward};
    memory_each_head(s, workspace, SCRATCH_ALL, memory_backward_head, &job);
}

static void memory_backward_scan(const MemoryShape *s, const MemoryInput *in, const float *snapshots,
                                 const float *dy, const MemoryGradient *d, float *dstate, float *workspace) {
    const MemoryBackward job = {in, snapshots, dy, d, dstate, memory_adjoint};
    memory_each_head(s, workspace, SCRATCH_ALL, memory_backward_head, &job);
}

typedef struct {
    const float *q, *weights, *dy;
    int64_t stride, dstride;
    float *y, *dq, *dweights;
} MemoryRead;

/* Queries of head i, s->chunk rows at a time; with dy their backward. */
static void memory_read_head(MemoryChunk *c, int64_t i, const void *job) {
    const MemoryRead *r = job;
    const MemoryShape *s = c->shape;
    const int64_t n0 = s->width[0], nl = s->width[s->layers], h = i % s->heads;
    const float *W = r->weights + i * r->stride;
    for (int64_t t = 0, n; t < s->tokens; t += n) {
        const int64_t at = (i / s->heads * s->tokens + t) * s->heads + h;
        n = s->tokens - t < s->chunk ? s->tokens - t : s->chunk;
        rows_load(n, n0, r->q + at * n0, s->heads * n0, c->Z[0], c->ld[0]);
        memory_read_rows(c, W, n);
        if (r->y) rows_save(n, nl, c->Y, c->ld[s->layers], r->y + at * nl, s->heads * nl);
        if (!r->dy) continue;
        rows_load(n, nl, r->dy + at * nl, s->heads * nl, c->dY, c->ld[s->layers]);
        memory_read_rows_backward(c, W, r->dweights + i * r->dstride, n);
        rows_add_to(n, n0, 1.0f, c->dZ, c->ld[0], r->dq + at * n0, s->heads * n0);
    }
}

static void memory_read(const MemoryShape *s, const float *q, const float *weights, int64_t stride, float *y,
                        float *workspace) {
    const MemoryRead job = {.q = q, .weights = weights, .stride = stride, .y = y};
    memory_each_head(s, workspace, SCRATCH_ROWS, memory_read_head, &job);
}

static void memory_read_backward(const MemoryShape *s, const float *q, const float *weights, int64_t stride,
                                 const float *dy, float *dq, float *dweights, int64_t dstride,
                                 float *workspace) {
    const MemoryRead job = {.q = q,
                            .weights = weights,
                            .stride = stride,
                            .dy = dy,
                            .dq = dq,
                            .dweights = dweights,
                            .dstride = dstride};
    memory_each_head(s, workspace, SCRATCH_ALL, memory_read_head, &job);
}

const struct memory_kernel KERNEL(memory_kernel) = {
    memory_workspace_floats, memory_forward_scan, memory_forward_dual, memory_backward,
    memory_backward_scan,    memory_read,         memory_read_backward};
