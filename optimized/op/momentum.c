#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

#include <string.h>

typedef struct {
    Arena *arena;
    DeltaShape shape;
    MomentumTensors in;
    Tensor *o, *before, *after;
    const float *snapshots;
} Momentum;

static MomentumInput momentum_input(const MomentumTensors *t) {
    return (MomentumInput){t->q->data,    t->k->data,     t->p->data,    t->v->data,
                           t->keep->data, t->carry->data, t->rate->data, t->step->data};
}

static void momentum_backward(void *context) {
    const Momentum *c = context;
    const MomentumTensors *t = &c->in;
    const MomentumInput in = momentum_input(t);
    const MomentumGradient d = {t->q->grad,    t->k->grad,     t->p->grad,    t->v->grad,
                                t->keep->grad, t->carry->grad, t->rate->grad, t->step->grad};
    const ArenaMark scratch = arena_mark(c->arena);
    float *partial = arena_floats(c->arena, kernel->momentum->partial_floats(&c->shape));
    float *workspace =
        arena_floats(c->arena, parallel_threads() * kernel->momentum->workspace_floats(&c->shape));
    kernel->momentum->backward(&c->shape, &in, c->snapshots, c->o->grad, &d, c->after->grad, partial,
                               workspace);
    if (c->before->grad) kernel->act->add(c->after->rows * c->after->cols, c->after->grad, c->before->grad);
    arena_release(c->arena, scratch);
}

Tensor *op_momentum(Tape *tape, const DeltaShape *shape, const MomentumTensors *in, Tensor **state) {
    const int64_t rows = shape->batch * shape->tokens, both = 2 * shape->keys * shape->values;
    Tensor *before = *state, *o = tape_tensor(tape, rows, shape->heads * shape->values);
    const MomentumInput input = momentum_input(in);
    CHECK(before->rows == shape->batch * shape->heads && before->cols == both, "state %ld x %ld",
          before->rows, before->cols);
    float *snapshots = 0;
    if (tape->recording) {
        *state = tape_tensor(tape, before->rows, both);
        memcpy((*state)->data, before->data, (size_t)(before->rows * both) * sizeof(float));
        snapshots = arena_floats(tape->arena, momentum_snapshot_floats(shape));
    }
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace =
        arena_floats(tape->arena, parallel_threads() * kernel->momentum->workspace_floats(shape));
    kernel->momentum->forward(shape, &input, (*state)->data, o->data, snapshots, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, momentum_backward, &(Momentum){tape->arena, *shape, *in, o, before, *state, snapshots},
              sizeof(Momentum));
    return o;
}
