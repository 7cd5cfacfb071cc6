/* What the reference exports: one const table per arithmetic, each a list of equations over arrays of that
 * arithmetic's `real`. Everything has a name; nothing here depends on the arithmetic, so the harness includes it
 * as it is. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EQUATION_ARGUMENTS = 48 }; /* no equation has more inputs, nor more outputs */
enum { EQUATION_DIMS = 64 };      /* nor, with the mixer it is built of, more dimensions */
enum { EQUATION_RANK = 8 };       /* nor a tensor with more of them */

struct Call;

/* A size or an option. `name` is the configuration's key where there is one. `symbol` is the paper's or an older
 * published name, accepted as well; "!x" was published as its opposite, 1 - x. `values` names 0, 1, ..; MIXERS
 * stands for every mixer there is, whose own dimensions follow those of the equation. A derived dimension is
 * computed from others and never given. */
typedef struct Dimension {
    const char *name, *symbol;
    int64_t least, most, initial;
    const char *values, *meaning;
    int64_t (*derived)(const struct Call *call);
} Dimension;
#define MIXERS "mixer_"

/* Which numbers a tensor may hold. */
typedef enum Role {
    NUMBER,    /* any */
    INDEX,     /* whole, 0 to classes - 1 */
    TARGET,    /* whole, -1 (counts for nothing) to classes - 1 */
    DECAY,     /* alpha, 0 to 1 */
    STEP,      /* theta, not negative */
    CARRY,     /* eta, 0 to 1 */
    LOG_DECAY, /* logarithm of a decay, not positive */
    GAIN,      /* any, 1 at first */
    LIMIT,     /* a positive number of the configuration, theta_max */
    WEIGHTS,   /* all parameters of a model, one after another */
    ROLES
} Role;

/* A tensor: row-major; its shape is the dimensions named (or numbers), separated by one blank. */
typedef struct Argument {
    const char *name, *symbol, *shape;
    Role role;
    const char *meaning;
    double initial; /* of a LIMIT: the configuration's default, for models that do not have it as an input */
} Argument;

/* One evaluation. dims: the given ones, the equation's own in their order and then those of `mixer`, the mixer
 * chosen by a dimension of MIXERS (else NULL). in and out: one array of `real` per argument. */
typedef struct Call {
    const struct Equation *equation, *mixer;
    const int64_t *dims;
    const void *const *in;
    void *const *out;
} Call;

/* Lists end with a NULL name. formula: what is computed, on lines of its own, with the paper's numbers of the
 * equations. A mixer, mixer_NAME, takes x, its parameters in the order of a checkpoint under the
 * names it gives them, and LIMITs. Without run it is a stack: `blocks` names the mixers of its blocks in turn, each
 * with what it sets ("mixer_lmm mixer_swa:persistent=0"); it has dimensions but no arguments. */
typedef struct Equation {
    const char *name;   /* "memory_chunk" */
    const char *source; /* "eqs 16-18, errata E2 E3 E5" */
    const char *formula;
    const Dimension *dims;
    const Argument *in, *out;
    void (*run)(const Call *call);
    const char *blocks;
} Equation;

/* Ends a file's list of equations. */
#define EQUATION_END                                                                                         \
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }
#define DIMENSION_END                                                                                        \
    { NULL, NULL, 0, 0, 0, NULL, NULL, NULL }
#define ARGUMENT_END                                                                                         \
    { NULL, NULL, NULL, NUMBER, NULL }

typedef struct Reference {
    const char *name; /* "double" */
    size_t real_size;
    const Equation *const *files; /* lists of equations, one per file, NULL at the end */
    /* tangent may be NULL (zero); arithmetics without tangents ignore it. */
    void (*from_double)(void *dst, const double *value, const double *tangent, size_t n);
    /* Any output may be NULL; those the arithmetic lacks are filled with 0. */
    void (*to_double)(const void *src, double *value, double *tangent, double *error, double *tangent_error,
                      size_t n);
    /* Reverse mode, or NULL where the arithmetic has none: begin forgets what was recorded before, seed adds cotangents
     * to n of its numbers, reverse carries them back; to_double's tangent is then what arrived at a number. */
    void (*begin)(void);
    void (*seed)(const void *x, const double *cotangent, size_t n);
    void (*reverse)(void);
} Reference;

extern const Reference reference_float, reference_double, reference_long_double, reference_quad;
extern const Reference reference_complex_double, reference_complex_quad, reference_bound, reference_adjoint;

#ifdef __cplusplus
}
#endif
