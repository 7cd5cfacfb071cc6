/* Scans with a decay for every channel. */
#include "base/check.h"
#include "op/op.h"

#include <string.h>

typedef struct {
    Arena *arena;
    ScanShape shape;
    ScanInput in;
    ScanGradient d;
    Tensor *y, *before, *after;
    const float *snapshots;
} Scan;

/* The gradient of the state after becomes that of the state before in place: nobody reads it any more. */
static void scan_backward(void *context) {
    const Scan *c = context;
    const ArenaMark scratch = arena_mark(c->arena);
    float *workspace = arena_floats(c->arena, kernel->scan->workspace_floats(&c->shape, 1));
    kernel->scan->backward(&c->shape, &c->in, c->snapshots, c->y->grad, &c->d, c->after->grad, workspace);
    arena_release(c->arena, scratch);
    if (c->before->grad) kernel->act->add(c->before->rows * c->before->cols, c->after->grad, c->before->grad);
}

static void scan_check(const ScanShape *s, const ScanTensors *in, const Tensor *state) {
    const int64_t rows = s->batch * s->tokens;
    CHECK(in->u->rows == rows && in->u->cols == s->channels, "u %ld x %ld", in->u->rows, in->u->cols);
    CHECK(in->step->rows == rows && in->step->cols == s->channels, "step %ld x %ld", in->step->rows,
          in->step->cols);
    CHECK(in->selected->rows == rows && in->b_column + s->states <= in->selected->cols &&
              in->c_column + s->states <= in->selected->cols,
          "selected %ld x %ld", in->selected->rows, in->selected->cols);
    CHECK(!in->a || (in->a->rows == s->states && in->a->cols == s->channels), "a %ld x %ld", in->a->rows,
          in->a->cols);
    CHECK(in->skip->cols == s->channels, "skip of %ld", in->skip->cols);
    CHECK(state->rows == s->batch * s->states && state->cols == s->channels, "state %ld x %ld", state->rows,
          state->cols);
}

static Tensor *scan_copy(Tape *tape, const Tensor *before) {
    Tensor *after = tape_tensor(tape, before->rows, before->cols);
    memcpy(after->data, before->data, (size_t)(before->rows * before->cols) * sizeof(float));
    return after;
}

/* `from` columns further on, where there is an array. */
static float *column(float *x, int64_t from) { return x ? x + from : 0; }

Tensor *op_scan(Tape *tape, const ScanShape *shape, const ScanTensors *t, Tensor **state) {
    ScanShape s = *shape;
    s.stride = t->selected->cols;
    scan_check(&s, t, *state);
    const ScanInput in = {t->u->data,
                          t->step->data,
                          t->a ? t->a->data : 0,
                          t->selected->data + t->b_column,
                          t->selected->data + t->c_column,
                          t->skip->data};
    const ScanGradient d = {t->u->grad,
                            t->step->grad,
                            t->a ? t->a->grad : 0,
                            column(t->selected->grad, t->b_column),
                            column(t->selected->grad, t->c_column),
                            t->skip->grad};
    Tensor *y = tape_tensor(tape, t->u->rows, t->u->cols), *before = *state;
    float *snapshots = tape->recording ? arena_floats(tape->arena, kernel->scan->snapshot_floats(&s)) : 0;
    if (tape->recording) *state = scan_copy(tape, before);
    const ArenaMark scratch = arena_mark(tape->arena);
    float *workspace = arena_floats(tape->arena, kernel->scan->workspace_floats(&s, 0));
    kernel->scan->forward(&s, &in, (*state)->data, y->data, snapshots, workspace);
    arena_release(tape->arena, scratch);
    tape_push(tape, scan_backward, &(Scan){tape->arena, s, in, d, y, before, *state, snapshots},
              sizeof(Scan));
    return y;
}
