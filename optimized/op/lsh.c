#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

typedef struct {
    Arena *arena;
    LshShape shape;
    Tensor *x, *v, *y;
    const float *rotations;
} Lsh;

static void lsh_op_backward(void *context) {
    const Lsh *c = context;
    const ArenaMark scratch = arena_mark(c->arena);
    float *workspace =
        arena_floats(c->arena, parallel_threads() * kernel->lsh->workspace_floats(&c->shape, 1));
    const int64_t indices = parallel_threads() * kernel->lsh->index_count(&c->shape);
    int32_t *index = arena_take(c->arena, (size_t)indices * sizeof *index);
    kernel->lsh->backward(&c->shape, c->x->data, c->v->data, c->rotations, c->y->grad, c->x->grad, c->v->grad,
                          workspace, index);
    arena_release(c->arena, scratch);
}

Tensor *op_lsh(Tape *tape, const LshShape *shape, Tensor *x, Tensor *v, const float *rotations,
               Tensor *state) {
    CHECK(!tape->recording || shape->past == 0,
          "training needs the whole sequence in one call, %ld tokens came before", shape->past);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace =
        arena_floats(tape->arena, parallel_threads() * kernel->lsh->workspace_floats(shape, 0));
    kernel->lsh->forward(shape, x->data, v->data, rotations, state->data, y->data, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, lsh_op_backward, &(Lsh){tape->arena, *shape, x, v, y, rotations}, sizeof(Lsh));
    return y;
}
