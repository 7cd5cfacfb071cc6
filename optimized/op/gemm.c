/* Linear maps. */
#include "base/check.h"
#include "op/op.h"

typedef struct {
    Tensor *x, *w, *y;
} Binary;

static void linear_backward(void *context) {
    const Binary *c = context;
    const int64_t R = c->x->rows, In = c->x->cols, Out = c->w->cols;
    if (c->x->grad)
        kernel->gemm->run(GEMM_NT, R, In, Out, c->y->grad, Out, c->w->data, Out, c->x->grad, In, 1);
    if (c->w->grad)
        kernel->gemm->run(GEMM_TN, In, Out, R, c->x->data, In, c->y->grad, Out, c->w->grad, Out, 1);
}

Tensor *op_linear(Tape *tape, Tensor *x, Tensor *w) {
    CHECK(x->cols == w->rows, "%ld x %ld times %ld x %ld", x->rows, x->cols, w->rows, w->cols);
    Tensor *y = tape_tensor(tape, x->rows, w->cols);
    kernel->gemm->run(GEMM_NN, x->rows, w->cols, x->cols, x->data, x->cols, w->data, w->cols, y->data,
                      w->cols, 0);
    tape_push(tape, linear_backward, &(Binary){x, w, y}, sizeof(Binary));
    return y;
}
