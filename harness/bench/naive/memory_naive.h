#pragma once
#include <stdint.h>

/* The memory as one would first write it in C, a bar for the optimized kernels: token by token, all of W and
 * S touched for every token, the gradient frozen at the chunk start. One head; L layers of width[0..L]; state
 * W | S; scratch of naive_scratch floats. Compiled twice: plainly, and with everything gcc offers. */
#define NAIVE_DECLARE(name)                                                                                  \
    void name(int64_t tokens, int64_t chunk, int L, const int64_t *width, const float *k, const float *v,    \
              const float *q, const float *keep, const float *theta, const float *eta, float *state,         \
              float *y, float *scratch)
NAIVE_DECLARE(naive_plain);
NAIVE_DECLARE(naive_tuned);
