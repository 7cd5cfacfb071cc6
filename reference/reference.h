/* What the reference exports: one const table per arithmetic, each a list of equations over arrays of that
 * arithmetic's `real`. Nothing here depends on the arithmetic, so the harness includes it as it is. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EQUATION_TENSORS = 32 }; /* no equation has more inputs, nor more outputs */
enum { EQUATION_DIMS = 32 };    /* nor more dimensions */

typedef struct Equation {
    const char *name;   /* "memory_chunk" */
    const char *source; /* "eqs 16-18, errata E2 E3 E5" */
    const char *dims;   /* names of the dimensions, separated by one space, in the order run() takes them */
    const char *in;     /* names of the input tensors, likewise; all row-major, tokens are rows */
    const char *out;    /* names of the output tensors */
    void (*shape)(const int64_t *dims, int64_t *in_size, int64_t *out_size); /* elements of each tensor */
    void (*run)(const int64_t *dims, const void *const *in, void *const *out);
} Equation;

/* Ends a file's list of equations. */
#define EQUATION_END                                                                                         \
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL }

typedef struct Reference {
    const char *name; /* "double" */
    size_t real_size;
    const Equation *const *files; /* lists of equations, one per file, NULL at the end */
    /* tangent may be NULL (zero); arithmetics without tangents ignore it. */
    void (*from_double)(void *dst, const double *value, const double *tangent, size_t n);
    /* Any output may be NULL; those the arithmetic lacks are filled with 0. */
    void (*to_double)(const void *src, double *value, double *tangent, double *error, double *tangent_error,
                      size_t n);
} Reference;

extern const Reference reference_float, reference_double, reference_long_double, reference_quad;
extern const Reference reference_complex_double, reference_complex_quad, reference_bound;

#ifdef __cplusplus
}
#endif
