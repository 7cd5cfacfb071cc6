/* The oracle: the reference in every arithmetic behind arrays of double. */
#pragma once
#include "reference.h"

/* The equation of that name, or NULL. */
const Equation *oracle_lookup(const Reference *r, const char *name);

/* The same for names that must exist: aborts, naming it, if there is none. */
const Equation *oracle_find(const Reference *r, const char *name);

/* How many names a list such as Equation.in holds. */
int oracle_count(const char *names);

/* The i-th of them. */
void oracle_name(const char *names, int i, char *name, size_t size);

/* n zeros, to be given to free(); aborts without memory. */
double *oracle_zeros(int64_t n);

/* C converts double ** to no const double *const * by itself. */
static inline const double *const *constant(double *const *x) { return (const double *const *)x; }

/* Runs one equation. in: one array per input. tangent: NULL, or one array or NULL per input.
 * out, and the last three where they are not NULL: one array or NULL per output. Arithmetics without a
 * tangent or a bound give zeros there. */
void oracle_run(const Reference *r, const char *name, const int64_t *dims, const double *const *in,
                const double *const *tangent, double *const *out, double *const *out_tangent,
                double *const *out_error, double *const *out_tangent_error);

/* grad[i][e] = sum over outputs of cotangent d out / d in[i][e], by complex step, one run per element.
 * grad_bound[i][e]: a bound of the float32 error of that number, from the running bound of every tangent and
 * of the sum. cotangent: one array or NULL (zero) per output; grad, and grad_bound where not NULL: one array
 * or NULL (skip) per input. */
void oracle_gradient(const char *name, const int64_t *dims, const double *const *in,
                     const double *const *cotangent, double *const *grad, double *const *grad_bound);
