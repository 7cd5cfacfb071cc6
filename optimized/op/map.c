#include "base/check.h"
#include "op/op.h"

#include <string.h>

typedef struct {
    MapKind kind;
    Tensor *x, *y;
} Map;

static void map_op_backward(void *context) {
    const Map *c = context;
    kernel->map->backward(c->kind, c->x->rows * c->x->cols, c->x->data, c->y->grad, c->x->grad);
}

Tensor *op_map(Tape *tape, Tensor *x, MapKind kind) {
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    kernel->map->forward(kind, x->rows * x->cols, x->data, y->data);
    tape_push(tape, map_op_backward, &(Map){kind, x, y}, sizeof(Map));
    return y;
}

typedef struct {
    Tensor *x, *b, *y;
    int64_t repeat;
} Mul;

static void mul_backward(void *context) {
    const Mul *c = context;
    kernel->map->multiply_backward(c->x->rows, c->x->cols, c->repeat, c->x->data, c->b->data, c->y->grad,
                                   c->x->grad, c->b->grad);
}

Tensor *op_mul(Tape *tape, Tensor *x, Tensor *b) {
    const int same = b->rows == x->rows && b->cols == x->cols;
    const int64_t repeat = same && x->rows != 1 ? 0 : b->cols;
    CHECK(same || (b->rows == 1 && x->cols % b->cols == 0), "%ld x %ld times %ld x %ld", x->rows, x->cols,
          b->rows, b->cols);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    kernel->map->multiply(x->rows, x->cols, repeat, x->data, b->data, y->data);
    tape_push(tape, mul_backward, &(Mul){x, b, y, repeat}, sizeof(Mul));
    return y;
}

Tensor *op_scale(Tape *tape, Tensor *x, float factor) {
    Tensor *b = tape_constant(tape, 1, x->cols);
    for (int64_t c = 0; c < x->cols; c++) b->data[c] = factor;
    return op_mul(tape, x, b);
}

typedef struct {
    Tensor *x, *y;
    float least, most;
} Limit;

static void limit_backward(void *context) {
    const Limit *c = context;
    for (int64_t i = 0; i < c->x->rows * c->x->cols; i++)
        if (c->x->data[i] >= c->least && c->x->data[i] <= c->most) c->x->grad[i] += c->y->grad[i];
}

Tensor *op_limit(Tape *tape, Tensor *x, float least, float most) {
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    for (int64_t i = 0; i < x->rows * x->cols; i++) {
        const float value = x->data[i] < least ? least : x->data[i];
        y->data[i] = value > most ? most : value;
    }
    tape_push(tape, limit_backward, &(Limit){x, y, least, most}, sizeof(Limit));
    return y;
}

typedef struct {
    Tensor *x, *y;
    int64_t from;
} Columns;

static void columns_backward(void *context) {
    const Columns *c = context;
    for (int64_t r = 0; c->x->grad && r < c->y->rows; r++)
        kernel->act->add(c->y->cols, c->y->grad + r * c->y->cols, c->x->grad + r * c->x->cols + c->from);
}

Tensor *op_columns(Tape *tape, Tensor *x, int64_t from, int64_t count) {
    CHECK(from >= 0 && count > 0 && from + count <= x->cols, "columns %ld .. %ld of %ld", from, from + count,
          x->cols);
    Tensor *y = tape_tensor(tape, x->rows, count);
    for (int64_t r = 0; r < x->rows; r++)
        memcpy(y->data + r * count, x->data + r * x->cols + from, (size_t)count * sizeof(float));
    tape_push(tape, columns_backward, &(Columns){x, y, from}, sizeof(Columns));
    return y;
}

typedef struct {
    Tensor *x, *d, *y;
    int64_t width, period;
    int divide;
} Heads;

static void heads_backward(void *context) {
    const Heads *c = context;
    const int64_t n = c->x->rows * c->x->cols / c->width;
    kernel->map->groups_backward(n, c->width, c->period, c->divide, c->x->data, c->d->data, c->y->data,
                                 c->y->grad, c->x->grad, c->d->grad);
}

Tensor *op_heads(Tape *tape, Tensor *x, Tensor *d, int divide) {
    CHECK(x->cols % d->cols == 0 && (d->rows == 1 || d->rows == x->rows), "%ld x %ld by %ld x %ld", x->rows,
          x->cols, d->rows, d->cols);
    const int64_t width = x->cols / d->cols, period = d->rows * d->cols;
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    kernel->map->groups(x->rows * d->cols, width, period, divide, x->data, d->data, y->data);
    tape_push(tape, heads_backward, &(Heads){x, d, y, width, period, divide}, sizeof(Heads));
    return y;
}

static void head_sum_backward(void *context) {
    const Heads *c = context;
    kernel->map->sum_backward(c->y->rows * c->y->cols, c->width, c->y->grad, c->x->grad);
}

Tensor *op_head_sum(Tape *tape, Tensor *x, int64_t heads) {
    CHECK(x->cols % heads == 0, "%ld columns, %ld heads", x->cols, heads);
    const int64_t width = x->cols / heads;
    Tensor *y = tape_tensor(tape, x->rows, heads);
    kernel->map->sum(x->rows * heads, width, x->data, y->data);
    tape_push(tape, head_sum_backward, &(Heads){x, 0, y, width, 0, 0}, sizeof(Heads));
    return y;
}

typedef struct {
    Tensor *x, *z, *w[OP_LERPS], *y[OP_LERPS];
    int count;
} Lerp;

static void lerp_backward(void *context) {
    const Lerp *c = context;
    const float *w[OP_LERPS], *dy[OP_LERPS];
    float *dw[OP_LERPS];
    for (int i = 0; i < c->count; i++) w[i] = c->w[i]->data, dw[i] = c->w[i]->grad, dy[i] = c->y[i]->grad;
    kernel->map->lerp_backward(c->x->rows, c->x->cols, c->count, c->x->data, c->z->data, w, dy, c->x->grad,
                               c->z->grad, dw);
}

void op_lerp(Tape *tape, Tensor *x, Tensor *z, int count, Tensor *const *w, Tensor **y) {
    Lerp c = {.x = x, .z = z, .count = count};
    const float *weights[OP_LERPS];
    float *to[OP_LERPS];
    CHECK(count <= OP_LERPS && z->rows == x->rows && z->cols == x->cols, "%d of %ld x %ld and %ld x %ld",
          count, x->rows, x->cols, z->rows, z->cols);
    for (int i = 0; i < count; i++) {
        CHECK(w[i]->rows == 1 && w[i]->cols == x->cols, "%ld x %ld for rows of %ld", w[i]->rows, w[i]->cols,
              x->cols);
        c.w[i] = w[i], weights[i] = w[i]->data;
        c.y[i] = y[i] = tape_tensor(tape, x->rows, x->cols), to[i] = y[i]->data;
    }
    kernel->map->lerp(x->rows, x->cols, count, x->data, z->data, weights, to);
    tape_push(tape, lerp_backward, &c, sizeof c);
}
