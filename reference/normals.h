/* Random numbers that stay fixed: an equation names them by a seed. splitmix64 from that state; two of its
 * 53-bit uniforms u, w make one normal number, sqrt(-2 log(1 - u)) cos(2 pi w) (Box and Muller). They are double
 * constants, in every arithmetic the same. */
#pragma once
#include "real.h"

static double normals_uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static double normals_next(uint64_t *state) {
    double u = normals_uniform(state), angle = 6.283185307179586 * normals_uniform(state);
    return pow(-2.0 * log1p(-u), 0.5) * cos(angle);
}

/* n of them in turn. */
static void normals(int64_t n, int64_t seed, real *x) {
    uint64_t state = (uint64_t)seed;
    for (int64_t i = 0; i < n; i++) x[i] = R(normals_next(&state));
}

static double normals_dot(int64_t d, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}

/* The same numbers as rows (n x d), made orthogonal within every d rows by Gram and Schmidt: each row keeps its own
 * length, which is independent of the directions, so that every row by itself is normal as before. */
static void normals_orthogonal(int64_t n, int64_t d, int64_t seed, real *rows) {
    uint64_t state = (uint64_t)seed;
    double *g = (double *)calloc((size_t)(n * d), sizeof(double));
    if (!g) abort();
    for (int64_t i = 0; i < n; i++) {
        double *row = g + i * d;
        for (int64_t c = 0; c < d; c++) row[c] = normals_next(&state);
        double length = normals_dot(d, row, row);
        for (int64_t j = i / d * d; j < i; j++) {
            double share = normals_dot(d, row, g + j * d) / normals_dot(d, g + j * d, g + j * d);
            for (int64_t c = 0; c < d; c++) row[c] -= share * g[j * d + c];
        }
        double rest = normals_dot(d, row, row);
        for (int64_t c = 0; c < d; c++) row[c] *= pow(length / rest, 0.5);
    }
    for (int64_t i = 0; i < n * d; i++) rows[i] = R(g[i]);
    free(g);
}
