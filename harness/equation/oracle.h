/* The oracle: the reference in every arithmetic behind arrays of double. */
#pragma once
#include "equation/dims.h"

/* The equation of that name, or NULL; and mixer_NAME of the reference in double. */
const Equation *oracle_lookup(const Reference *r, const char *name);
const Equation *oracle_mixer(const char *name);

/* Walks all equations of the reference in double, NULL past the end; stacks of blocks, which cannot be run by
 * themselves, are left out. */
const Equation *oracle_at(int i);

/* What a float32 kernel may miss where no running bound is taken: units of 2^-24 of the largest number of an array. */
enum { NORMWISE_FORWARD = 64, NORMWISE_GRADIENT = 256 };

/* n zeros, to be given to free(); stops the program without memory. */
double *oracle_zeros(int64_t n);

/* C converts double ** to no const double *const * by itself. */
static inline const double *const *constant(double *const *x) { return (const double *const *)x; }

/* Runs one equation. in: one array per input. tangent: NULL, or one array or NULL per input.
 * out, and the last three where they are not NULL: one array or NULL per output. Arithmetics without a
 * tangent or a bound give zeros there. */
void oracle_run(const Reference *r, const Dims *dims, const double *const *in, const double *const *tangent,
                double *const *out, double *const *out_tangent, double *const *out_error,
                double *const *out_tangent_error);

/* grad[i][e] = sum over outputs of cotangent d out / d in[i][e], by complex step, one run per element.
 * grad_bound[i][e]: a bound of the float32 error of that number, from the running bound of every tangent and
 * of the sum. cotangent: one array or NULL (zero) per output; grad, and grad_bound where not NULL: one array
 * or NULL (skip) per input. */
void oracle_gradient(const Dims *dims, const double *const *in, const double *const *cotangent,
                     double *const *grad, double *const *grad_bound);

/* The same gradient by reverse mode in double, all inputs in one run, with the outputs. grad, out: one array or NULL per
 * argument. */
void oracle_adjoint(const Dims *dims, const double *const *in, const double *const *cotangent,
                    double *const *out, double *const *grad);
