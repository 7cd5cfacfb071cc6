#pragma once
#include "golden/golden.h"
#include "reference.h"

typedef struct {
    const char *family, *equation;
    int64_t dims[EQUATION_DIMS];
    const char *flag, *comment;
} GoldenCase;
extern const GoldenCase golden_cases[]; /* ends with a NULL family; families are contiguous */
extern const GoldenFlag golden_flags[]; /* ends with a NULL name */
