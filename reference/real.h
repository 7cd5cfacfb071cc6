/* `real`: the number type this compilation uses, chosen by -DREAL_<X>.
 *
 *   REAL_FLOAT, REAL_DOUBLE, REAL_LONG_DOUBLE   the C types
 *   REAL_QUAD            IEEE binary128: _Float128 (gcc), __float128 (clang) or long double (aarch64)
 *   REAL_COMPLEX_DOUBLE  value + i h tangent with h = 2^-100: a directional derivative without cancellation
 *   REAL_COMPLEX_QUAD    the same on REAL_QUAD's type
 *   REAL_BOUND           C++: value, tangent and bounds of the float32 error of both (bounded.h)
 *   REAL_ADJOINT         C++: value in double and the record of its computation, for reverse mode (adjoint.h)
 *
 * What keeps the complex step honest: branches look at RE(x) and select whole values; no fabs, conj, pow,
 * fmax or comparison of a real; masks are loop limits; every root has its eps inside; the imaginary unit I
 * is undefined, so it cannot be used by mistake. */
#pragma once
#include "dims.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
#include <cmath>
#else
#include <float.h>
#include <tgmath.h>
#undef I
#endif

#if defined REAL_FLOAT
typedef float real;
#define REFERENCE_NAME float
#elif defined REAL_DOUBLE
typedef double real;
#define REFERENCE_NAME double
#elif defined REAL_LONG_DOUBLE
typedef long double real;
#define REFERENCE_NAME long_double
#elif defined REAL_QUAD
#if LDBL_MANT_DIG == 113
typedef long double real;
#elif defined __clang__
typedef __float128 real;
#define LIBM(f) f##f128
#else
typedef _Float128 real;
#endif
#define REFERENCE_NAME quad
#elif defined REAL_COMPLEX_DOUBLE
typedef double _Complex real;
#define REFERENCE_NAME complex_double
#elif defined REAL_COMPLEX_QUAD
#if LDBL_MANT_DIG == 113
typedef long double _Complex real;
#elif defined __clang__
typedef _Complex __float128 real;
#define LIBM(f) c##f##f128
#else
typedef _Complex _Float128 real;
#endif
#define REFERENCE_NAME complex_quad
#elif defined REAL_BOUND
#include "bounded.h"
typedef Bounded real;
#define REFERENCE_NAME bound
#elif defined REAL_ADJOINT
#include "adjoint.h"
typedef Adjoint real;
#define REFERENCE_NAME adjoint
#else
#error "choose one arithmetic with -DREAL_<X>; the list is above"
#endif

#ifdef LIBM /* clang has the type but no <tgmath.h> for it: libm's functions under their own names */
#undef exp
#undef log
#undef tanh
#undef sqrt
#define exp LIBM(exp)
#define log LIBM(log)
#define tanh LIBM(tanh)
#define sqrt LIBM(sqrt)
real exp(real), log(real), tanh(real), sqrt(real);
#endif

/* RE(x): the part of x that branches may look at. */
#if defined REAL_COMPLEX_DOUBLE || defined REAL_COMPLEX_QUAD
#define REAL_IS_COMPLEX
#define RE(x) __real__(x)
#elif defined REAL_BOUND || defined REAL_ADJOINT
#define RE(x) ((x).v)
#else
#define RE(x) (x)
#endif

/* A constant of the equations: the double nearest to it, the same function in every arithmetic wider than
 * float; float rounds it once more, which the bound counts. */
#define R(constant) ((real)(constant))

/* The value of x without its derivative: for what an equation holds constant (a detached divisor, memory of an
 * earlier segment). */
static inline real real_constant(real x) {
#if defined REAL_IS_COMPLEX
    __imag__ x = 0;
    return x;
#elif defined REAL_BOUND
    return Bounded(x.v, 0, x.ev, 0);
#elif defined REAL_ADJOINT
    return Adjoint(x.v);
#else
    return x;
#endif
}

/* The dimension of that name. */
static inline int64_t dim(const Call *c, const char *name) { return call_dim(c, name); }

static inline int64_t dim_or(const Call *c, const char *name, int64_t otherwise) {
    return call_dim_or(c, name, otherwise);
}

/* The input or output of that name. */
static inline const real *in(const Call *c, const char *name) {
    return (const real *)c->in[argument_of(c, c->equation->in, name)];
}
static inline real *out(const Call *c, const char *name) {
    return (real *)c->out[argument_of(c, c->equation->out, name)];
}

/* NULL where the equation has none of that name: equations that share a run function. */
static inline const real *in_if(const Call *c, const char *name) {
    return argument_find(c->equation->in, name) < 0 ? NULL : in(c, name);
}
static inline real *out_if(const Call *c, const char *name) {
    return argument_find(c->equation->out, name) < 0 ? NULL : out(c, name);
}

/* n zeros, to be given to free(). */
#define R_NEW(n) real_new(n)

static inline real *real_new(int64_t n) {
    real *x = (real *)calloc(n > 0 ? (size_t)n : 1, sizeof(real));
    if (!x) {
        fprintf(stderr, "reference: out of memory for %lld numbers\n", (long long)n);
        abort();
    }
    return x;
}

static inline void real_copy(int64_t n, const real *from, real *to) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
}

/* An index carried in a tensor (token, target). */
static inline int64_t real_index(real x) { return (int64_t)RE(x); }

static inline void real_from_double(void *dst, const double *value, const double *tangent, size_t n) {
    real *x = (real *)dst;
    for (size_t i = 0; i < n; i++) {
        double t = tangent ? tangent[i] : 0;
#if defined REAL_IS_COMPLEX
        __real__ x[i] = value[i];
        __imag__ x[i] = t * 0x1p-100;
#elif defined REAL_BOUND
        x[i] = Bounded(value[i], t, 0, 0);
#elif defined REAL_ADJOINT
        x[i] = adjoint_given(value[i]);
        (void)t;
#else
        (void)t;
        x[i] = (real)value[i];
#endif
    }
}

static inline void real_to_double(const void *src, double *value, double *tangent, double *error,
                                  double *tangent_error, size_t n) {
    const real *x = (const real *)src;
    for (size_t i = 0; i < n; i++) {
        double t = 0, e = 0, te = 0;
#if defined REAL_IS_COMPLEX
        t = (double)(__imag__ x[i] * 0x1p100);
#elif defined REAL_BOUND
        t = x[i].d;
        e = x[i].ev;
        te = x[i].ed;
#elif defined REAL_ADJOINT
        t = adjoint_arrived(x[i]);
#endif
        if (value) value[i] = (double)RE(x[i]);
        if (tangent) tangent[i] = t;
        if (error) error[i] = e;
        if (tangent_error) tangent_error[i] = te;
    }
}

#ifdef REAL_ADJOINT
#define REAL_REVERSE adjoint_begin, adjoint_seed, adjoint_reverse
#else
#define REAL_REVERSE NULL, NULL, NULL
#endif

#define REAL_JOIN_(a, b) a##b
#define REAL_JOIN(a, b) REAL_JOIN_(a, b)
#define REAL_TEXT_(a) #a
#define REAL_TEXT(a) REAL_TEXT_(a)

/* Defines the one exported symbol, `const Reference reference_<arithmetic>`, and what finds an equation in it. */
#define REFERENCE_EXPORT(list)                                                                               \
    static const Equation *equation_named(const char *name) {                                                \
        for (const Equation *const *file = list; *file; file++)                                              \
            for (const Equation *e = *file; e->name; e++)                                                    \
                if (!strcmp(e->name, name)) return e;                                                        \
        fprintf(stderr, "reference: there is no equation \"%s\"\n", name);                                   \
        abort();                                                                                             \
    }                                                                                                        \
    const Reference REAL_JOIN(reference_, REFERENCE_NAME) = {                                                \
        REAL_TEXT(REFERENCE_NAME), sizeof(real), list, real_from_double, real_to_double, REAL_REVERSE};

/* The equation of that name in the arithmetic at hand. */
static const Equation *equation_named(const char *name);
