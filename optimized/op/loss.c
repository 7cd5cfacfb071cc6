#include "base/check.h"
#include "base/work.h"
#include "op/op.h"

double op_cross_entropy(Tape *tape, Tensor *logits, const int32_t *target, double weight, int32_t *best) {
    const int64_t rows = logits->rows;
    double *loss = arena_take(tape->arena, (size_t)rows * sizeof(double)), sum = 0.0;
    int64_t count = 0;
    for (int64_t r = 0; r < rows; r++)
        CHECK(target[r] < logits->cols, "target %d of row %ld, %ld classes", target[r], r, logits->cols);
    const int before = work_begin();
    kernel->loss->forward(rows, logits->cols, logits->data, target, loss, best);
    for (int64_t r = 0; r < rows; r++) {
        sum += loss[r];
        count += target[r] >= 0;
    }
    if (tape->recording && count)
        kernel->loss->backward(rows, logits->cols, logits->data, target, (float)(weight / (double)count),
                               logits->grad);
    work_end(before);
    return count ? sum / (double)count : 0.0;
}

double op_squared_error(Tape *tape, Tensor *outputs, const int32_t *target, const float *values,
                        double weight) {
    const int64_t rows = outputs->rows, cols = outputs->cols;
    int64_t count = 0;
    double sum = 0.0;
    for (int64_t r = 0; r < rows; r++) count += target[r] >= 0;
    const int before = work_begin();
    const float share = count ? (float)(2.0 * weight / (double)(count * cols)) : 0.0f;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = r * cols; target[r] >= 0 && j < (r + 1) * cols; j++) {
            const float error = outputs->data[j] - values[j];
            sum += (double)error * (double)error;
            if (tape->recording) outputs->grad[j] += share * error;
        }
    work_end(before);
    return count ? sum / (double)(count * cols) : 0.0;
}
