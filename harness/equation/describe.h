#pragma once
/* What someone needs who has an equation's name and nothing else: formula, dimensions with their ranges, tensors with
 * their shapes, and a command that works. */
#include "equation/dims.h"

#include <stdio.h>

void equation_describe(const Equation *equation, FILE *to);

/* Small dimensions at which the equation can be run, as for --dims: those of its first golden vector, else of its first
 * case. 0: it has none. */
int equation_example(const Equation *equation, char *text, size_t size);
