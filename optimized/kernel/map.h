#pragma once
#include <stdint.h>

/* One function of every number, and products: what gates of the relatives are made of.
 *
 *   forward    y = f(x), n numbers                    backward  dx += f'(x) dy
 *   multiply   y = x b, rows x cols; b rows x cols, or with `repeat` > 0 one row of that many numbers, a divisor of
 *              cols, again and again                  backward  dx += b dy, db += x dy (summed over what is repeated)
 *
 *   groups     n groups of `width` numbers: y = x d or, with `divide`, x / d, where d is the group's number, d[i mod period]
 *              for group i (period n: each has its own)             backward  adds to dx, dd; of a division it reads y
 *   sum        y = the sum of each group                            backward  dx += dy
 *   lerp       y[i] = x + (z - x) w[i] for `count` rows w[i] of cols numbers (RWKV's token shifts)
 *                                                         backward  adds to dx, dz, dw[i], the last i first
 *
 * softplus(x) = log(1 + exp(x)), above 20 x itself; elu1 = elu + 1. Any of dx, db may be NULL, but of lerp none. Reference: the functions of
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
    void (*groups)(int64_t n, int64_t width, int64_t period, int divide, const float *x, const float *d,
                   float *y);
    void (*groups_backward)(int64_t n, int64_t width, int64_t period, int divide, const float *x,
                            const float *d, const float *y, const float *dy, float *dx, float *dd);
    void (*sum)(int64_t n, int64_t width, const float *x, float *y);
    void (*sum_backward)(int64_t n, int64_t width, const float *dy, float *dx);
    void (*lerp)(int64_t rows, int64_t cols, int count, const float *x, const float *z, const float *const *w,
                 float *const *y);
    void (*lerp_backward)(int64_t rows, int64_t cols, int count, const float *x, const float *z,
                          const float *const *w, const float *const *dy, float *dx, float *dz,
                          float *const *dw);
};
