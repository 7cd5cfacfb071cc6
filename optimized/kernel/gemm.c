#include "kernel/serial.h"
#include "vec/rows.h"
#include "base/parallel.h"

enum {
    GEMM_KC = 256,
    GEMM_MC = 96,
    GEMM_A_ROW = 112,
    GEMM_PACK_A = 16384,
    GEMM_STRIP = 4,
    GEMM_NR = GEMM_VECS * VEC_LANES
};

/* An operand seen as rows x depth with both strides explicit, so that one code serves NN, NT and TN. */
typedef struct {
    const float *p;
    int64_t outer, depth; /* strides along M (or N) and along K */
} GemmView;

/* rows x (16 vecs) of C in registers while k runs; rows and vecs are compile-time constants at each call. */
INLINE void gemm_tile(const int rows, const int vecs, int64_t K, GemmView a, const float *b, int64_t ldb,
                      float *c, int64_t ldc, int accumulate) {
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
            const Vec x = vec_set1(a.p[r * a.outer + k * a.depth]);
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) acc[r][v] = vec_fma(x, bk[v], acc[r][v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) vec_store(c + r * ldc + v * VEC_LANES, acc[r][v]);
}

INLINE void gemm_tile_rows(int rows, const int vecs, int64_t K, GemmView a, const float *b, int64_t ldb,
                           float *c, int64_t ldc, int accumulate) {
    switch (rows) {
#define GEMM_CASE(n)                                                                                         \
    case n:                                                                                                  \
        gemm_tile(n <= GEMM_ROWS ? n : GEMM_ROWS, vecs, K, a, b, ldb, c, ldc, accumulate);                   \
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

/* Copies K x n of B (n <= GEMM_NR) to rows of GEMM_NR floats, zero padded. */
static void gemm_pack_b(int64_t K, int64_t n, GemmView b, float *pack) {
    if (b.outer == 1) {
        for (int64_t k = 0; k < K; k++)
            for (int64_t j = 0; j < GEMM_NR; j += VEC_LANES) {
                const int64_t lanes = n - j < 0 ? 0 : n - j > VEC_LANES ? VEC_LANES : n - j;
                vec_store(pack + k * GEMM_NR + j, vec_load_n(b.p + k * b.depth + j, lanes));
            }
        return;
    }
    for (int64_t j = 0; j < GEMM_NR; j += VEC_LANES)
        for (int64_t k = 0; k < K; k += VEC_LANES) {
            const float *s = b.p + j * b.outer + k;
            float *d = pack + k * GEMM_NR + j;
            if (j + VEC_LANES <= n && k + VEC_LANES <= K) {
                vec_transpose(s, b.outer, d, GEMM_NR);
                continue;
            }
            for (int64_t kk = 0; kk < VEC_LANES && k + kk < K; kk++)
                for (int64_t jj = 0; jj < VEC_LANES; jj++)
                    d[kk * GEMM_NR + jj] = j + jj < n ? s[jj * b.outer + kk] : 0.0f;
        }
}

/* The i-th of `blocks` nearly equal parts of [0, n): tiles of 6,6,6,5,5,5 rows waste nothing, 6,6,6,6,6,3 do.
 */
static int64_t part_begin(int64_t n, int64_t blocks, int64_t i) {
    const int64_t base = n / blocks, extra = n % blocks;
    return i * base + (i < extra ? i : extra);
}

/* A panel of at most GEMM_NR columns of C for all rows; b has row stride ldb and whole vectors. */
static __attribute__((noinline)) void gemm_panel(int64_t M, int64_t n, int64_t K, GemmView a, const float *b,
                                                 int64_t ldb, float *c, int64_t ldc, int accumulate) {
    const int64_t tiles = (M + GEMM_ROWS - 1) / GEMM_ROWS;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t m = part_begin(M, tiles, i);
        const int rows = (int)(part_begin(M, tiles, i + 1) - m);
        const GemmView at = {a.p + m * a.outer, a.outer, a.depth};
        float *ct = c + m * ldc;
        if (n == GEMM_NR) {
            gemm_tile_rows(rows, GEMM_VECS, K, at, b, ldb, ct, ldc, accumulate);
            continue;
        }
        for (int64_t j = 0; j < n; j += VEC_LANES) {
            const int64_t lanes = n - j;
            float edge[GEMM_ROWS * VEC_LANES];
            if (lanes >= VEC_LANES) {
                gemm_tile_rows(rows, 1, K, at, b + j, ldb, ct + j, ldc, accumulate);
                continue;
            }
            for (int r = 0; accumulate && r < rows; r++)
                vec_store(edge + r * VEC_LANES, vec_load_n(ct + r * ldc + j, lanes));
            gemm_tile_rows(rows, 1, K, at, b + j, ldb, edge, VEC_LANES, accumulate);
            for (int r = 0; r < rows; r++)
                vec_store_n(ct + r * ldc + j, vec_load(edge + r * VEC_LANES), lanes);
        }
    }
}

/* Copies K x M of a transposed A to rows of GEMM_A_ROW floats: an odd number of cache lines, so that walking
 * down a column meets every cache set instead of a few. */
static void gemm_pack_a(int64_t M, int64_t K, GemmView a, float *pack) {
    for (int64_t k = 0; k < K; k++)
        for (int64_t m = 0; m < M; m += VEC_LANES) {
            const int64_t lanes = M - m < VEC_LANES ? M - m : VEC_LANES;
            vec_store(pack + k * GEMM_A_ROW + m, vec_load_n(a.p + k * a.depth + m, lanes));
        }
}

static void gemm_views(int64_t M, int64_t N, int64_t K, GemmView a, GemmView b, float *C, int64_t ldc,
                       int accumulate) {
    static _Thread_local float a_buffer[GEMM_KC * GEMM_A_ROW] __attribute__((aligned(64)));
    static _Thread_local float b_buffer[GEMM_KC * GEMM_NR] __attribute__((aligned(64)));
    if (K == 0 && !accumulate)
        for (int64_t m = 0; m < M; m++) memset(C + m * ldc, 0, (size_t)N * sizeof(float));
    /* Walking down A takes a cache line per step of k: half the depth then leaves room for B in the first
     * cache. */
    const int64_t step = a.outer == 1 ? GEMM_KC / 2 : GEMM_KC;
    for (int64_t k = 0; k < K; k += step) {
        const int64_t kc = K - k < step ? K - k : step;
        const int pack_a = a.outer == 1 && a.depth * kc > GEMM_PACK_A && N > GEMM_NR;
        for (int64_t m = 0; m < M; m += pack_a ? GEMM_MC : M) {
            const int64_t mc = !pack_a ? M : M - m < GEMM_MC ? M - m : GEMM_MC;
            GemmView at = {a.p + m * a.outer + k * a.depth, a.outer, a.depth};
            if (pack_a) {
                gemm_pack_a(mc, kc, at, a_buffer);
                at = (GemmView){a_buffer, 1, GEMM_A_ROW};
            }
            for (int64_t j = 0; j < N; j += GEMM_NR) {
                const int64_t n = N - j < GEMM_NR ? N - j : GEMM_NR;
                const GemmView bt = {b.p + j * b.outer + k * b.depth, b.outer, b.depth};
                const int pack_b = b.outer != 1 || n % VEC_LANES || (b.depth * kc > 8192 && mc >= 48);
                if (pack_b) gemm_pack_b(kc, n, bt, b_buffer);
                gemm_panel(mc, n, kc, at, pack_b ? b_buffer : bt.p, pack_b ? GEMM_NR : b.depth,
                           C + m * ldc + j, ldc, accumulate || k > 0);
            }
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

/* Threads share the outputs as a grid of row and column blocks; a block never splits the sum over k. */
static void gemm_run(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                     const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate) {
    const int64_t threads = (double)M * (double)N * (double)K < 5e5 ? 1 : parallel_threads();
    const int64_t most_rows = (M + 4 * GEMM_ROWS - 1) / (4 * GEMM_ROWS);
    const int64_t row_blocks = threads < most_rows ? threads : most_rows ? most_rows : 1;
    const int64_t columns = (N + GEMM_NR - 1) / GEMM_NR;
    const int64_t wanted = (threads + row_blocks - 1) / row_blocks;
    const int64_t column_blocks = wanted < columns ? wanted : columns ? columns : 1;
#pragma omp parallel for num_threads((int)threads) if (threads > 1) schedule(static)
    for (int64_t i = 0; i < row_blocks * column_blocks; i++) {
        const int64_t m = part_begin(M, row_blocks, i / column_blocks);
        const int64_t rows = part_begin(M, row_blocks, i / column_blocks + 1) - m;
        const int64_t j = part_begin(columns, column_blocks, i % column_blocks) * GEMM_NR;
        const int64_t j_end = part_begin(columns, column_blocks, i % column_blocks + 1) * GEMM_NR;
        gemm_serial(form, rows, (j_end < N ? j_end : N) - j, K, A + (form == GEMM_TN ? m : m * lda), lda,
                    B + (form == GEMM_NT ? j * ldb : j), ldb, C + m * ldc + j, ldc, accumulate);
    }
}

const struct gemm_kernel KERNEL(gemm_kernel) = {gemm_run};
