#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

#include <string.h>

typedef struct {
    Tensor *initial, *state;
    int64_t weights;
} MemoryStart;

static void memory_start_backward(void *context) {
    const MemoryStart *c = context;
    const int64_t heads = c->initial->rows;
    for (int64_t i = 0; i < c->state->rows; i++)
        kernel->act->add(c->weights, c->state->grad + i * 2 * c->weights,
                         c->initial->grad + i % heads * c->weights);
}

Tensor *op_memory_start(Tape *tape, Tensor *initial, int64_t batch, int64_t weights) {
    CHECK(initial->cols == weights, "%ld columns, %ld weights", initial->cols, weights);
    Tensor *state = tape_tensor(tape, batch * initial->rows, 3 * weights);
    const size_t bytes = (size_t)weights * sizeof(float);
    for (int64_t i = 0; i < state->rows; i++) {
        float *to = state->data + i * 3 * weights;
        memcpy(to, initial->data + i % initial->rows * weights, bytes);
        memcpy(to + weights, to, bytes);
        memset(to + 2 * weights, 0, bytes);
    }
    tape_push(tape, memory_start_backward, &(MemoryStart){initial, state, weights}, sizeof(MemoryStart));
    return state;
}

static float *memory_workspace(Arena *arena, const MemoryShape *shape) {
    return arena_floats(arena, parallel_threads() * kernel->memory->workspace_floats(shape));
}

typedef struct {
    Arena *arena;
    MemoryShape shape;
    MemoryInput in;
    MemoryGradient d;
    Tensor *y, *before, *after;
    const float *snapshots;
} Memory;

static void memory_backward(void *context) {
    const Memory *c = context;
    const int64_t used = c->after->rows * (c->after->cols / 3 * 2);
    const ArenaMark scratch = arena_mark(c->arena);
    float *workspace = memory_workspace(c->arena, &c->shape);
    kernel->memory->backward(&c->shape, &c->in, c->snapshots, c->y->grad, &c->d, c->after->grad, workspace);
    arena_release(c->arena, scratch);
    if (c->before->grad) kernel->act->add(used, c->after->grad, c->before->grad);
}

static Tensor *memory_copy_state(Tape *tape, const Tensor *before) {
    Tensor *after = tape_tensor(tape, before->rows, before->cols);
    memcpy(after->data, before->data, (size_t)(before->rows * before->cols) * sizeof(float));
    return after;
}

Tensor *op_memory(Tape *tape, const MemoryShape *shape, Tensor *k, Tensor *v, Tensor *q, Gates gates,
                  Tensor **state, float *surprise) {
    const int64_t heads = shape->batch * shape->heads, rows = shape->batch * shape->tokens;
    CHECK(k->rows == rows && k->cols == shape->heads * shape->width[0], "k %ld x %ld", k->rows, k->cols);
    CHECK((*state)->rows == heads, "state of %ld heads, not %ld", (*state)->rows, heads);
    CHECK(!tape->recording || shape->position == 0,
          "training must begin at a chunk boundary, not at token %ld", shape->position);
    const int64_t chunks = (shape->position + shape->tokens + shape->chunk - 1) / shape->chunk;
    const MemoryInput in = {k->data, v->data, q->data, gates.keep->data, gates.theta->data, gates.eta->data};
    Tensor *y = tape_tensor(tape, rows, v->cols), *before = *state;
    MemoryOutput out = {y->data, 0, surprise};
    if (tape->recording) {
        *state = memory_copy_state(tape, before);
        out.snapshots = arena_floats(tape->arena, heads * chunks * 2 * (before->cols / 3));
    }
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace = memory_workspace(tape->arena, shape);
    kernel->memory->forward_scan(shape, &in, (*state)->data, &out, workspace);
    arena_release(tape->arena, scratch);
    const MemoryGradient d = {k->grad,          v->grad,           q->grad,
                              gates.keep->grad, gates.theta->grad, gates.eta->grad};
    tape_push(tape, memory_backward, &(Memory){tape->arena, *shape, in, d, y, before, *state, out.snapshots},
              sizeof(Memory));
    return y;
}

typedef struct {
    Arena *arena;
    MemoryShape shape;
    Tensor *q, *state, *y;
} MemoryRead;

static void memory_read_backward(void *context) {
    const MemoryRead *c = context;
    const int64_t weights = c->state->cols / 3;
    const ArenaMark scratch = arena_mark(c->arena);
    float *workspace = memory_workspace(c->arena, &c->shape);
    kernel->memory->read_backward(&c->shape, c->q->data, c->state->data + weights, 3 * weights, c->y->grad,
                                  c->q->grad, c->state->grad, 2 * weights, workspace);
    arena_release(c->arena, scratch);
}

Tensor *op_memory_read(Tape *tape, const MemoryShape *shape, Tensor *q, Tensor *state) {
    const int64_t weights = state->cols / 3;
    CHECK(q->rows == shape->batch * shape->tokens && q->cols == shape->heads * shape->width[0], "q %ld x %ld",
          q->rows, q->cols);
    Tensor *y = tape_tensor(tape, q->rows, shape->heads * shape->width[shape->layers]);
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace = memory_workspace(tape->arena, shape);
    kernel->memory->read(shape, q->data, state->data + weights, 3 * weights, y->data, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, memory_read_backward, &(MemoryRead){tape->arena, *shape, q, state, y},
              sizeof(MemoryRead));
    return y;
}
