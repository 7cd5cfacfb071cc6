/* How attention knows places, from the papers: rotary positions (RoFormer), NTK-aware scaling (bloc97's note), YaRN (arXiv
 * 2309.00071), ALiBi (arXiv 2108.12409), the logarithm of the length (arXiv 2202.12172). */
#pragma once
#include "oracle/layers.h"
#include "oracle/oracle.h"

typedef struct Places {
    int64_t positions, scaling, trained, asked, logs; /* as the dimensions of these names */
} Places;

/* Zeros for dimensions that the equation does not have. */
Places places_of(const OracleCall *c);

/* Rows that turn, or that do not. */
Quad *placed(const Places *p, const Quad *x, const int64_t *position, int64_t rows, int64_t H, int64_t dh);

/* What head h adds to its scores, [queries][keys], the first query's row being `first`; NULL: nothing. */
Quad *placed_bias(const Places *p, int64_t H, int64_t h, int64_t queries, int64_t keys, int64_t first,
                  int64_t prefix);

/* The factor of a query that sees n keys. */
Quad place_sharpness(const Places *p, int64_t n);
