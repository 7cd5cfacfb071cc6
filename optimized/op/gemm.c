/* Linear maps. */
#include "base/check.h"
#include "op/op.h"

typedef struct {
    Tensor *x, *w, *y;
    Precision precision;
} Linear;

static void product(Precision precision, GemmForm form, int64_t M, int64_t N, int64_t K, const float *A,
                    int64_t lda, const float *B, int64_t ldb, float *C, int accumulate) {
    (precision == BF16 ? kernel->bf16->run : kernel->gemm->run)(form, M, N, K, A, lda, B, ldb, C, N,
                                                                accumulate);
}

static void linear_backward(void *context) {
    const Linear *c = context;
    const int64_t R = c->x->rows, In = c->x->cols, Out = c->w->cols;
    if (c->x->grad)
        product(c->precision, GEMM_NT, R, In, Out, c->y->grad, Out, c->w->data, Out, c->x->grad, 1);
    if (c->w->grad)
        product(c->precision, GEMM_TN, In, Out, R, c->x->data, In, c->y->grad, Out, c->w->grad, 1);
}

static Tensor *linear(Tape *tape, Tensor *x, Tensor *w, Precision precision) {
    CHECK(x->cols == w->rows, "%ld x %ld times %ld x %ld", x->rows, x->cols, w->rows, w->cols);
    Tensor *y = tape_tensor(tape, x->rows, w->cols);
    product(precision, GEMM_NN, x->rows, w->cols, x->cols, x->data, x->cols, w->data, w->cols, y->data, 0);
    tape_push(tape, linear_backward, &(Linear){x, w, y, precision}, sizeof(Linear));
    return y;
}

Tensor *op_linear(Tape *tape, Tensor *x, Tensor *w) { return linear(tape, x, w, tape->precision); }
Tensor *op_linear_float32(Tape *tape, Tensor *x, Tensor *w) { return linear(tape, x, w, FLOAT32); }
