#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

typedef struct {
    Arena *arena;
    FavorShape shape;
    Tensor *q, *k, *v, *y;
    const float *projection;
} Favor;

static void favor_op_backward(void *context) {
    const Favor *c = context;
    const ArenaMark scratch = arena_mark(c->arena);
    float *workspace =
        arena_floats(c->arena, parallel_threads() * kernel->favor->workspace_floats(&c->shape, 1));
    kernel->favor->backward(&c->shape, c->q->data, c->k->data, c->v->data, c->projection, c->y->grad,
                            c->q->grad, c->k->grad, c->v->grad, workspace);
    arena_release(c->arena, scratch);
}

Tensor *op_favor(Tape *tape, const FavorShape *shape, Tensor *q, Tensor *k, Tensor *v,
                 const float *projection, Tensor *state) {
    CHECK(!tape->recording || shape->past == 0,
          "training needs the whole sequence in one call, %ld tokens came before", shape->past);
    Tensor *y = tape_tensor(tape, q->rows, q->cols);
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace =
        arena_floats(tape->arena, parallel_threads() * kernel->favor->workspace_floats(shape, 0));
    kernel->favor->forward(shape, q->data, k->data, v->data, projection, state->data, y->data, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, favor_op_backward, &(Favor){tape->arena, *shape, q, k, v, y, projection}, sizeof(Favor));
    return y;
}
