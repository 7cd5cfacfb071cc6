#include "autograd/ops.h"
#include "check.h"

#include <string.h>

typedef struct {
    Tensor *x, *w, *y;
} Binary;

static void linear_backward(void *context) {
    const Binary *c = context;
    const int64_t R = c->x->rows, In = c->x->cols, Out = c->w->cols;
    if (c->x->grad) K->gemm->run(GEMM_NT, R, In, Out, c->y->grad, Out, c->w->data, Out, c->x->grad, In, 1);
    if (c->w->grad) K->gemm->run(GEMM_TN, In, Out, R, c->x->data, In, c->y->grad, Out, c->w->grad, Out, 1);
}

Tensor *op_linear(Tape *tape, Tensor *x, Tensor *w) {
    CHECK(x->cols == w->rows, "%ld x %ld times %ld x %ld", x->rows, x->cols, w->rows, w->cols);
    Tensor *y = tape_tensor(tape, x->rows, w->cols);
    K->gemm->run(GEMM_NN, x->rows, w->cols, x->cols, x->data, x->cols, w->data, w->cols, y->data, w->cols, 0);
    tape_push(tape, linear_backward, &(Binary){x, w, y}, sizeof(Binary));
    return y;
}

static void bias_backward(void *context) {
    const Binary *c = context;
    K->act->add(c->y->rows * c->y->cols, c->y->grad, c->x->grad);
    for (int64_t r = 0; r < c->y->rows; r++) K->act->add(c->y->cols, c->y->grad + r * c->y->cols, c->w->grad);
}

Tensor *op_bias(Tape *tape, Tensor *x, Tensor *bias) {
    CHECK(x->cols == bias->cols && bias->rows == 1, "%ld columns, bias %ld x %ld", x->cols, bias->rows,
          bias->cols);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    memcpy(y->data, x->data, (size_t)(x->rows * x->cols) * sizeof(float));
    for (int64_t r = 0; r < x->rows; r++) K->act->add(x->cols, bias->data, y->data + r * x->cols);
    tape_push(tape, bias_backward, &(Binary){x, bias, y}, sizeof(Binary));
    return y;
}

typedef struct {
    Tensor *table, *y;
    const int32_t *index;
} Gather;

static void gather_backward(void *context) {
    const Gather *c = context;
    K->embed->scatter(c->y->rows, c->y->cols, c->index, c->y->grad, c->table->grad);
}

Tensor *op_gather(Tape *tape, Tensor *table, const int32_t *index, int64_t rows) {
    for (int64_t r = 0; r < rows; r++)
        CHECK(index[r] >= 0 && index[r] < table->rows, "index %d of row %ld, table has %ld", index[r], r,
              table->rows);
    Tensor *y = tape_tensor(tape, rows, table->cols);
    K->embed->gather(rows, table->cols, index, table->data, y->data);
    tape_push(tape, gather_backward, &(Gather){table, y, index}, sizeof(Gather));
    return y;
}

static void add_backward(void *context) {
    const Binary *c = context;
    K->act->add(c->y->rows * c->y->cols, c->y->grad, c->x->grad);
    K->act->add(c->y->rows * c->y->cols, c->y->grad, c->w->grad);
}

Tensor *op_add(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(a->rows == b->rows && a->cols == b->cols, "%ld x %ld and %ld x %ld", a->rows, a->cols, b->rows,
          b->cols);
    Tensor *y = tape_tensor(tape, a->rows, a->cols);
    memcpy(y->data, a->data, (size_t)(a->rows * a->cols) * sizeof(float));
    K->act->add(a->rows * a->cols, b->data, y->data);
    tape_push(tape, add_backward, &(Binary){a, b, y}, sizeof(Binary));
    return y;
}

static void swiglu_backward(void *context) {
    const Binary *c = context;
    K->act->swiglu_backward(c->y->rows * c->y->cols, c->x->data, c->w->data, c->y->grad, c->x->grad,
                            c->w->grad);
}

Tensor *op_swiglu(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(a->rows == b->rows && a->cols == b->cols, "%ld x %ld and %ld x %ld", a->rows, a->cols, b->rows,
          b->cols);
    Tensor *y = tape_tensor(tape, a->rows, a->cols);
    K->act->swiglu(a->rows * a->cols, a->data, b->data, y->data);
    tape_push(tape, swiglu_backward, &(Binary){a, b, y}, sizeof(Binary));
    return y;
}

static void gate_backward(void *context) {
    const Binary *c = context;
    K->act->gate_backward(c->y->rows * c->y->cols, c->x->data, c->w->data, c->y->grad, c->x->grad,
                          c->w->grad);
}

Tensor *op_gate(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(a->rows == b->rows && a->cols == b->cols, "%ld x %ld and %ld x %ld", a->rows, a->cols, b->rows,
          b->cols);
    Tensor *y = tape_tensor(tape, a->rows, a->cols);
    K->act->gate(a->rows * a->cols, a->data, b->data, y->data);
    tape_push(tape, gate_backward, &(Binary){a, b, y}, sizeof(Binary));
    return y;
}

typedef struct {
    NormShape shape;
    Tensor *x, *gain, *z, *y;
    float *workspace;
} Norm;

static void norm_backward(void *context) {
    const Norm *c = context;
    K->norm->backward(&c->shape, c->x->data, c->gain->data, c->z ? c->z->data : 0, c->y->grad, c->x->grad,
                      c->gain->grad, c->z ? c->z->grad : 0, c->workspace);
}

Tensor *op_norm(Tape *tape, Tensor *x, Tensor *gain, Tensor *z, int64_t groups) {
    CHECK(x->cols == gain->cols && x->cols % groups == 0, "%ld columns, gain %ld, %ld groups", x->cols,
          gain->cols, groups);
    const NormShape shape = {x->rows, groups, x->cols / groups};
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    K->norm->forward(&shape, x->data, gain->data, z ? z->data : 0, y->data);
    float *workspace = tape->recording ? arena_floats(tape->arena, x->rows * groups) : 0;
    tape_push(tape, norm_backward, &(Norm){shape, x, gain, z, y, workspace}, sizeof(Norm));
    return y;
}

double op_cross_entropy(Tape *tape, Tensor *logits, const int32_t *target, double weight, int32_t *best) {
    const int64_t rows = logits->rows;
    double *loss = arena_take(tape->arena, (size_t)rows * sizeof(double)), sum = 0.0;
    int64_t count = 0;
    for (int64_t r = 0; r < rows; r++)
        CHECK(target[r] < logits->cols, "target %d of row %ld, %ld classes", target[r], r, logits->cols);
    K->loss->forward(rows, logits->cols, logits->data, target, loss, best);
    for (int64_t r = 0; r < rows; r++) {
        sum += loss[r];
        count += target[r] >= 0;
    }
    if (count == 0) return 0.0;
    if (tape->recording)
        K->loss->backward(rows, logits->cols, logits->data, target, (float)(weight / (double)count),
                          logits->grad);
    return sum / (double)count;
}
