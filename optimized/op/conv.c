#include "base/check.h"
#include "op/op.h"

typedef struct {
    ConvShape shape;
    Tensor *x, *weight, *bias, *tail, *y;
    float *workspace;
} Conv;

static void conv_backward(void *context) {
    const Conv *c = context;
    kernel->conv->backward(&c->shape, c->x->data, c->tail ? c->tail->data : 0, c->weight->data,
                           c->bias ? c->bias->data : 0, c->y->grad, c->x->grad, c->tail ? c->tail->grad : 0,
                           c->weight->grad, c->bias ? c->bias->grad : 0, c->workspace);
}

/* No convolution is one tap that is constantly 1. */
static Tensor *conv_identity(Tape *tape, int64_t width) {
    Tensor *weight = tape_tensor(tape, 1, width);
    for (int64_t c = 0; c < width; c++) weight->data[c] = 1.0f;
    return weight;
}

Tensor *op_conv(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *weight, Tensor *bias, Tensor *tail) {
    if (shape->taps == 0) {
        ConvShape bare = *shape;
        bare.taps = 1;
        return op_conv(tape, &bare, x, conv_identity(tape, x->cols), bias, 0);
    }
    CHECK(x->rows == shape->batch * shape->tokens && x->cols == shape->heads * shape->width, "x %ld x %ld",
          x->rows, x->cols);
    CHECK(weight->rows == shape->taps && weight->cols == x->cols, "weight %ld x %ld", weight->rows,
          weight->cols);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    kernel->conv->forward(shape, x->data, tail ? tail->data : 0, weight->data, bias ? bias->data : 0,
                          y->data);
    float *workspace = tape->recording ? arena_floats(tape->arena, x->rows * x->cols) : 0;
    tape_push(tape, conv_backward, &(Conv){*shape, x, weight, bias, tail, y, workspace}, sizeof(Conv));
    return y;
}

/* The tail is a copy of inputs, so its gradient is added back where the copies came from. */
static void conv_tail_backward(void *context) {
    const Conv *c = context;
    const int64_t D = c->x->cols, keep = c->shape.taps - 1;
    for (int64_t b = 0; b < c->shape.batch; b++)
        for (int64_t i = 0; i < keep; i++) {
            const int64_t t = c->shape.tokens - keep + i;
            const float *d = c->y->grad + (b * keep + i) * D;
            if (t >= 0)
                kernel->act->add(D, d, c->x->grad + (b * c->shape.tokens + t) * D);
            else if (c->tail && c->tail->grad)
                kernel->act->add(D, d, c->tail->grad + (b * keep + keep + t) * D);
        }
}

Tensor *op_conv_tail(Tape *tape, const ConvShape *shape, Tensor *x, Tensor *tail) {
    if (shape->taps < 2) return tail;
    if (!tape->recording) {
        kernel->conv->shift(shape, x->data, tail->data, tail->data);
        return tail;
    }
    Tensor *next = tape_tensor(tape, shape->batch * (shape->taps - 1), x->cols);
    kernel->conv->shift(shape, x->data, tail ? tail->data : 0, next->data);
    tape_push(tape, conv_tail_backward, &(Conv){*shape, x, 0, 0, tail, next, 0}, sizeof(Conv));
    return next;
}
