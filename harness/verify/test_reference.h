/* What the suites of the reference share: one equation with seeded inputs, its double result and a tolerance
 * for every element of it, derived from the running bound. */
#pragma once
#include "equation/inputs.h"
#include "equation/oracle.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    const char *name;
    uint64_t seed;
    const Equation *e;
    Dims dims;
    int inputs, outputs;
    int64_t in_size[EQUATION_ARGUMENTS], out_size[EQUATION_ARGUMENTS];
    double *in[EQUATION_ARGUMENTS], *out[EQUATION_ARGUMENTS];
    double *tolerance[EQUATION_ARGUMENTS]; /* first-order bound of the double error of out */
} Case;

static inline int64_t case_dim(const Case *c, const char *name) { return dims_get(&c->dims, name); }

static inline int place_of(const Argument *list, const char *name) {
    const int i = argument_find(list, name);
    cr_assert(i >= 0, "there is no argument %s", name);
    return i;
}

static inline double *case_in(const Case *c, const char *name) { return c->in[place_of(c->e->in, name)]; }

static inline int64_t case_in_size(const Case *c, const char *name) {
    return c->in_size[place_of(c->e->in, name)];
}

static inline double *case_out(const Case *c, const char *name) { return c->out[place_of(c->e->out, name)]; }

static inline int case_has(const Case *c, const char *input) { return argument_find(c->e->in, input) >= 0; }

static inline Case case_at_dims(const Dims *dims, uint64_t seed) {
    Case c = {.name = dims->equation->name, .seed = seed, .e = dims->equation, .dims = *dims};
    c.inputs = argument_count(c.e->in);
    c.outputs = argument_count(c.e->out);
    dims_sizes(&c.dims, c.in_size, c.out_size);
    uint64_t state = seed;
    for (int i = 0; i < c.inputs; i++) {
        c.in[i] = oracle_zeros(c.in_size[i]);
        inputs_fill(&c.dims, i, c.in_size[i], c.in[i], &state);
    }
    for (int i = 0; i < c.outputs; i++) {
        c.out[i] = oracle_zeros(c.out_size[i]);
        c.tolerance[i] = oracle_zeros(c.out_size[i]);
    }
    return c;
}

/* The dimensions as for printf: "tokens=%d width=%d". */
static inline __attribute__((format(printf, 3, 4))) Case case_new(const char *name, uint64_t seed,
                                                                  const char *format, ...) {
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const Dims dims = dims_of(name, "%s", text);
    return case_at_dims(&dims, seed);
}

static inline void case_free(Case *c) {
    for (int i = 0; i < c->inputs; i++) free(c->in[i]);
    for (int i = 0; i < c->outputs; i++) free(c->out[i]), free(c->tolerance[i]);
}

/* Results in double, and their tolerance: the float32 bound scaled from u = 2^-24 to 2^-53, plus one rounding
 * of the result itself. */
static inline void case_run(Case *c) {
    oracle_run(&reference_bound, &c->dims, constant(c->in), NULL, c->out, NULL, c->tolerance, NULL);
    oracle_run(&reference_double, &c->dims, constant(c->in), NULL, c->out, NULL, NULL, NULL);
    for (int i = 0; i < c->outputs; i++)
        for (int64_t j = 0; j < c->out_size[i]; j++)
            c->tolerance[i][j] = 0x1p-29 * c->tolerance[i][j] + 0x1p-53 * fabs(c->out[i][j]);
}

/* The whole input becomes one number. */
static inline void case_set(Case *c, const char *name, double value) {
    double *x = case_in(c, name);
    for (int64_t j = 0; j < case_in_size(c, name); j++) x[j] = value;
}

static inline void expect_near(const Case *c, int64_t j, double got, double want, double tolerance) {
    cr_assert(fabs(got - want) <= tolerance, "%s seed %llu element %lld: got %.17g, want %.17g, tolerance %g",
              c->name, (unsigned long long)c->seed, (long long)j, got, want, tolerance);
}

/* The named output agrees with a formula that rounds no more often than the reference. */
static inline void expect_formula(const Case *c, const char *name, int64_t j, double want) {
    const int i = place_of(c->e->out, name);
    expect_near(c, j, c->out[i][j], want, 2 * c->tolerance[i][j]);
}

static inline void expect_finite(const Case *c) {
    for (int i = 0; i < c->outputs; i++)
        for (int64_t j = 0; j < c->out_size[i]; j++)
            cr_assert(isfinite(c->out[i][j]), "%s seed %llu output %d element %lld: %g", c->name,
                      (unsigned long long)c->seed, i, (long long)j, c->out[i][j]);
}

/* The named output of two cases agrees within both tolerances. */
static inline void expect_same(const Case *a, const Case *b, const char *name) {
    int i = place_of(a->e->out, name), k = place_of(b->e->out, name);
    cr_assert(a->out_size[i] == b->out_size[k]);
    for (int64_t j = 0; j < a->out_size[i]; j++)
        expect_near(a, j, a->out[i][j], b->out[k][j], a->tolerance[i][j] + b->tolerance[k][j]);
}

static inline double largest(const double *x, int64_t n) {
    double max = 0;
    for (int64_t j = 0; j < n; j++)
        if (!(fabs(x[j]) <= max)) max = fabs(x[j]);
    return max;
}

static inline int same_bits(const double *a, const double *b, int64_t n) {
    return !memcmp(a, b, (size_t)n * sizeof *a);
}

static inline double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
