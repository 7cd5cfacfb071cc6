#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

#include <string.h>

/* ---- the state: every head's parts, W[1] b[1] W[2] b[2], then no open rows ---- */

enum { TTT_PARTS = 4 };

typedef struct {
    Tensor *part[TTT_PARTS], *state;
    int parts;
    int64_t heads, weights;
} TttStart;

/* Numbers of part i in one head. */
static int64_t start_size(const TttStart *c, int i) { return c->part[i]->rows * c->part[i]->cols / c->heads; }

static void ttt_start_backward(void *context) {
    const TttStart *c = context;
    for (int64_t i = 0; i < c->state->rows; i++)
        for (int64_t p = 0, at = i * c->weights; p < c->parts; p++) {
            const int64_t size = start_size(c, (int)p);
            kernel->act->add(size, c->state->grad + at, c->part[p]->grad + i % c->heads * size);
            at += size;
        }
}

Tensor *op_ttt_start(Tape *tape, const TttShape *shape, Tensor *part) {
    TttStart c = {.parts = 2 * shape->layers, .heads = shape->heads, .weights = ttt_weights(shape)};
    int64_t weights = 0;
    for (int p = 0; p < c.parts; p++) {
        c.part[p] = part + p;
        weights += start_size(&c, p);
    }
    CHECK(weights == c.weights, "%ld numbers of a head, %ld weights", weights, c.weights);
    c.state = tape_tensor(tape, shape->batch * shape->heads, ttt_state(shape));
    for (int64_t i = 0; i < c.state->rows; i++) {
        float *to = c.state->data + i * c.state->cols;
        for (int p = 0; p < c.parts; p++) {
            const int64_t size = start_size(&c, p);
            memcpy(to, part[p].data + i % c.heads * size, (size_t)size * sizeof(float));
            to += size;
        }
        memset(to, 0, (size_t)(c.state->cols - weights) * sizeof(float));
    }
    tape_push(tape, ttt_start_backward, &c, sizeof c);
    return c.state;
}

/* ---- rates ---- */

typedef struct {
    TttShape shape;
    float base;
    Tensor *z, *learn;
    TttRates rates;
} Rates;

static void ttt_rates_backward(void *context) {
    const Rates *c = context;
    kernel->ttt->rates_backward(&c->shape, c->base, c->learn->data, c->z->data, c->rates.reader->grad,
                                c->rates.rate->grad, c->learn->grad, c->z->grad);
}

TttRates op_ttt_rates(Tape *tape, const TttShape *shape, float base, Tensor *learn, Tensor *z) {
    CHECK(z->cols == shape->heads && z->rows == shape->batch * shape->tokens, "z %ld x %ld", z->rows,
          z->cols);
    CHECK(learn->cols == shape->mini_batch, "%ld token rates, mini-batches of %ld", learn->cols,
          shape->mini_batch);
    const TttRates rates = {tape_tensor(tape, z->rows, z->cols), tape_tensor(tape, z->rows, z->cols)};
    kernel->ttt->rates(shape, base, learn->data, z->data, rates.reader->data, rates.rate->data);
    tape_push(tape, ttt_rates_backward, &(Rates){*shape, base, z, learn, rates}, sizeof(Rates));
    return rates;
}

/* ---- the inner model ---- */

typedef struct {
    Arena *arena;
    TttShape shape;
    TttTokens x;
    Tensor *y, *before, *after;
    const float *snapshots;
    float *partial; /* gains, then biases, of every head of every sequence */
} Ttt;

static float *ttt_workspace(Arena *arena, const TttShape *shape) {
    return arena_floats(arena, parallel_threads() * kernel->ttt->workspace_floats(shape));
}

static TttInput ttt_input(const TttTokens *x) {
    return (TttInput){x->k->data,          x->v->data,    x->q->data,   x->rates.reader->data,
                      x->rates.rate->data, x->gain->data, x->bias->data};
}

static void ttt_backward(void *context) {
    const Ttt *c = context;
    const TttTokens *x = &c->x;
    const int64_t width = x->gain->cols, batch = c->shape.batch,
                  used = c->after->rows * ttt_weights(&c->shape);
    const TttInput in = ttt_input(x);
    const TttGradient d = {x->k->grad,
                           x->v->grad,
                           x->q->grad,
                           x->rates.reader->grad,
                           x->rates.rate->grad,
                           c->partial,
                           c->partial + batch * width};
    const ArenaMark scratch = arena_mark(c->arena);
    float *workspace = ttt_workspace(c->arena, &c->shape);
    memset(c->partial, 0, (size_t)(2 * batch * width) * sizeof(float));
    kernel->ttt->backward(&c->shape, &in, c->snapshots, c->y->grad, &d, c->after->grad, workspace);
    arena_release(c->arena, scratch);
    for (int64_t b = 0; b < batch; b++) {
        kernel->act->add(width, d.gain + b * width, x->gain->grad);
        kernel->act->add(width, d.bias + b * width, x->bias->grad);
    }
    if (c->before->grad) kernel->act->add(used, c->after->grad, c->before->grad);
}

static Tensor *ttt_copy_state(Tape *tape, const Tensor *before) {
    Tensor *after = tape_tensor(tape, before->rows, before->cols);
    memcpy(after->data, before->data, (size_t)(before->rows * before->cols) * sizeof(float));
    return after;
}

Tensor *op_ttt(Tape *tape, const TttShape *shape, const TttTokens *x, Tensor **state) {
    const int64_t rows = shape->batch * shape->tokens, width = shape->heads * shape->width[0];
    CHECK(x->k->rows == rows && x->k->cols == width && x->gain->cols == width, "k %ld x %ld, gain %ld",
          x->k->rows, x->k->cols, x->gain->cols);
    CHECK((*state)->rows == shape->batch * shape->heads && (*state)->cols == ttt_state(shape),
          "state %ld x %ld", (*state)->rows, (*state)->cols);
    CHECK(!tape->recording || shape->position == 0,
          "training must begin where a mini-batch does, not at its token %ld", shape->position);
    Ttt c = {.arena = tape->arena,
             .shape = *shape,
             .x = *x,
             .y = tape_tensor(tape, rows, width),
             .before = *state};
    float *snapshots = 0;
    if (tape->recording) {
        *state = ttt_copy_state(tape, c.before);
        snapshots = arena_floats(tape->arena, (*state)->rows * ttt_mini_batches(shape) * ttt_weights(shape));
        c.partial = arena_floats(tape->arena, 2 * shape->batch * width);
    }
    c.snapshots = snapshots;
    c.after = *state;
    const TttInput in = ttt_input(x);
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace = ttt_workspace(tape->arena, shape);
    kernel->ttt->forward(shape, &in, (*state)->data, c.y->data, snapshots, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, ttt_backward, &c, sizeof c);
    return c.y;
}
