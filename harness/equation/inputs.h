/* Seeded inputs of an equation: exact in every arithmetic, in the range that each name stands for. */
#pragma once
#include "reference.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Position of a name in a list such as Equation.in, or -1. */
static inline int name_index(const char *names, const char *name) {
    size_t n = strlen(name);
    for (int i = 0; *names; i++) {
        size_t length = strcspn(names, " ");
        if (length == n && !memcmp(names, name, n)) return i;
        names += length + (names[length] == ' ');
    }
    return -1;
}

/* Uniform in [0, 1), a multiple of 2^-12: exact in every arithmetic, with room for small exact steps. */
static inline double uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 52) * 0x1p-12;
}

static inline int is_index_name(const char *name) {
    return !strcmp(name, "tokens") || !strcmp(name, "targets") || !strcmp(name, "target");
}

/* Gates are small positive numbers, gains (gain, gain_y ..) near 1, tokens and targets indices below V; a
 * model's parameters are in [-1/2, 1/2), as weights are; all else is in [-1, 1). Fills input i, n numbers. */
static inline void inputs_fill(const Equation *e, const int64_t *dims, int i, int64_t n, double *x,
                               uint64_t *state) {
    const char *at = e->in;
    char name[32] = {0};
    for (int skip = 0; skip < i; skip++) at += strcspn(at, " ") + 1;
    memcpy(name, at, strcspn(at, " "));
    for (int64_t j = 0; j < n; j++) {
        const double r = uniform(state);
        x[j] = is_index_name(name)          ? floor(r * (double)dims[name_index(e->dims, "V")])
               : !strcmp(name, "alpha")     ? r / 4
               : !strcmp(name, "theta")     ? r / 8
               : !strcmp(name, "theta_max") ? 0.125
               : !strcmp(name, "eta")       ? 0.25 + r / 2
               : !strcmp(name, "params")    ? r - 0.5
               : !strncmp(name, "gain", 4)  ? 0.5 + r
                                            : 2 * r - 1;
    }
}
