#pragma once
#include "equation/cases.h"
#include "golden/golden.h"

/* Golden vectors are rows of harness/case that name a family and their number in it. Append only: a number never
 * changes meaning. Seeds count all of them from 1 on, in the order in which they were added. */
typedef struct {
    char family[32];
    int number;
    uint64_t seed;
    const EquationCase *row;
} GoldenCase;

/* The case whose seed is i + 1; 0 past the end. */
int golden_case(int i, GoldenCase *c);

extern const GoldenFlag golden_flags[]; /* ends with a NULL name */
