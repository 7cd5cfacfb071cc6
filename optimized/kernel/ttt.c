#include "kernel/ttt.h"
#include "base/parallel.h"
#include "vec/rows.h"
#include "kernel/ttt/backward.c"

static int64_t ttt_workspace_floats(const TttShape *s) {
    TttChunk c;
    return ttt_layout(s, &c, 0);
}

/* What a pass does with head i (batch x heads + head), and what it needs to know. */
typedef void (*TttWork)(TttChunk *c, int64_t i, const void *job);

static void ttt_heads(ParallelPart part, const TttShape *s, float *workspace, int forward, TttWork work,
                      const void *job) {
    const int64_t floats = ttt_workspace_floats(s);
    float *mine = workspace + part.thread * floats;
    TttChunk c;
    ttt_layout(s, &c, mine);
    memset(mine, 0, (size_t)(forward ? c.forward : floats) * sizeof(float));
    for (int64_t i = part.begin; i < part.end; i++) work(&c, i, job);
}

/* Every head of every batch member, shared among threads; the scratch (forward: its first part) full of zeros. */
static void ttt_each_head(const TttShape *s, float *workspace, int forward, TttWork work, const void *job) {
    const int64_t heads = s->batch * s->heads;
    PARALLEL_PARTS(parallel_least(heads), heads, 1, ttt_heads(part, s, workspace, forward, work, job));
}

typedef struct {
    const TttInput *in;
    float *state, *y, *snapshots;
} TttForward;

static void ttt_forward_head(TttChunk *c, int64_t i, const void *job) {
    const TttForward *f = job;
    const TttShape *s = c->shape;
    float *w = f->state + i * ttt_state(s);
    float *snapshot = f->snapshots ? f->snapshots + i * ttt_mini_batches(s) * c->weights : 0;
    TttPart p = {i / s->heads, i % s->heads, 0, s->position, 0};
    ttt_open_rows(c, w, 0, p.from, 0);
    for (; p.t < s->tokens; p.t += p.n, p.from = 0) {
        p.n = s->mini_batch - p.from < s->tokens - p.t ? s->mini_batch - p.from : s->tokens - p.t;
        if (snapshot) {
            memcpy(snapshot, w, (size_t)c->weights * sizeof(float));
            snapshot += c->weights;
        }
        ttt_load(c, f->in, &p);
        ttt_inner(c, w, p.from, p.n);
        ttt_query(c, w, p.from, p.n);
        ttt_output(c, &p, f->y);
        if (p.from + p.n == s->mini_batch || s->closed)
            ttt_update(c, w, p.from + p.n);
        else
            ttt_open_rows(c, w, p.from, p.n, 1);
    }
}

static void ttt_forward(const TttShape *s, const TttInput *in, float *state, float *y, float *snapshots,
                        float *workspace) {
    const TttForward job = {in, state, y, snapshots};
    ttt_each_head(s, workspace, 1, ttt_forward_head, &job);
}

typedef struct {
    const TttInput *in;
    const float *snapshots, *dy;
    const TttGradient *d;
    float *dstate;
} TttBackward;

static void ttt_save_gradient(const TttChunk *c, const TttBackward *job, const TttPart *p) {
    const TttShape *s = c->shape;
    const TttGradient *d = job->d;
    const int64_t D = s->width[0], ld = c->ld[0], first = (p->b * s->tokens + p->t) * s->heads + p->h;
    const int64_t at = first * D, stride = s->heads * D;
    rows_add_to(p->n, D, s->scale, c->dQ, ld, d->q + at, stride);
    if (!s->own) rows_add_to(p->n, D, s->scale, c->dY, ld, d->q + at, stride);
    rows_add_to(p->n, D, 1.0f, c->dH[0], ld, d->k + at, stride);
    rows_add_to(p->n, D, -1.0f, c->dtarget, ld, d->k + at, stride);
    rows_add_to(p->n, D, 1.0f, c->dtarget, ld, d->v + at, stride);
    for (int64_t t = 0; t < p->n; t++) {
        d->reader[first + t * s->heads] += c->dreader[t];
        d->rate[first + t * s->heads] += c->drate[t];
    }
}

static void ttt_backward_head(TttChunk *c, int64_t i, const void *job) {
    const TttBackward *back = job;
    const TttShape *s = c->shape;
    const int64_t D = s->width[0], count = ttt_mini_batches(s);
    memset(c->dgain, 0, (size_t)c->ld[0] * sizeof(float));
    memset(c->dbias, 0, (size_t)c->ld[0] * sizeof(float));
    for (int64_t batch = count - 1; batch >= 0; batch--) {
        const int64_t t = batch * s->mini_batch, left = s->tokens - t;
        const TttPart p = {i / s->heads, i % s->heads, t, 0, left < s->mini_batch ? left : s->mini_batch};
        const float *w = back->snapshots + (i * count + batch) * c->weights;
        ttt_load(c, back->in, &p);
        ttt_inner(c, w, 0, p.n);
        ttt_query(c, w, 0, p.n);
        ttt_output(c, &p, 0);
        rows_load(p.n, D, back->dy + ((p.b * s->tokens + t) * s->heads + p.h) * D, s->heads * D, c->dY,
                  c->ld[0]);
        ttt_chunk_backward(c, w, back->dstate + i * c->weights, p.n, p.n == s->mini_batch || s->closed);
        ttt_save_gradient(c, back, &p);
    }
    rows_add_to(1, D, 1.0f, c->dgain, c->ld[0], back->d->gain + i * D, D);
    rows_add_to(1, D, 1.0f, c->dbias, c->ld[0], back->d->bias + i * D, D);
}

static void ttt_backward(const TttShape *s, const TttInput *in, const float *snapshots, const float *dy,
                         const TttGradient *d, float *dstate, float *workspace) {
    const TttBackward job = {in, snapshots, dy, d, dstate};
    ttt_each_head(s, workspace, 0, ttt_backward_head, &job);
}

/* Place in its mini-batch of row r of batch x tokens, from 0. */
static int64_t ttt_place(const TttShape *s, int64_t r) {
    return (s->position + r % s->tokens) % s->mini_batch;
}

static float ttt_reader(const float *learn, int64_t place) {
    return 1.0f / (float)(place + 1) + learn[place];
}

static void ttt_rates(const TttShape *s, float base, const float *learn, const float *z, float *reader,
                      float *rate) {
    const int64_t rows = s->batch * s->tokens;
    for (int64_t r = 0; r < rows; r++) {
        const float factor = ttt_reader(learn, ttt_place(s, r));
        for (int64_t h = 0; h < s->heads; h++) reader[r * s->heads + h] = factor < 0.0f ? 0.0f : factor;
    }
    FOR_VECTORS (j, rows * s->heads) {
        const int64_t lanes = vec_lanes(j, rows * s->heads);
        vec_store_n(rate + j, vec_mul(vec_set1(base), vec_sigmoid(vec_load_n(z + j, lanes))), lanes);
    }
}

static void ttt_rates_backward(const TttShape *s, float base, const float *learn, const float *z,
                               const float *dreader, const float *drate, float *dlearn, float *dz) {
    const int64_t rows = s->batch * s->tokens;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t place = ttt_place(s, r);
        for (int64_t h = 0; h < s->heads && !(ttt_reader(learn, place) < 0.0f); h++)
            dlearn[place] += dreader[r * s->heads + h];
    }
    FOR_VECTORS (j, rows * s->heads) {
        const int64_t lanes = vec_lanes(j, rows * s->heads);
        const Vec sigma = vec_sigmoid(vec_load_n(z + j, lanes));
        const Vec slope = vec_mul(vec_set1(base), vec_mul(sigma, vec_sub(vec_set1(1.0f), sigma)));
        vec_store_n(dz + j, vec_fma(vec_load_n(drate + j, lanes), slope, vec_load_n(dz + j, lanes)), lanes);
    }
}

const struct ttt_kernel KERNEL(ttt_kernel) = {ttt_workspace_floats, ttt_forward, ttt_backward, ttt_rates,
                                              ttt_rates_backward};
