#pragma once
/* What products in bf16 have in common: the three forms as strides, and the sharing of C among threads. */
#include "base/parallel.h"
#include "base/work.h"
#include "kernel/gemm.h"

#include <string.h>

/* An operand seen as rows x depth with both strides explicit. */
typedef struct {
    const float *p;
    int64_t outer, depth; /* strides along M (or N) and along K; one of them is 1 */
} Bf16View;

typedef struct {
    GemmForm form;
    int64_t M, N, K;
    const float *A;
    int64_t lda;
    const float *B;
    int64_t ldb;
    float *C;
    int64_t ldc;
    int accumulate;
} Bf16Product;

/* The product on one thread. */
typedef void (*Bf16Serial)(int64_t M, int64_t N, int64_t K, Bf16View a, Bf16View b, float *C, int64_t ldc,
                           int accumulate);

static inline int64_t bf16_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* A sum of no terms: 0, or C as it is. */
static inline void bf16_no_terms(const Bf16Product *p) {
    for (int64_t m = 0; m < p->M && !p->accumulate; m++)
        memset(p->C + m * p->ldc, 0, (size_t)p->N * sizeof(float));
}

/* C as a grid of blocks, of whole tiles of rows x columns. */
typedef struct {
    int64_t rows, columns, row_parts, column_parts;
} Bf16Grid;

static inline void bf16_blocks(ParallelPart part, const Bf16Product *p, Bf16Grid g, Bf16Serial serial) {
    const int64_t down = (p->M + g.rows - 1) / g.rows, across = (p->N + g.columns - 1) / g.columns;
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t row = i / g.column_parts, column = i % g.column_parts;
        const int64_t m = part_begin(down, g.row_parts, row) * g.rows;
        const int64_t m_end = bf16_least(part_begin(down, g.row_parts, row + 1) * g.rows, p->M);
        const int64_t n = part_begin(across, g.column_parts, column) * g.columns;
        const int64_t n_end = bf16_least(part_begin(across, g.column_parts, column + 1) * g.columns, p->N);
        const Bf16View a =
            p->form == GEMM_TN ? (Bf16View){p->A + m, 1, p->lda} : (Bf16View){p->A + m * p->lda, p->lda, 1};
        const Bf16View b =
            p->form == GEMM_NT ? (Bf16View){p->B + n * p->ldb, p->ldb, 1} : (Bf16View){p->B + n, 1, p->ldb};
        serial(m_end - m, n_end - n, p->K, a, b, p->C + m * p->ldc + n, p->ldc, p->accumulate);
    }
}

/* Threads share the blocks. */
static inline void bf16_share(Bf16Product p, int64_t rows, int64_t columns, Bf16Serial serial) {
    const int before = work_begin();
    const int threads = (double)p.M * (double)p.N * (double)p.K < 5e5 ? 1 : parallel_threads();
    const int64_t row_parts = bf16_least(threads, (p.M + 8 * rows - 1) / (8 * rows));
    const int64_t across = (p.N + columns - 1) / columns;
    const int64_t column_parts = row_parts ? bf16_least((threads + row_parts - 1) / row_parts, across) : 0;
    const Bf16Grid grid = {rows, columns, row_parts, column_parts};
    if (p.K == 0)
        bf16_no_terms(&p);
    else if (row_parts && column_parts)
        PARALLEL_PARTS(threads, row_parts * column_parts, 1, bf16_blocks(part, &p, grid, serial));
    work_end(before);
}
