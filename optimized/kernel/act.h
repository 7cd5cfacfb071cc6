#pragma once
#include <stdint.h>

/* Elementwise, all arrays n floats:
 *   swiglu   silu(a) b of the channel mixer             gate   a sigma(b) of erratum E13
 *   add      y += x                                     exp    vec_exp, for the exhaustive accuracy check
 *   sum      y = a + b, rows x cols; b is one row for all of them if `repeated`
 *   sum_rows y += every row of x, rows x cols, from the first on
 *   square_sum adds fixed blocks of 4096 in a fixed order in double: the same for any number of threads
 * backward adds to da, db. Reference: swiglu, titans_gate. */
struct act_kernel {
    void (*swiglu)(int64_t n, const float *a, const float *b, float *y);
    void (*swiglu_backward)(int64_t n, const float *a, const float *b, const float *dy, float *da, float *db);
    void (*gate)(int64_t n, const float *a, const float *b, float *y);
    void (*gate_backward)(int64_t n, const float *a, const float *b, const float *dy, float *da, float *db);
    void (*add)(int64_t n, const float *x, float *y);
    void (*sum)(int64_t rows, int64_t cols, int repeated, const float *a, const float *b, float *y);
    void (*sum_rows)(int64_t rows, int64_t cols, const float *x, float *y);
    double (*square_sum)(int64_t n, const float *x);
    void (*exp)(int64_t n, const float *x, float *y);
};
