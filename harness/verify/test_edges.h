/* What the suites of edges share: integers and numbers in guarded arrays, every instruction set in turn, bits and bounds. */
#pragma once
#include "kernel_runs.h"
#include "ledger.h"
#include "kernels.h"

static const double u = 0x1p-24;

/* Selects the next instruction set that runs here; 0 behind the last. */
static inline int next_isa(int *i) {
    while (kernels_at(*i) && !kernels_supported(kernels_at(*i))) ++*i;
    if (!kernels_at(*i)) return 0;
    kernel = kernels_at((*i)++);
    return 1;
}

/* n integers in -most .. most. */
static inline float *integers(int64_t n, int most, uint64_t seed) {
    float *x = run_array(n, 0.0f);
    for (int64_t j = 0; j < n; j++) x[j] = (float)floor(uniform(&seed) * (2 * most + 1)) - (float)most;
    return x;
}

/* n numbers in [-size, size). */
static inline float *numbers(int64_t n, double size, uint64_t seed) {
    float *x = run_array(n, 0.0f);
    for (int64_t j = 0; j < n; j++) x[j] = (float)(size * (2 * uniform(&seed) - 1));
    return x;
}

static inline float *copied(const float *x, int64_t n) {
    float *y = run_array(n, 0.0f);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* How many. */
static inline int64_t expect_bits(const float *got, const float *want, int64_t n, const char *what) {
    for (int64_t j = 0; j < n; j++)
        cr_assert(!memcmp(got + j, want + j, sizeof *got), "%s on %s: [%lld] = %.9g, want %.9g", what,
                  kernel->isa, (long long)j, (double)got[j], (double)want[j]);
    cr_assert(run_guarded(got, n), "%s on %s writes behind an array", what, kernel->isa);
    return n;
}

static inline double expect_close(double got, double want, double allowed, const char *what, int64_t at) {
    cr_assert(fabs(got - want) <= allowed, "%s on %s: [%lld] = %.9g, want %.9g +- %.3g", what, kernel->isa,
              (long long)at, got, want, allowed);
    return fabs(got - want) / allowed;
}

static inline double logistic(double z) { return 1 / (1 + exp(-z)); }

/* The rows of head h of member b. */
static inline float *head_of(const float *x, int64_t rows, int64_t heads, int64_t width, int64_t b,
                             int64_t h) {
    float *y = run_array(rows * width, 0.0f);
    for (int64_t t = 0; t < rows; t++)
        memcpy(y + t * width, x + ((b * rows + t) * heads + h) * width, (size_t)width * sizeof *y);
    return y;
}
