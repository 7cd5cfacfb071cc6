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
    for (int64_t r = 0; r < c->y->rows; r++)
        kernel->act->add(c->y->cols, c->y->grad + r * c->y->cols, c->w->grad);
}

Tensor *op_bias(Tape *tape, Tensor *x, Tensor *bias) {
    CHECK(x->cols == bias->cols && bias->rows == 1, "%ld columns, bias %ld x %ld", x->cols, bias->rows,
          bias->cols);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    memcpy(y->data, x->data, (size_t)(x->rows * x->cols) * sizeof(float));
    for (int64_t r = 0; r < x->rows; r++) kernel->act->add(x->cols, bias->data, y->data + r * x->cols);
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
    memcpy(y->data, a->data, (size_t)(a->rows * a->cols) * sizeof(float));
    kernel->act->add(a->rows * a->cols, b->data, y->data);
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
