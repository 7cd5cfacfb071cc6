/* Names of a call: dimensions by name or symbol, sizes of tensors. A name that does not exist is a mistake in the
 * program, and stops it. */
#pragma once
#include "reference.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The symbol without the mark of an opposite. */
static inline const char *dimension_symbol(const Dimension *d) {
    return d->symbol ? d->symbol + (d->symbol[0] == '!') : d->name;
}

static inline int dimension_is(const Dimension *d, const char *name) {
    return !strcmp(d->name, name) || !strcmp(dimension_symbol(d), name);
}

/* Dimensions that are given. */
static inline int dimensions_given(const Equation *e) {
    int n = 0;
    for (const Dimension *d = e->dims; d && d->name; d++) n += !d->derived;
    return n;
}

static inline int call_find(const Equation *e, const char *name, const int64_t *value, const Call *c,
                            int64_t *found) {
    int at = 0;
    for (const Dimension *d = e->dims; d && d->name; d++) {
        if (dimension_is(d, name)) {
            *found = d->derived ? d->derived(c) : value[at];
            return 1;
        }
        at += !d->derived;
    }
    return 0;
}

/* The dimension of that name, of the equation or of its mixer; `otherwise` where there is none. */
static inline int64_t call_dim_or(const Call *c, const char *name, int64_t otherwise) {
    int64_t found = otherwise;
    if (call_find(c->equation, name, c->dims, c, &found) || !c->mixer) return found;
    call_find(c->mixer, name, c->dims + dimensions_given(c->equation), c, &found);
    return found;
}

static inline void call_fail(const Call *c, const char *what, const char *name) {
    fprintf(stderr, "reference: %s has no %s \"%s\"\n", c->equation->name, what, name);
    abort();
}

static inline int64_t call_dim(const Call *c, const char *name) {
    const int64_t value = call_dim_or(c, name, INT64_MIN);
    if (value == INT64_MIN) call_fail(c, "dimension", name);
    return value;
}

/* Shape of a tensor; returns its rank. */
static inline int call_shape(const Call *c, const Argument *a, int64_t *shape) {
    int rank = 0;
    for (const char *word = a->shape; *word && rank < EQUATION_RANK;) {
        char name[48];
        const size_t length = strcspn(word, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, word);
        shape[rank++] = *word >= '0' && *word <= '9' ? strtoll(word, NULL, 10) : call_dim(c, name);
        word += length + (word[length] == ' ');
    }
    return rank;
}

/* Its numbers. */
static inline int64_t call_size(const Call *c, const Argument *a) {
    int64_t shape[EQUATION_RANK], size = 1;
    const int rank = call_shape(c, a, shape);
    for (int i = 0; i < rank; i++) size *= shape[i];
    return size;
}

static inline int argument_count(const Argument *list) {
    int n = 0;
    while (list && list[n].name) n++;
    return n;
}

/* Place of an argument by name or symbol, or -1. */
static inline int argument_find(const Argument *list, const char *name) {
    for (int i = 0; list && list[i].name; i++)
        if (!strcmp(list[i].name, name) || (list[i].symbol && !strcmp(list[i].symbol, name))) return i;
    return -1;
}

static inline int argument_of(const Call *c, const Argument *list, const char *name) {
    const int i = argument_find(list, name);
    if (i < 0) call_fail(c, "argument", name);
    return i;
}
