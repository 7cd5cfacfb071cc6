#include "op/tape.h"
#include "base/parallel.h"
#include "base/work.h"

#include <string.h>

struct TapeNode {
    TapeNode *previous;
    void (*backward)(void *context);
    void *context;
};

/* Every gradient begins as zeros: a pass over memory that threads share. */
static float *tape_gradient(Tape *tape, int64_t floats) {
    float *gradient = arena_floats(tape->arena, floats);
    PARALLEL_PARTS(rows_threads(floats), floats, 16,
                   memset(gradient + part.begin, 0, (size_t)(part.end - part.begin) * sizeof(float)));
    return gradient;
}

Tensor *tape_tensor(Tape *tape, int64_t rows, int64_t cols) {
    work_pause();
    Tensor *t = arena_take(tape->arena, sizeof *t);
    *t = (Tensor){rows, cols, arena_floats(tape->arena, rows * cols), 0};
    if (tape->recording) t->grad = tape_gradient(tape, rows * cols);
    return t;
}

Tensor *tape_zeros(Tape *tape, int64_t rows, int64_t cols) {
    Tensor *t = tape_tensor(tape, rows, cols);
    memset(t->data, 0, (size_t)(rows * cols) * sizeof(float));
    return t;
}

Tensor *tape_constant(Tape *tape, int64_t rows, int64_t cols) {
    Tensor *t = arena_take(tape->arena, sizeof *t);
    *t = (Tensor){rows, cols, arena_zeros(tape->arena, rows * cols), 0};
    return t;
}

void tape_push(Tape *tape, void (*backward)(void *context), const void *context, size_t size) {
    if (!tape->recording) return;
    TapeNode *node = arena_take(tape->arena, sizeof *node);
    *node = (TapeNode){tape->last, backward, memcpy(arena_take(tape->arena, size), context, size)};
    tape->last = node;
}

void tape_backward(Tape *tape) {
    const int before = work_begin();
    for (TapeNode *node = tape->last; node; node = node->previous) {
        work_pause();
        node->backward(node->context);
    }
    tape->last = 0;
    work_end(before);
}
