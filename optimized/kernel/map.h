#pragma once
#include <stdint.h>

/* One function of every number, and products: what gates of the relatives are made of.
 *
 *   forward    y = f(x), n numbers                    backward  dx += f'(x) dy
 *   multiply   y = x b, rows x cols; b rows x cols, or with `repeat` > 0 one row of that many numbers, a divisor of
 *              cols, again and again                  backward  dx += b dy, db += x dy (summed over what is repeated)
 *
 * softplus(x) = log(1 + exp(x)), above 20 x itself; elu1 = elu + 1. Any of dx, db may be NULL. Reference: the functions of
 * the same names in reference/. */
typedef enum {
    MAP_SIGMOID,
    MAP_SILU,
    MAP_GELU,
    MAP_TANH,
    MAP_EXP,
    MAP_SOFTPLUS,
    MAP_LOG_SIGMOID,
    MAP_RELU,
    MAP_ELU1,
    MAPS
} MapKind;

struct map_kernel {
    void (*forward)(MapKind kind, int64_t n, const float *x, float *y);
    void (*backward)(MapKind kind, int64_t n, const float *x, const float *dy, float *dx);
    void (*multiply)(int64_t rows, int64_t cols, int64_t repeat, const float *x, const float *b, float *y);
    void (*multiply_backward)(int64_t rows, int64_t cols, int64_t repeat, const float *x, const float *b,
                              const float *dy, float *dx, float *db);
};
