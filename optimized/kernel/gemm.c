#include "kernel/serial.h"
#include "vec/rows.h"
#include "base/parallel.h"

/* Blocks of A lie in the second cache while panels of B, GEMM_NR columns in the first cache, pass over them. A transposed A is
 * copied in groups of GEMM_GROUP rows of C with a row stride of GEMM_A_ROW floats: an odd number of cache lines, so that
 * walking down a column meets every cache set instead of a few. */
enum {
    GEMM_NR = GEMM_VECS * VEC_LANES,
    GEMM_KC = 256,
    GEMM_KC_DOWN = 128, /* walking down A takes a cache line a step: less depth leaves room for B */
    GEMM_MC = 384 * GEMM_VECS,
    GEMM_MC_DOWN = 384,
    GEMM_GROUP = 96,
    GEMM_A_ROW = 112,
    GEMM_PACK_A = 16384, /* floats that A spans before it is copied */
    GEMM_STRIP = 4
};

/* An operand seen as rows x depth with both strides explicit, so that one code serves NN, NT and TN. */
typedef struct {
    const float *p;
    int64_t outer, depth; /* strides along M (or N) and along K */
} GemmView;

/* Moves the pointers to every fourth row of A along k. The compiler is kept from seeing how they hang together: it would keep a
 * register for each of the rows and take some of them from vector registers, through a port of the multiply-adds. */
INLINE void gemm_along(const int rows, const float **row) {
#pragma GCC unroll 4
    for (int r = 0; r < rows; r += 4) {
        row[r / 4]++;
        __asm__("" : "+r"(row[r / 4]));
    }
}

/* rows x (16 vecs) of C in registers while k runs; rows and vecs are compile-time constants at each call, and so is `down`:
 * whether A is transposed (its outer stride is 1) or not (its depth stride is 1). */
INLINE void gemm_tile(const int rows, const int vecs, const int down, int64_t K, GemmView a, const float *b,
                      int64_t ldb, float *c, int64_t ldc, int accumulate) {
    const float *row[(GEMM_ROWS + 3) / 4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r += 4) row[r / 4] = a.p + r * a.outer;
    Vec acc[GEMM_ROWS][GEMM_VECS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            acc[r][v] = accumulate ? vec_load(c + r * ldc + v * VEC_LANES) : vec_zero();
    for (int64_t k = 0; k < K; k++) {
        Vec bk[GEMM_VECS];
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) bk[v] = vec_load(b + k * ldb + v * VEC_LANES);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            const Vec x = vec_set1(down ? a.p[r + k * a.depth] : row[r / 4][r % 4 * a.outer]);
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) acc[r][v] = vec_fma(x, bk[v], acc[r][v]);
        }
        if (!down) gemm_along(rows, row);
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) vec_store(c + r * ldc + v * VEC_LANES, acc[r][v]);
}

INLINE void gemm_tile_rows(int rows, const int vecs, const int down, int64_t K, GemmView a, const float *b,
                           int64_t ldb, float *c, int64_t ldc, int accumulate) {
    switch (rows) {
#define GEMM_CASE(n)                                                                                         \
    case n:                                                                                                  \
        gemm_tile(n <= GEMM_ROWS ? n : GEMM_ROWS, vecs, down, K, a, b, ldb, c, ldc, accumulate);             \
        break;
        GEMM_CASE(1)
        GEMM_CASE(2)
        GEMM_CASE(3)
        GEMM_CASE(4)
        GEMM_CASE(5)
        GEMM_CASE(6)
        GEMM_CASE(7)
        GEMM_CASE(8)
        GEMM_CASE(9)
        GEMM_CASE(10)
        GEMM_CASE(11)
        GEMM_CASE(12)
#undef GEMM_CASE
    }
}

/* Copies K x n of B (n <= GEMM_NR) to rows GEMM_NR floats apart, zeros up to the end of its last vector. */
static void gemm_pack_b(int64_t K, int64_t n, const GemmView *b, float *pack) {
    if (b->outer == 1) {
        for (int64_t k = 0; k < K; k++)
            for (int64_t j = 0; j < n; j += VEC_LANES)
                vec_store(pack + k * GEMM_NR + j, vec_load_n(b->p + k * b->depth + j, vec_lanes(j, n)));
        return;
    }
    for (int64_t j = 0; j < n; j += VEC_LANES)
        for (int64_t k = 0; k < K; k += VEC_LANES) {
            const float *s = b->p + j * b->outer + k;
            float *d = pack + k * GEMM_NR + j;
            if (j + VEC_LANES <= n && k + VEC_LANES <= K) {
                vec_transpose(s, b->outer, d, GEMM_NR);
                continue;
            }
            for (int64_t kk = 0; kk < VEC_LANES && k + kk < K; kk++)
                for (int64_t jj = 0; jj < VEC_LANES; jj++)
                    d[kk * GEMM_NR + jj] = j + jj < n ? s[jj * b->outer + kk] : 0.0f;
        }
}

/* A panel of at most GEMM_NR columns of C for all rows; b has row stride ldb and whole vectors. */
INLINE void gemm_panel_as(const int down, int64_t M, int64_t n, int64_t K, const GemmView *a, const float *b,
                          int64_t ldb, float *c, int64_t ldc, int accumulate) {
    const int64_t tiles = (M + GEMM_ROWS - 1) / GEMM_ROWS;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t m = part_begin(M, tiles, i);
        const int rows = (int)(part_begin(M, tiles, i + 1) - m);
        const GemmView at = {a->p + m * a->outer, a->outer, a->depth};
        float *ct = c + m * ldc;
        if (n == GEMM_NR) {
            gemm_tile_rows(rows, GEMM_VECS, down, K, at, b, ldb, ct, ldc, accumulate);
            continue;
        }
        for (int64_t j = 0; j < n; j += VEC_LANES) {
            const int64_t lanes = n - j;
            float edge[GEMM_ROWS * VEC_LANES];
            if (lanes >= VEC_LANES) {
                gemm_tile_rows(rows, 1, down, K, at, b + j, ldb, ct + j, ldc, accumulate);
                continue;
            }
            for (int r = 0; accumulate && r < rows; r++)
                vec_store(edge + r * VEC_LANES, vec_load_n(ct + r * ldc + j, lanes));
            gemm_tile_rows(rows, 1, down, K, at, b + j, ldb, edge, VEC_LANES, accumulate);
            for (int r = 0; r < rows; r++)
                vec_store_n(ct + r * ldc + j, vec_load(edge + r * VEC_LANES), lanes);
        }
    }
}

/* Views go by address: one that is stored in words and copied by vectors waits for every word to reach the cache. */
static __attribute__((noinline)) void gemm_panel(int64_t M, int64_t n, int64_t K, const GemmView *a,
                                                 const float *b, int64_t ldb, float *c, int64_t ldc,
                                                 int accumulate) {
    if (a->outer == 1)
        gemm_panel_as(1, M, n, K, a, b, ldb, c, ldc, accumulate);
    else
        gemm_panel_as(0, M, n, K, a, b, ldb, c, ldc, accumulate);
}

/* rows x K of A as `groups` nearly equal groups of rows, `stride` floats apart. */
typedef struct {
    GemmView first;
    int64_t rows, groups, stride;
} GemmBlock;

/* Copies a transposed A, group after group, K x GEMM_A_ROW each. */
static GemmBlock gemm_pack_a(int64_t M, int64_t K, GemmView a, float *pack) {
    const GemmBlock block = {{pack, 1, GEMM_A_ROW}, M, (M + GEMM_GROUP - 1) / GEMM_GROUP, K * GEMM_A_ROW};
    for (int64_t g = 0; g < block.groups; g++) {
        const int64_t begin = part_begin(M, block.groups, g);
        const int64_t rows = part_begin(M, block.groups, g + 1) - begin;
        for (int64_t k = 0; k < K; k++)
            for (int64_t m = 0; m < rows; m += VEC_LANES)
                vec_store(pack + g * block.stride + k * GEMM_A_ROW + m,
                          vec_load_n(a.p + k * a.depth + begin + m, vec_lanes(m, rows)));
    }
    return block;
}

/* All columns of C for a block of A. */
static void gemm_block(int64_t N, int64_t K, GemmBlock a, GemmView b, float *c, int64_t ldc, int accumulate) {
    static _Thread_local float pack[GEMM_KC * GEMM_NR] __attribute__((aligned(64)));
    const int far = b.depth * K > 8192 && a.rows >= 48;
    for (int64_t j = 0; j < N; j += GEMM_NR) {
        const int64_t n = N - j < GEMM_NR ? N - j : GEMM_NR;
        GemmView panel = {b.p + j * b.outer, b.outer, b.depth};
        if (b.outer != 1 || n % VEC_LANES || far) {
            gemm_pack_b(K, n, &panel, pack);
            panel = (GemmView){pack, 1, GEMM_NR};
        }
        for (int64_t g = 0; g < a.groups; g++) {
            const int64_t m = part_begin(a.rows, a.groups, g);
            const GemmView rows = {a.first.p + g * a.stride, a.first.outer, a.first.depth};
            gemm_panel(part_begin(a.rows, a.groups, g + 1) - m, n, K, &rows, panel.p, panel.depth,
                       c + m * ldc + j, ldc, accumulate);
        }
    }
}

static void gemm_views(int64_t M, int64_t N, int64_t K, GemmView a, GemmView b, float *C, int64_t ldc,
                       int accumulate) {
    static _Thread_local float pack[GEMM_KC_DOWN * GEMM_MC_DOWN / GEMM_GROUP * GEMM_A_ROW]
        __attribute__((aligned(64)));
    if (K == 0 && !accumulate)
        for (int64_t m = 0; m < M; m++) memset(C + m * ldc, 0, (size_t)N * sizeof(float));
    const int64_t depth = a.outer == 1 ? GEMM_KC_DOWN : GEMM_KC;
    const int pack_a = a.outer == 1 && a.depth * (K < depth ? K : depth) > GEMM_PACK_A && N > GEMM_NR;
    const int64_t most = pack_a ? GEMM_MC_DOWN : GEMM_MC, blocks = (M + most - 1) / most;
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t m = part_begin(M, blocks, i), mc = part_begin(M, blocks, i + 1) - m;
        for (int64_t k = 0; k < K; k += depth) {
            const int64_t kc = K - k < depth ? K - k : depth;
            const GemmView at = {a.p + m * a.outer + k * a.depth, a.outer, a.depth};
            gemm_block(N, kc, pack_a ? gemm_pack_a(mc, kc, at, pack) : (GemmBlock){at, mc, 1, 0},
                       (GemmView){b.p + k * b.depth, b.outer, b.depth}, C + m * ldc, ldc,
                       accumulate || k > 0);
        }
    }
}

/* Columns of a single row of C, as many chains at a time; nothing is used twice, so B is read where it lies. */
INLINE void gemm_row_strip(const int vecs, int64_t K, GemmView a, const float *b, int64_t ldb, float *c,
                           int64_t lanes, int accumulate) {
    Vec acc[GEMM_STRIP];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) acc[v] = accumulate ? vec_load_n(c + v * VEC_LANES, lanes) : vec_zero();
    for (int64_t k = 0; k < K; k++) {
        const Vec x = vec_set1(a.p[k * a.depth]);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            acc[v] = vec_fma(x, vec_load_n(b + k * ldb + v * VEC_LANES, lanes), acc[v]);
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) vec_store_n(c + v * VEC_LANES, acc[v], lanes);
}

static void gemm_row(int64_t N, int64_t K, GemmView a, GemmView b, float *C, int accumulate) {
    enum { WIDE = GEMM_STRIP * VEC_LANES };
    int64_t j = 0;
    for (; j + WIDE <= N; j += WIDE)
        gemm_row_strip(GEMM_STRIP, K, a, b.p + j, b.depth, C + j, VEC_LANES, accumulate);
    for (; j + VEC_LANES <= N; j += VEC_LANES)
        gemm_row_strip(1, K, a, b.p + j, b.depth, C + j, VEC_LANES, accumulate);
    if (j < N) gemm_row_strip(1, K, a, b.p + j, b.depth, C + j, N - j, accumulate);
}

void gemm_serial(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda, const float *B,
                 int64_t ldb, float *C, int64_t ldc, int accumulate) {
    const GemmView a = form == GEMM_TN ? (GemmView){A, 1, lda} : (GemmView){A, lda, 1};
    const GemmView b = form == GEMM_NT ? (GemmView){B, ldb, 1} : (GemmView){B, 1, ldb};
    if (M == 1 && b.outer == 1)
        gemm_row(N, K, a, b, C, accumulate);
    else
        gemm_views(M, N, K, a, b, C, ldc, accumulate);
}

typedef struct {
    GemmForm form;
    int64_t M, N, K;
    const float *A, *B;
    float *C;
    int64_t lda, ldb, ldc;
    int accumulate;
} GemmProduct;

/* C as row_blocks x column_blocks; a block never splits the sum over k. */
static void gemm_blocks(ParallelPart part, const GemmProduct *p, int64_t row_blocks, int64_t column_blocks) {
    const int64_t columns = (p->N + GEMM_NR - 1) / GEMM_NR;
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t row = i / column_blocks, column = i % column_blocks;
        const int64_t m = part_begin(p->M, row_blocks, row), m_end = part_begin(p->M, row_blocks, row + 1);
        const int64_t j = part_begin(columns, column_blocks, column) * GEMM_NR;
        const int64_t j_end = part_begin(columns, column_blocks, column + 1) * GEMM_NR;
        gemm_serial(p->form, m_end - m, (j_end < p->N ? j_end : p->N) - j, p->K,
                    p->A + (p->form == GEMM_TN ? m : m * p->lda), p->lda,
                    p->B + (p->form == GEMM_NT ? j * p->ldb : j), p->ldb, p->C + m * p->ldc + j, p->ldc,
                    p->accumulate);
    }
}

static void gemm_run(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                     const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate) {
    const int threads = (double)M * (double)N * (double)K < 5e5 ? 1 : parallel_threads();
    if (threads == 1) {
        gemm_serial(form, M, N, K, A, lda, B, ldb, C, ldc, accumulate);
        return;
    }
    const int64_t most_rows = (M + 4 * GEMM_ROWS - 1) / (4 * GEMM_ROWS);
    const int64_t row_blocks = threads < most_rows ? threads : most_rows ? most_rows : 1;
    const int64_t columns = (N + GEMM_NR - 1) / GEMM_NR;
    const int64_t wanted = (threads + row_blocks - 1) / row_blocks;
    const int64_t column_blocks = wanted < columns ? wanted : columns ? columns : 1;
    const GemmProduct product = {form, M, N, K, A, B, C, lda, ldb, ldc, accumulate};
    PARALLEL_PARTS(threads, row_blocks * column_blocks, 1,
                   gemm_blocks(part, &product, row_blocks, column_blocks));
}

const struct gemm_kernel KERNEL(gemm_kernel) = {gemm_run};
