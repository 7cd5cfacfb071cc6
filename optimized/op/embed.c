#include "base/check.h"
#include "base/portable.h"
#include "op/op.h"

typedef struct {
    Tensor *table, *y;
    const int32_t *index;
} Gather;

static void gather_backward(void *context) {
    const Gather *c = context;
    kernel->embed->scatter(c->y->rows, c->y->cols, c->index, c->y->grad, c->table->grad);
}

Tensor *op_gather(Tape *tape, Tensor *table, const int32_t *index, int64_t rows) {
    for (int64_t r = 0; r < rows; r++)
        CHECK(index[r] >= 0 && index[r] < table->rows, "index %d of row %ld, table has %ld", index[r], r,
              table->rows);
    Tensor *y = tape_tensor(tape, rows, table->cols);
    kernel->embed->gather(rows, table->cols, index, table->data, y->data);
    tape_push(tape, gather_backward, &(Gather){table, y, index}, sizeof(Gather));
    return y;
}

/* NTK-aware: a larger base, so that the slowest pair turns `factor` times slower and the fastest as before. YaRN: a pair
 * that turns fewer than once over the trained length is slowed down, one that turns more than 32 times is not. */
static double rope_frequency(int64_t width, const RopeScaling *scaling, int64_t i) {
    double base = 9.210340371976182736; /* ln 10000 */
    if (scaling->kind == ROPE_NTK && width > 2)
        base += portable_log(scaling->factor) * (double)width / (double)(width - 2);
    const double frequency = portable_exp(-2.0 * (double)i / (double)width * base);
    if (scaling->kind != ROPE_YARN) return frequency;
    const double turns = scaling->trained * frequency / 6.283185307179586477;
    const double kept = turns < 1.0 ? 0.0 : turns > 32.0 ? 1.0 : (turns - 1.0) / 31.0;
    const double slowed = frequency / scaling->factor;
    return slowed + kept * (frequency - slowed);
}

void rope_angles(int64_t width, const RopeScaling *scaling, int64_t position, int64_t rows, float *angles) {
    enum { PAIRS = 64 };
    const int64_t half = width / 2;
    const double length = scaling->kind == ROPE_YARN ? 0.1 * portable_log(scaling->factor) + 1.0 : 1.0;
    for (int64_t i = 0; i < half; i += PAIRS) {
        const int64_t pairs = half - i < PAIRS ? half - i : PAIRS;
        double frequency[PAIRS];
        for (int64_t j = 0; j < pairs; j++) frequency[j] = rope_frequency(width, scaling, i + j);
        kernel->embed->angles(rows, width, pairs, position, length, frequency, angles + i);
    }
}

typedef struct {
    Tensor *x, *y;
    int64_t batch, heads;
    const float *angles;
} Rope;

static void rope_backward(void *context) {
    const Rope *c = context;
    const int64_t tokens = c->x->rows / c->batch, n = c->x->rows * c->x->cols;
    kernel->embed->rope(c->batch, tokens, c->heads, c->x->cols / c->heads, c->angles, -1.0f, c->y->grad,
                        c->y->grad);
    kernel->act->add(n, c->y->grad, c->x->grad);
}

Tensor *op_rope(Tape *tape, Tensor *x, int64_t batch, int64_t heads, const float *angles) {
    CHECK(x->rows % batch == 0 && x->cols % (2 * heads) == 0, "x %ld x %ld, %ld heads", x->rows, x->cols,
          heads);
    Tensor *y = tape_tensor(tape, x->rows, x->cols);
    kernel->embed->rope(batch, x->rows / batch, heads, x->cols / heads, angles, 1.0f, x->data, y->data);
    tape_push(tape, rope_backward, &(Rope){x, y, batch, heads, angles}, sizeof(Rope));
    return y;
}
