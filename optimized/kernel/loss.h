#pragma once
#include <stdint.h>

/* Cross-entropy of next-token logits.
 *   logits     rows x classes
 *   target     rows; negative = ignored
 *   loss       rows; 0 where ignored
 *   best       rows: argmax, the lowest index on a tie
 *   backward   dlogits += scale (softmax - onehot) on rows that count, scale usually 1 / count
 * Reference: cross_entropy. */
struct loss_kernel {
    void (*forward)(int64_t rows, int64_t classes, const float *logits, const int32_t *target, double *loss,
                    int32_t *best);
    void (*backward)(int64_t rows, int64_t classes, const float *logits, const int32_t *target, float scale,
                     float *dlogits);
};
