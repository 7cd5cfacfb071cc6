#pragma once
/* Fixed normal numbers that a seed names, as reference/normals.h has them: the same on every machine. */
#include "base/random.h"

#include <stdlib.h>

static inline void normals(int64_t n, uint64_t seed, float *x) {
    Random random = {seed};
    for (int64_t i = 0; i < n; i++) x[i] = (float)random_normal(&random);
}

static inline double normals_dot(int64_t width, const double *a, const double *b) {
    double sum = 0.0;
    for (int64_t c = 0; c < width; c++) sum += a[c] * b[c];
    return sum;
}

/* The same numbers as n rows of `width`, made orthogonal within every block of `width` rows; each keeps its length.
 * 0, or -1 without memory. */
static inline int normals_orthogonal(int64_t n, int64_t width, uint64_t seed, float *rows) {
    Random random = {seed};
    double *block = malloc((size_t)(width * width) * sizeof(double)); /* its directions, each of length 1 */
    if (!block) return -1;
    for (int64_t i = 0; i < n; i++) {
        double *row = block + i % width * width;
        for (int64_t c = 0; c < width; c++) row[c] = random_normal(&random);
        const double length = sqrt(normals_dot(width, row, row));
        for (double *other = block; other < row; other += width) {
            const double share = normals_dot(width, row, other);
            for (int64_t c = 0; c < width; c++) row[c] -= share * other[c];
        }
        const double rest = sqrt(normals_dot(width, row, row));
        for (int64_t c = 0; c < width; c++) row[c] /= rest;
        for (int64_t c = 0; c < width; c++) rows[i * width + c] = (float)(length * row[c]);
    }
    free(block);
    return 0;
}
