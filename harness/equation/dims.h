#pragma once
#include "call.h"

/* The dimensions of one evaluation of an equation, by name: what "T=8 chunk=4 gate=hard" means. */
typedef struct {
    const Equation *equation, *mixer; /* of reference_double; mixer: what a model is built of, else NULL */
    int64_t value[EQUATION_DIMS];     /* as in Call */
} Dims;

/* 1 with a message when a list "NAME=VALUE,.." gives a name twice, which only programs do on purpose. */
int dims_repeat(const char *text, char *message, size_t size);

/* Reads NAME=VALUE words, separated by blanks or commas, over the defaults. Names are those of the equation or their
 * published symbols, values numbers or one of the names that an option has. What a published mixer was once given
 * without having it is accepted and means nothing. 0, or -1 with a message. */
int dims_read(Dims *dims, const char *equation, const char *text, char *message, size_t size);

/* The same for texts of the program itself, as by printf: stops the program on a mistake. */
Dims dims_of(const char *equation, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* By name or symbol; stops the program when there is none. Derived ones can be read, not set. */
int64_t dims_get(const Dims *dims, const char *name);
int64_t dims_get_or(const Dims *dims, const char *name, int64_t otherwise);
void dims_set(Dims *dims, const char *name, int64_t value);

/* "tokens=8 chunk=4 gate=hard": every dimension that is not at its default. */
void dims_write(const Dims *dims, char *text, size_t size);

/* Walks the dimensions that are given, the equation's and then those that only its mixer has; NULL past the end. */
const Dimension *dims_at(const Dims *dims, int i, int64_t *value);
const char *dims_value_name(const Dims *dims, const Dimension *dimension, int64_t value, char *text,
                            size_t size);

/* As a call without arrays, and how many numbers each of its arguments has. */
Call dims_call(const Dims *dims);
void dims_sizes(const Dims *dims, int64_t *in_size, int64_t *out_size);

/* The shape of one argument, at most EQUATION_RANK numbers; returns how many. */
int dims_shape(const Dims *dims, const Argument *argument, int64_t *shape);

/* What a dimension may be: "1 to 1048576", "sigmoid hard (or 0 to 1)". */
void dims_range(const Dimension *dimension, char *text, size_t size);

/* The i-th rule between several dimensions that holds for the equation; NULL past the last. */
const char *dims_rule(const Dims *dims, int i);

/* All tensors of a call together have fewer numbers than this: 2 GiB of double. */
enum { DIMS_NUMBERS = 1 << 28 };

/* Why an equation cannot be run with these dimensions, or NULL: out of range, heads that do not divide the width,
 * more numbers than fit, .. The text lives until the next call. */
const char *dims_objection(const Dims *dims);
