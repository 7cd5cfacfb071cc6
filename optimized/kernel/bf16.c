#include "kernel/bf16.h"
#include "kernel/bf16/run.h"
#include "vec/rows.h"

/* A block of A (BF16_MC x BF16_KC) and a panel of B (BF16_KC x BF16_NR), rounded to bf16 and kept as floats: what the two
 * widenings of every pair would cost is paid once, and inside run nothing but multiply-adds. */
enum {
    BF16_BLOCK = 32,
    BF16_KC = 256,
    BF16_MC = 288,
    BF16_NR = GEMM_VECS * VEC_LANES,
    BF16_ROWS = GEMM_ROWS > 1 ? GEMM_ROWS / 2 : 1, /* two chains for every element of the tile */
    BF16_A_ROW = BF16_KC + VEC_LANES
};

/* Rows of B of `ld` floats; `fresh`: not rounded yet. */
typedef struct {
    const float *p;
    int64_t ld;
    int fresh;
} Bf16Rows;

INLINE Vec bf16_load(const float *p, const int fresh) { return fresh ? vec_bf16(vec_load(p)) : vec_load(p); }

/* One block of 32 terms, or a shorter last one, for rows x (16 vecs) of C. Both chains are in registers. */
INLINE void bf16_block(const int rows, const int vecs, const int fresh, int64_t terms, const float *a,
                       const float *b, int64_t ldb, float *c, int64_t ldc, int begin) {
    Vec sum[2][BF16_ROWS][GEMM_VECS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) sum[0][r][v] = sum[1][r][v] = vec_zero();
    for (int64_t k = 0; k < terms; k += 2)
#pragma GCC unroll 2
        for (int odd = 0; odd < 2; odd++) {
            Vec bk[GEMM_VECS];
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) bk[v] = bf16_load(b + (k + odd) * ldb + v * VEC_LANES, fresh);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                const Vec x = vec_set1(a[r * BF16_A_ROW + k + odd]);
#pragma GCC unroll 2
                for (int v = 0; v < vecs; v++) sum[odd][r][v] = vec_fma(x, bk[v], sum[odd][r][v]);
            }
        }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) {
            float *at = c + r * ldc + v * VEC_LANES;
            const Vec both = vec_add(sum[0][r][v], sum[1][r][v]);
            vec_store(at, vec_add(begin ? vec_zero() : vec_load(at), both));
        }
}

/* rows x (16 vecs) of C over K terms, a multiple of 2. */
INLINE void bf16_tile(const int rows, const int vecs, const int fresh, int64_t K, const float *a,
                      const float *b, int64_t ldb, float *c, int64_t ldc, int begin) {
    for (int64_t k = 0; k < K; k += BF16_BLOCK)
        bf16_block(rows, vecs, fresh, K - k < BF16_BLOCK ? K - k : BF16_BLOCK, a + k, b + k * ldb, ldb, c,
                   ldc, begin && k == 0);
}

INLINE void bf16_tile_rows(int rows, const int vecs, int64_t K, const float *a, Bf16Rows b, float *c,
                           int64_t ldc, int begin) {
    switch (2 * rows + b.fresh) {
#define BF16_CASE(n)                                                                                         \
    case 2 * n:                                                                                              \
        bf16_tile(n <= BF16_ROWS ? n : BF16_ROWS, vecs, 0, K, a, b.p, BF16_NR, c, ldc, begin);               \
        break;                                                                                               \
    case 2 * n + 1:                                                                                          \
        bf16_tile(n <= BF16_ROWS ? n : BF16_ROWS, vecs, 1, K, a, b.p, b.ld, c, ldc, begin);                  \
        break;
        BF16_CASE(1)
        BF16_CASE(2)
        BF16_CASE(3)
        BF16_CASE(4)
        BF16_CASE(5)
        BF16_CASE(6)
#undef BF16_CASE
    }
}

/* The last, ragged vector of a row goes through `edge`. */
static void bf16_tile_edge(int rows, int64_t lanes, int64_t K, const float *a, Bf16Rows b, float *c,
                           int64_t ldc, int begin) {
    float edge[BF16_ROWS * VEC_LANES];
    for (int r = 0; !begin && r < rows; r++) vec_store(edge + r * VEC_LANES, vec_load_n(c + r * ldc, lanes));
    bf16_tile_rows(rows, 1, K, a, b, edge, VEC_LANES, begin);
    for (int r = 0; r < rows; r++) vec_store_n(c + r * ldc, vec_load(edge + r * VEC_LANES), lanes);
}

/* A panel of n <= BF16_NR columns of C for M rows. */
static __attribute__((noinline)) void bf16_panel(int64_t M, int64_t n, int64_t K, const float *a, Bf16Rows b,
                                                 float *c, int64_t ldc, int begin) {
    const int64_t tiles = (M + BF16_ROWS - 1) / BF16_ROWS;
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t m = part_begin(M, tiles, i);
        const int rows = (int)(part_begin(M, tiles, i + 1) - m);
        const float *at = a + m * BF16_A_ROW;
        float *ct = c + m * ldc;
        if (n == BF16_NR) {
            bf16_tile_rows(rows, GEMM_VECS, K, at, b, ct, ldc, begin);
            continue;
        }
        for (int64_t j = 0; j < n; j += VEC_LANES) {
            const Bf16Rows bj = {b.p + j, b.ld, b.fresh};
            if (n - j >= VEC_LANES)
                bf16_tile_rows(rows, 1, K, at, bj, ct + j, ldc, begin);
            else
                bf16_tile_edge(rows, n - j, K, at, bj, ct + j, ldc, begin);
        }
    }
}

/* Terms with what the last block is filled up by: adding a product of +0 once does what adding it many times does, which is
 * to make a -0 a +0. */
static int64_t bf16_filled(int64_t K) {
    const int64_t rest = K % BF16_BLOCK, even = rest + rest % 2;
    return K - rest + (rest == 0 || even == BF16_BLOCK ? even : even + 2);
}

/* d[j][i] = s[i][j] rounded, for n <= 16 rows of m <= 16 numbers; 0 in the rest of the 16 x 16 block. */
static void bf16_turn(int64_t n, int64_t m, const float *s, int64_t ls, float *d, int64_t ld) {
    float block[VEC_LANES * VEC_LANES];
    for (int64_t i = 0; i < VEC_LANES; i++)
        vec_store(block + i * VEC_LANES, i < n ? vec_bf16(vec_load_n(s + i * ls, m)) : vec_zero());
    vec_transpose(block, VEC_LANES, d, ld);
}

/* M x K of A to rows of BF16_A_ROW floats, 0 behind K. */
static void bf16_pack_a(int64_t M, int64_t K, Bf16View a, float *pack) {
    for (int64_t m = 0; m < M; m += a.depth == 1 ? 1 : VEC_LANES)
        for (int64_t k = 0; k < K || k < bf16_filled(K); k += VEC_LANES) {
            const int64_t lanes = k < K ? vec_lanes(k, K) : 0;
            float *to = pack + m * BF16_A_ROW + k;
            if (a.depth == 1)
                vec_store(to, vec_bf16(vec_load_n(a.p + m * a.outer + k, lanes)));
            else
                bf16_turn(lanes, vec_lanes(m, M), a.p + m + k * a.depth, a.depth, to, BF16_A_ROW);
        }
}

/* K x n of B to rows of BF16_NR floats, 0 behind n and K. */
static void bf16_pack_b(int64_t K, int64_t n, Bf16View b, float *pack) {
    const int64_t filled = bf16_filled(K);
    for (int64_t j = 0; j < BF16_NR; j += VEC_LANES) {
        const int64_t lanes = j < n ? vec_lanes(j, n) : 0;
        for (int64_t k = 0; b.outer != 1 && k < filled; k += VEC_LANES)
            bf16_turn(lanes, k < K ? vec_lanes(k, K) : 0, b.p + j * b.outer + k, b.outer,
                      pack + k * BF16_NR + j, BF16_NR);
        for (int64_t k = 0; b.outer == 1 && k < filled; k++) {
            const Vec x = k < K && lanes ? vec_load_n(b.p + k * b.depth + j, lanes) : vec_zero();
            vec_store(pack + k * BF16_NR + j, vec_bf16(x));
        }
    }
}

/* One tile of rows reads whole blocks of B once: rounded on the way, not packed. How many terms. */
static int64_t bf16_unpacked(int64_t M, int64_t n, int64_t K, Bf16View b) {
    return M <= BF16_ROWS && b.outer == 1 && n % VEC_LANES == 0 ? K / BF16_BLOCK * BF16_BLOCK : 0;
}

/* n <= BF16_NR columns over at most BF16_KC terms. */
static void bf16_columns(int64_t M, int64_t n, int64_t K, const float *a, Bf16View b, float *c, int64_t ldc,
                         int begin) {
    static _Thread_local float pack[BF16_KC * BF16_NR] __attribute__((aligned(64)));
    const int64_t first = bf16_unpacked(M, n, K, b);
    if (first) bf16_panel(M, n, first, a, (Bf16Rows){b.p, b.depth, 1}, c, ldc, begin);
    if (first == K) return;
    bf16_pack_b(K - first, n, (Bf16View){b.p + first * b.depth, b.outer, b.depth}, pack);
    bf16_panel(M, n, bf16_filled(K - first), a + first, (Bf16Rows){pack, BF16_NR, 0}, c, ldc,
               begin && !first);
}

static void bf16_views(int64_t M, int64_t N, int64_t K, Bf16View a, Bf16View b, float *C, int64_t ldc,
                       int accumulate) {
    static _Thread_local float pack[BF16_MC * BF16_A_ROW] __attribute__((aligned(64)));
    for (int64_t k = 0; k < K; k += BF16_KC)
        for (int64_t m = 0; m < M; m += BF16_MC) {
            const int64_t kc = bf16_least(K - k, BF16_KC), mc = bf16_least(M - m, BF16_MC);
            bf16_pack_a(mc, kc, (Bf16View){a.p + m * a.outer + k * a.depth, a.outer, a.depth}, pack);
            for (int64_t j = 0; j < N; j += BF16_NR)
                bf16_columns(mc, bf16_least(N - j, BF16_NR), kc, pack,
                             (Bf16View){b.p + j * b.outer + k * b.depth, b.outer, b.depth}, C + m * ldc + j,
                             ldc, k == 0 && !accumulate);
        }
}

static void bf16_run(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                     const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate) {
    bf16_share((Bf16Product){form, M, N, K, A, lda, B, ldb, C, ldc, accumulate}, BF16_ROWS, BF16_NR,
               bf16_views);
}

const struct bf16_kernel KERNEL(bf16_kernel) = {bf16_run};
