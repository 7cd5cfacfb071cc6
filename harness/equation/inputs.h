/* Seeded inputs of an equation: exact in every arithmetic, in the range that each tensor's role stands for. */
#pragma once
#include "equation/dims.h"

#include <math.h>

/* Uniform in [0, 1), a multiple of 2^-12: exact in every arithmetic, with room for small exact steps. */
static inline double uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 52) * 0x1p-12;
}

static inline int role_is_index(Role role) { return role == INDEX || role == TARGET; }
static inline int role_is_gate(Role role) {
    return role == DECAY || role == STEP || role == CARRY || role == LOG_DECAY;
}

/* Tokens and targets are whole numbers below the classes, a target of -1 counts for nothing. 0, or -1 with a message. */
int inputs_check_indices(const Dims *dims, const int64_t *sizes, double *const *x, char *message,
                         size_t size);

/* Numbers of the configuration are positive: kernels hold them as float, where 0 would mean a default. 0, or -1 with a
 * message. */
int inputs_check_limits(const Dims *dims, const int64_t *sizes, double *const *x, char *message, size_t size);

/* Gates are small positive numbers, gains near 1, tokens and targets indices below the number of classes; a model's
 * parameters are in [-1/2, 1/2), as weights are; all else is in [-1, 1). Fills input i, n numbers. */
static inline void inputs_fill(const Dims *d, int i, int64_t n, double *x, uint64_t *state) {
    const Role role = d->equation->in[i].role;
    for (int64_t j = 0; j < n; j++) {
        const double r = uniform(state);
        x[j] = role_is_index(role) ? floor(r * (double)dims_get(d, "vocab"))
               : role == DECAY     ? r / 4
               : role == STEP      ? r / 8
               : role == LIMIT     ? 0.125
               : role == CARRY     ? 0.25 + r / 2
               : role == LOG_DECAY ? -r
               : role == WEIGHTS   ? r - 0.5
               : role == GAIN      ? 0.5 + r
                                   : 2 * r - 1;
    }
}
