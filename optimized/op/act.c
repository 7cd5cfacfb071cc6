/* Elementwise ops. */
#include "base/check.h"
#include "op/op.h"

#include <string.h>

typedef struct {
    Tensor *x, *w, *y;
} Binary;

static void bias_backward(void *context) {
    const Binary *c = context;
    kernel->act->add(c->y->rows * c->y->cols, c->y->grad, c->x->grad);
    kernel->act->sum_rows(c->y->rows, c->y->cols, c->y->grad, c->w->grad);
}

Tensor *op_bias(Tape *tape, Tensor *x, Tensor *bias) {
    CHECK(x->cols == bias->cols && bias->rows == 1, "%ld columns, bias %ld x %ld", x->cols, bias->rows,
          bias->cols);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    kernel->act->sum(x->rows, x->cols, 1, x->data, bias->data, y->data);
    tape_push(tape, bias_backward, &(Binary){x, bias, y}, sizeof(Binary));
    return y;
}

static void add_backward(void *context) {
    const Binary *c = context;
    if (c->x->grad) kernel->act->add(c->y->rows * c->y->cols, c->y->grad, c->x->grad);
    if (c->w->grad) kernel->act->add(c->y->rows * c->y->cols, c->y->grad, c->w->grad);
}

Tensor *op_add(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(a->rows == b->rows && a->cols == b->cols, "%ld x %ld and %ld x %ld", a->rows, a->cols, b->rows,
          b->cols);
    Tensor *y = tape_tensor(tape, a->rows, a->cols);
    kernel->act->sum(a->rows, a->cols, 0, a->data, b->data, y->data);
    tape_push(tape, add_backward, &(Binary){a, b, y}, sizeof(Binary));
    return y;
}

static void swiglu_backward(void *context) {
    const Binary *c = context;
    kernel->act->swiglu_backward(c->y->rows * c->y->cols, c->x->data, c->w->data, c->y->grad, c->x->grad,
                                 c->w->grad);
}

Tensor *op_swiglu(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(a->rows == b->rows && a->cols == b->cols, "%ld x %ld and %ld x %ld", a->rows, a->cols, b->rows,
          b->cols);
    Tensor *y = tape_tensor(tape, a->rows, a->cols);
    kernel->act->swiglu(a->rows * a->cols, a->data, b->data, y->data);
    tape_push(tape, swiglu_backward, &(Binary){a, b, y}, sizeof(Binary));
    return y;
}

static void gate_backward(void *context) {
    const Binary *c = context;
    kernel->act->gate_backward(c->y->rows * c->y->cols, c->x->data, c->w->data, c->y->grad, c->x->grad,
                               c->w->grad);
}

Tensor *op_gate(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(a->rows == b->rows && a->cols == b->cols, "%ld x %ld and %ld x %ld", a->rows, a->cols, b->rows,
          b->cols);
    Tensor *y = tape_tensor(tape, a->rows, a->cols);
    kernel->act->gate(a->rows * a->cols, a->data, b->data, y->data);
    tape_push(tape, gate_backward, &(Binary){a, b, y}, sizeof(Binary));
    return y;
}
