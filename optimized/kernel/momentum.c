#include "kernel/momentum/adjoint.h"
#include "kernel/momentum/forward.h"

#include <string.h>

static int64_t momentum_workspace(const DeltaShape *s) {
    int64_t chunk;
    momentum_chunk(s, 0, &chunk);
    return chunk > momentum_tile(s) ? chunk : momentum_tile(s);
}

static void momentum_forward_part(ParallelPart part, const DeltaShape *s, const MomentumInput *in,
                                  float *state, float *o, float *snapshots, float *workspace) {
    float *errors = snapshots ? snapshots + momentum_states(s) : 0;
    for (int64_t i = part.begin; i < part.end; i++) {
        const DeltaTask t = delta_task(s, 0, i);
        const MomentumForward y = {&t, in,        workspace + part.thread * momentum_workspace(s),
                                   o,  snapshots, errors};
        float *states = state + (t.batch * s->heads + t.head) * 2 * s->keys * s->values;
        momentum_load_all(&t, states, y.states);
        for (int64_t from = 0; from < s->tokens; from += DELTA_BLOCK) momentum_forward_block(&y, from);
        momentum_save_all(&t, y.states, states);
    }
}

static void momentum_forward(const DeltaShape *s, const MomentumInput *in, float *state, float *o,
                             float *snapshots, float *workspace) {
    PARALLEL_PARTS(parallel_threads(), delta_tasks(s), 1,
                   momentum_forward_part(part, s, in, state, o, snapshots, workspace));
}

static void momentum_gather_row(const DeltaShape *s, int64_t row, const MomentumPartial *p,
                                const MomentumGradient *d) {
    const int64_t K = s->keys, rows = s->batch * s->tokens * s->heads,
                  tiles = (s->values + DELTA_TILE - 1) / DELTA_TILE;
    float *const keyed[] = {p->q, p->k, p->p}, *const to[] = {d->q, d->k, d->p};
    float *const number[] = {p->keep, p->carry, p->rate, p->step}, *const sum[] = {d->keep, d->carry, d->rate,
                                                                                   d->step};
    for (int i = 0; i < 3; i++) delta_gather(K, tiles, rows * K, keyed[i] + row * K, to[i] + row * K);
    for (int i = 0; i < 4; i++)
        for (int64_t tile = 0; tile < tiles; tile++) sum[i][row] += number[i][tile * rows + row];
}

/* The gradients of both states of a tile, (2 x keys x values), into a chunk's and back. */
static void momentum_gradients_load(const MomentumChunk *c, const float *dstate) {
    delta_tile_load(c->task, dstate, c->states);
    delta_tile_load(c->task, dstate + c->task->shape->keys * c->task->shape->values,
                    c->states + c->ld * c->task->width);
}
static void momentum_gradients_save(const MomentumChunk *c, float *dstate) {
    delta_tile_save(c->task, c->states, dstate);
    delta_tile_save(c->task, c->states + c->ld * c->task->width,
                    dstate + c->task->shape->keys * c->task->shape->values);
}

static void momentum_back_part(ParallelPart part, const DeltaShape *s, const MomentumInput *in,
                               const float *snapshots, const float *d_o, const MomentumGradient *d,
                               float *dstate, float *partial, float *workspace) {
    const int64_t both = 2 * s->keys * s->values;
    const MomentumPartial own = {d->q, d->k, d->p, d->keep, d->carry, d->rate, d->step, 1};
    float *scratch = workspace + part.thread * momentum_workspace(s);
    int64_t floats;
    MomentumChunk c = momentum_chunk(s, scratch, &floats);
    c.in = in;
    for (int64_t i = part.begin; i < part.end; i++) {
        const DeltaTask t = delta_task(s, 0, i);
        const int64_t head = t.batch * s->heads + t.head;
        const MomentumPartial p = momentum_whole(s) ? own : momentum_partial(s, t.tile, partial, 0);
        /* Pads, and rows behind the last token, are read and never written. */
        memset(scratch, 0, (size_t)floats * sizeof(float));
        c.task = &t;
        momentum_gradients_load(&c, dstate + head * both);
        for (int64_t chunk = delta_chunks(s) - 1; chunk >= 0; chunk--)
            momentum_back_chunk(&c, chunk, snapshots, d_o, d, &p);
        momentum_gradients_save(&c, dstate + head * both);
    }
}

static void momentum_gather_part(ParallelPart part, const DeltaShape *s, float *partial,
                                 const MomentumGradient *d) {
    const MomentumPartial p = momentum_partial(s, 0, partial, 0);
    for (int64_t row = part.begin; row < part.end; row++) momentum_gather_row(s, row, &p, d);
}

static void momentum_backward(const DeltaShape *s, const MomentumInput *in, const float *snapshots,
                              const float *d_o, const MomentumGradient *d, float *dstate, float *partial,
                              float *workspace) {
    PARALLEL_PARTS(parallel_threads(), delta_tasks(s), 1,
                   momentum_back_part(part, s, in, snapshots, d_o, d, dstate, partial, workspace));
    if (momentum_whole(s)) return;
    PARALLEL_PARTS(parallel_threads(), s->batch * s->tokens * s->heads, 1,
                   momentum_gather_part(part, s, partial, d));
}

const struct momentum_kernel KERNEL(momentum_kernel) = {momentum_workspace, momentum_partial_floats,
                                                        momentum_forward, momentum_backward};
