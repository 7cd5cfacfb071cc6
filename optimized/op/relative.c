#include "base/check.h"
#include "base/parallel.h"
#include "op/op.h"

typedef struct {
    Arena *arena;
    RelativeShape shape;
    Tensor *q, *p, *k, *v, *r, *y;
    const float *statistics;
} Relative;

static RelativeInput relative_input(const Relative *c) {
    return (RelativeInput){c->q->data, c->p->data, c->k->data, c->v->data, c->r->data};
}

static void relative_backward(void *context) {
    const Relative *c = context;
    const ArenaMark scratch = arena_mark(c->arena);
    const RelativeInput in = relative_input(c);
    const RelativeGradient grad = {c->q->grad, c->p->grad, c->k->grad, c->v->grad, c->r->grad};
    float *workspace =
        arena_floats(c->arena, parallel_threads() * kernel->relative->workspace_floats(&c->shape));
    kernel->relative->backward(&c->shape, &in, c->y->data, c->statistics, c->y->grad, &grad, workspace);
    arena_release(c->arena, scratch);
}

Tensor *op_relative_attention(Tape *tape, const RelativeShape *s, const RelativeTensors *in) {
    CHECK(s->tokens <= s->keys && s->keys <= s->key_rows && s->keys <= s->distances,
          "%ld queries of %ld keys in %ld rows, %ld distances", s->tokens, s->keys, s->key_rows,
          s->distances);
    CHECK(!tape->recording || s->key_rows == s->keys, "%ld rows for %ld keys while recording", s->key_rows,
          s->keys);
    Relative c = {tape->arena, *s, in->q, in->p, in->k, in->v, in->r, 0, 0};
    c.y = tape_tensor(tape, in->q->rows, in->q->cols);
    float *statistics = tape->recording ? arena_floats(tape->arena, s->batch * s->heads * s->tokens * 2) : 0;
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace = arena_floats(tape->arena, parallel_threads() * kernel->relative->workspace_floats(s));
    const RelativeInput numbers = relative_input(&c);
    kernel->relative->forward(s, &numbers, c.y->data, statistics, workspace);
    arena_release(tape->arena, scratch);
    c.statistics = statistics;
    tape_push(tape, relative_backward, &c, sizeof c);
    return c.y;
}
