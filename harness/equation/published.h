#pragma once
#include "equation/dims.h"

/* What earlier versions published by position or by number: indexes of golden files, scripts. One place knows it. */

/* The mixer that had this number ("3": mac), or NULL. */
const char *published_mixer(const char *number);

/* An option that every mixer was given, whether it had it or not. */
int published_option(const Equation *equation, const char *name);

/* The i-th dimension that the index of a golden file has, in its order, under its published name: 0 past the end.
 * extra: "NAME=VALUE .." for what was published without meaning anything. */
int published_dim(const Dims *dims, const char *extra, int i, char *name, size_t size, int64_t *value);
