/* A second implementation of the paper, written from its equations and the project's decisions without sight
 * of the reference, so that a misreading of the paper would have to be made twice to go unseen. What neither
 * states was taken from the reference's results, and is not checked independently: the order of a
 * convolution's taps, the halves and the base of the rotation, hard gates (and that they leave eta a
 * sigmoid), the kernels of eq 3, keys and values as rows in eq 20, the eps of the RMS norm, queries as the
 * last rows of longer keys. */
#pragma once
#include "equation/dims.h"

/* An equation of the reference: the oracle's numbers go by its names; results are rounded from quad. */
typedef struct OracleCall {
    const Dims *dims;
    const double *const *in;
    double *const *out;
} OracleCall;

static inline int64_t size(const OracleCall *c, const char *name) { return dims_get(c->dims, name); }
static inline int64_t size_or(const OracleCall *c, const char *name, int64_t otherwise) {
    return dims_get_or(c->dims, name, otherwise);
}
const double *in(const OracleCall *call, const char *name); /* stops the program where there is none */
double *out(const OracleCall *call, const char *name);

typedef struct OracleEquation {
    const char *name;
    void (*run)(const OracleCall *call);
} OracleEquation;

/* One file of oracle/equation/; a list ends with a NULL name. */
typedef struct OracleEquations {
    const OracleEquation *list;
} OracleEquations;

const OracleEquation *oracle_equation(int i); /* NULL past the end */
void oracle_equation_run(const OracleEquation *equation, const OracleCall *call);

/* The reference holds the decimal constants (1e-6 in every norm, those of GELU and of hard gates) and what
 * leads to a rotation (frequency, angle, cosine, sine) as doubles in every arithmetic. 0: the oracle has them
 * exact; 1: it rounds them likewise, so that quad can be compared with quad. */
extern int oracle_rounds_constants;
