/* A second implementation of the paper, written from its equations and the project's decisions without sight
 * of the reference, so that a misreading of the paper would have to be made twice to go unseen. What neither
 * states was taken from the reference's results, and is not checked independently: the order of a
 * convolution's taps, the halves and the base of the rotation, hard gates (and that they leave eta a
 * sigmoid), the kernels of eq 3, keys and values as rows in eq 20, the eps of the RMS norm, queries as the
 * last rows of longer keys. */
#pragma once
#include <stdint.h>

/* Dimensions and tensors are those of the reference's equation of that name; results are rounded from quad.
 */
typedef struct OracleEquation {
    const char *name;
    void (*run)(const int64_t *dims, const double *const *in, double *const *out);
} OracleEquation;

/* The reference holds the decimal constants (1e-6 in every norm, those of GELU and of hard gates) and what
 * leads to a rotation (frequency, angle, cosine, sine) as doubles in every arithmetic. 0: the oracle has them
 * exact; 1: it rounds them likewise, so that quad can be compared with quad. */
extern int oracle_rounds_constants;

extern const OracleEquation oracle_equations[]; /* ends with a NULL name */
