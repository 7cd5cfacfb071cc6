#pragma once
#include "base/arena.h"

/* Eager reverse-mode differentiation over coarse operations: an op computes its output at once and, when the
 * tape records, leaves behind how to carry the gradient back. Tensors live in the tape's arena. */
typedef struct {
    int64_t rows, cols;
    float *data; /* rows x cols, row-major */
    float *grad; /* the same, NULL when not recorded */
} Tensor;

typedef enum { FLOAT32, BF16 } Precision;

typedef struct TapeNode TapeNode;
typedef struct {
    Arena *arena;
    int recording;
    TapeNode *last;
    Precision precision; /* of op_linear */
} Tape;

/* Output of an op: data uninitialised, gradient zero (when recording). The number of threads may change here (base/work.h): an op
 * takes its outputs before it sizes its scratch. */
Tensor *tape_tensor(Tape *tape, int64_t rows, int64_t cols);

/* Zeros, with a gradient as tape_tensor; zeros without one: what is written in place, or not trained. */
Tensor *tape_zeros(Tape *tape, int64_t rows, int64_t cols);
Tensor *tape_constant(Tape *tape, int64_t rows, int64_t cols);

/* Remembers backward(context); context (size bytes) is copied into the arena. No effect when not recording.
 */
void tape_push(Tape *tape, void (*backward)(void *context), const void *context, size_t size);

/* Runs the remembered steps from last to first; the caller has seeded the gradients of the outputs. */
void tape_backward(Tape *tape);
