#pragma once
#include "reference.h"

/* Why an equation cannot be run with these dimensions (one number per name of e->dims), or NULL: sizes below 1,
 * options out of range, heads that do not divide the width, more numbers than fit, .. The text lives until the next
 * call. */
const char *equation_dims_objection(const Equation *e, const int64_t *dims);
