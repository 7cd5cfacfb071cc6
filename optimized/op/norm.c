#include "base/check.h"
#include "op/op.h"

typedef struct {
    NormShape shape;
    Tensor *x, *gain, *z, *y;
    float *workspace;
} Norm;

static void norm_backward(void *context) {
    const Norm *c = context;
    kernel->norm->backward(&c->shape, c->x->data, c->gain->data, c->z ? c->z->data : 0, c->y->grad,
                           c->x->grad, c->gain->grad, c->z ? c->z->grad : 0, c->workspace);
}

Tensor *op_norm_of(Tape *tape, const NormShape *shape, Tensor *x, Tensor *gain, Tensor *z) {
    const int64_t gains = shape->shared ? shape->width : x->cols;
    CHECK(x->rows == shape->rows && x->cols == shape->groups * shape->width && gain->cols == gains,
          "%ld columns, gain %ld, %ld groups of %ld", x->cols, gain->cols, shape->groups, shape->width);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    kernel->norm->forward(shape, x->data, gain->data, z ? z->data : 0, y->data);
    float *workspace = tape->recording ? arena_floats(tape->arena, norm_workspace(shape, !!z)) : 0;
    tape_push(tape, norm_backward, &(Norm){*shape, x, gain, z, y, workspace}, sizeof(Norm));
    return y;
}

Tensor *op_norm(Tape *tape, Tensor *x, Tensor *gain, Tensor *z, int64_t groups) {
    CHECK(x->cols % groups == 0, "%ld columns, %ld groups", x->cols, groups);
    return op_norm_of(tape, &(NormShape){x->rows, groups, x->cols / groups, 0, 0, 0, NORM_EPS}, x, gain, z);
}
