/* Sequences that arrive in parts, and rows of them as weighted sums. */
#include "base/check.h"
#include "op/op.h"

#include <string.h>

Tensor *op_collect(Tape *tape, Tensor *slot, Tensor *x, int64_t batch, int64_t from) {
    const int64_t n = x->rows / batch, all = slot->rows / batch, width = x->cols;
    if (tape->recording) return x;
    CHECK(from + n <= all, "rows %ld .. %ld of %ld", from, from + n, all);
    for (int64_t b = 0; b < batch; b++)
        memcpy(slot->data + (b * all + from) * width, x->data + b * n * width,
               (size_t)(n * width) * sizeof(float));
    return slot;
}

typedef struct {
    Tensor *weight, *x, *y;
    int64_t batch;
} Compress;

static void compress_backward(void *context) {
    const Compress *c = context;
    const int64_t C = c->weight->rows, k = c->weight->cols, D = c->x->cols;
    for (int64_t b = 0; b < c->batch; b++) {
        const float *x = c->x->data + b * C * D, *dy = c->y->grad + b * k * D;
        if (c->weight->grad) kernel->gemm->run(GEMM_NT, C, k, D, x, D, dy, D, c->weight->grad, k, 1);
        if (c->x->grad)
            kernel->gemm->run(GEMM_NN, C, D, k, c->weight->data, k, dy, D, c->x->grad + b * C * D, D, 1);
    }
}

Tensor *op_compress(Tape *tape, Tensor *weight, Tensor *x, int64_t batch) {
    const int64_t C = weight->rows, k = weight->cols, D = x->cols;
    CHECK(x->rows == batch * C, "%ld rows for %ld sequences of %ld", x->rows, batch, C);
    Tensor *y = tape_tensor(tape, batch * k, D);
    for (int64_t b = 0; b < batch; b++)
        kernel->gemm->run(GEMM_TN, k, D, C, weight->data, k, x->data + b * C * D, D, y->data + b * k * D, D,
                          0);
    tape_push(tape, compress_backward, &(Compress){weight, x, y, batch}, sizeof(Compress));
    return y;
}
