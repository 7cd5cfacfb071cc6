#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

#include <string.h>

typedef struct {
    Arena *arena;
    DeltaShape shape;
    DeltaTensors in;
    Tensor *o, *before, *after;
    const float *snapshots;
} Delta;

static const float *data_of(const Tensor *t) { return t ? t->data : 0; }
static float *grad_of(const Tensor *t) { return t ? t->grad : 0; }

static DeltaInput delta_input(const DeltaTensors *t) {
    return (DeltaInput){data_of(t->q),    data_of(t->k), data_of(t->v), data_of(t->decay),
                        data_of(t->rate), data_of(t->a), data_of(t->b)};
}

static void delta_backward(void *context) {
    const Delta *c = context;
    const DeltaTensors *t = &c->in;
    const DeltaInput in = delta_input(t);
    const DeltaGradient d = {grad_of(t->q),    grad_of(t->k), grad_of(t->v), grad_of(t->decay),
                             grad_of(t->rate), grad_of(t->a), grad_of(t->b)};
    const ArenaMark scratch = arena_mark(c->arena);
    float *partial = arena_floats(c->arena, kernel->delta->partial_floats(&c->shape));
    float *workspace =
        arena_floats(c->arena, parallel_threads() * kernel->delta->workspace_floats(&c->shape));
    kernel->delta->backward(&c->shape, &in, c->snapshots, c->o->grad, &d, c->after->grad, partial, workspace);
    if (c->before->grad) kernel->act->add(c->after->rows * c->after->cols, c->after->grad, c->before->grad);
    arena_release(c->arena, scratch);
}

Tensor *op_delta(Tape *tape, const DeltaShape *shape, const DeltaTensors *in, Tensor **state) {
    const int64_t rows = shape->batch * shape->tokens, matrix = shape->keys * shape->values;
    Tensor *before = *state, *o = tape_tensor(tape, rows, shape->heads * shape->values);
    const DeltaInput input = delta_input(in);
    CHECK(in->q->rows == rows && in->q->cols == shape->key_heads * shape->keys, "q %ld x %ld", in->q->rows,
          in->q->cols);
    CHECK(before->rows == shape->batch * shape->heads && before->cols == matrix, "state %ld x %ld",
          before->rows, before->cols);
    float *snapshots = 0;
    if (tape->recording) {
        *state = tape_tensor(tape, before->rows, before->cols);
        memcpy((*state)->data, before->data, (size_t)(before->rows * matrix) * sizeof(float));
        snapshots = arena_floats(tape->arena, before->rows * delta_chunks(shape) * matrix);
    }
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace = arena_floats(tape->arena, parallel_threads() * kernel->delta->workspace_floats(shape));
    kernel->delta->forward(shape, &input, (*state)->data, o->data, snapshots, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, delta_backward, &(Delta){tape->arena, *shape, *in, o, before, *state, snapshots},
              sizeof(Delta));
    return o;
}
