/* The product in bf16 (kernel/bf16.h) by the matrix unit: tiles of 16 x 16 sums, whose one operation, TDPBF16PS, is the
 * definition of a block of 32 terms. Everything else of this instruction set is AVX-512's.
 *
 * TILE_HEADER says what a tile operation is: kernel/bf16/tiles.h on the hardware, harness/verify/amx/tiles.h in software,
 * so that this source is checked on any machine. */
#include "kernel/bf16.h"
#include "kernel/bf16/run.h"
#include "vec/rows.h"

#include TILE_HEADER

/* A block of A (AMX_MC x AMX_KC) and one of B (AMX_KC x AMX_NC) as pairs of bf16, in the second cache; sums of 32 x 32 numbers
 * in four tiles, with two tiles of each operand. */
enum { AMX_STEP = 32, AMX_PAIRS = 16, AMX_TILE = 32, AMX_KC = 512, AMX_MC = 128, AMX_NC = 512 };
enum { AMX_ROW = AMX_KC / 2 + AMX_PAIRS }; /* pairs of a row of A: an odd number of cache lines */

/* 16 pairs from 32 terms of one row, 0 behind `terms`. */
INLINE void amx_along(int64_t terms, const float *x, float *pairs) {
    const int64_t low = terms < VEC_LANES ? terms : VEC_LANES;
    const int64_t high = bf16_least(terms - low, VEC_LANES);
    tiles_pair(vec_load_n(x, low), high ? vec_load_n(x + VEC_LANES, high) : vec_zero(), pairs);
}

/* 16 pairs, each of one column, from two rows of `columns` numbers; terms: 2, or 1 where the second row is 0. */
INLINE void amx_across(int64_t terms, int64_t columns, const float *x, int64_t ld, float *pairs) {
    tiles_weave(terms > 0 ? vec_load_n(x, columns) : vec_zero(),
                terms > 1 ? vec_load_n(x + ld, columns) : vec_zero(), pairs);
}

/* Pairs of M rows of A, 0 in rows up to a whole tile and behind K. */
static void amx_pack_a(int64_t M, int64_t K, Bf16View a, float *pack) {
    float block[AMX_PAIRS * VEC_LANES];
    for (int64_t m = 0; m < M; m += a.depth == 1 ? 1 : VEC_LANES)
        for (int64_t k = 0; k < K; k += AMX_STEP) {
            float *to = pack + m * AMX_ROW + k / 2;
            if (a.depth == 1) {
                amx_along(K - k, a.p + m * a.outer + k, to);
                continue;
            }
            for (int64_t i = 0; i < AMX_PAIRS; i++)
                amx_across(K - k - 2 * i, vec_lanes(m, M), a.p + m + (k + 2 * i) * a.depth, a.depth,
                           block + i * VEC_LANES);
            vec_transpose(block, VEC_LANES, to, AMX_ROW);
        }
    for (int64_t m = a.depth == 1 ? M : padded(M); m < (M + AMX_TILE - 1) / AMX_TILE * AMX_TILE; m++)
        memset(pack + m * AMX_ROW, 0, (size_t)(padded(K) / 2 + AMX_PAIRS) * sizeof *pack);
}

/* Pairs of n columns of B, panel by panel of 32 columns: [panel][pair of k][32]. 0 behind n and K. */
static void amx_pack_b(int64_t K, int64_t n, Bf16View b, float *pack) {
    const int64_t steps = (K + AMX_STEP - 1) / AMX_STEP;
    float block[VEC_LANES * AMX_PAIRS];
    for (int64_t j = 0; j < (n + AMX_TILE - 1) / AMX_TILE * AMX_TILE; j += VEC_LANES) {
        const int64_t lanes = j < n ? vec_lanes(j, n) : 0;
        float *to = pack + j / AMX_TILE * (steps * AMX_PAIRS * AMX_TILE) + j % AMX_TILE;
        for (int64_t k = 0; k < K; k += AMX_STEP, to += AMX_PAIRS * AMX_TILE) {
            for (int64_t i = 0; b.outer == 1 && i < AMX_PAIRS; i++)
                amx_across(lanes ? K - k - 2 * i : 0, lanes, b.p + j + (k + 2 * i) * b.depth, b.depth,
                           to + i * AMX_TILE);
            if (b.outer == 1) continue;
            for (int64_t i = 0; i < VEC_LANES; i++)
                amx_along(i < lanes ? K - k : 0, b.p + (j + i) * b.outer + k, block + i * AMX_PAIRS);
            vec_transpose(block, AMX_PAIRS, to, AMX_TILE);
        }
    }
}

/* 32 x 32 sums over `steps` times 32 terms. */
static void amx_tiles(int64_t steps, const float *a, const float *b, float *c, int64_t ldc, int begin) {
    float *const low = c + VEC_LANES * ldc;
    if (begin) {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    } else {
        TILE_LOAD(0, c, ldc);
        TILE_LOAD(1, c + VEC_LANES, ldc);
        TILE_LOAD(2, low, ldc);
        TILE_LOAD(3, low + VEC_LANES, ldc);
    }
    for (int64_t s = 0; s < steps; s++, a += AMX_PAIRS, b += AMX_PAIRS * AMX_TILE) {
        TILE_LOAD(4, a, AMX_ROW);
        TILE_LOAD(6, b, AMX_TILE);
        TILE_LOAD(7, b + VEC_LANES, AMX_TILE);
        TILE_PRODUCT(0, 4, 6);
        TILE_PRODUCT(1, 4, 7);
        TILE_LOAD(5, a + VEC_LANES * AMX_ROW, AMX_ROW);
        TILE_PRODUCT(2, 5, 6);
        TILE_PRODUCT(3, 5, 7);
    }
    TILE_STORE(0, c, ldc);
    TILE_STORE(1, c + VEC_LANES, ldc);
    TILE_STORE(2, low, ldc);
    TILE_STORE(3, low + VEC_LANES, ldc);
}

/* The same where C has fewer rows or columns left. */
static void amx_edge(int64_t rows, int64_t columns, int64_t steps, const float *a, const float *b, float *c,
                     int64_t ldc, int begin) {
    float edge[AMX_TILE * AMX_TILE] = {0};
    if (!begin) rows_load(rows, columns, c, ldc, edge, AMX_TILE);
    amx_tiles(steps, a, b, edge, AMX_TILE, begin);
    rows_save(rows, columns, edge, AMX_TILE, c, ldc);
}

static void amx_block(int64_t M, int64_t N, int64_t steps, const float *a, const float *b, float *c,
                      int64_t ldc, int begin) {
    for (int64_t n = 0; n < N; n += AMX_TILE, b += steps * AMX_PAIRS * AMX_TILE)
        for (int64_t m = 0; m < M; m += AMX_TILE) {
            float *at = c + m * ldc + n;
            if (M - m < AMX_TILE || N - n < AMX_TILE)
                amx_edge(bf16_least(M - m, AMX_TILE), bf16_least(N - n, AMX_TILE), steps, a + m * AMX_ROW, b,
                         at, ldc, begin);
            else
                amx_tiles(steps, a + m * AMX_ROW, b, at, ldc, begin);
        }
}

static void amx_views(int64_t M, int64_t N, int64_t K, Bf16View a, Bf16View b, float *C, int64_t ldc,
                      int accumulate) {
    static _Thread_local float a_buffer[AMX_MC * AMX_ROW] __attribute__((aligned(64)));
    static _Thread_local float b_buffer[AMX_KC / 2 * AMX_NC] __attribute__((aligned(64)));
    tiles_begin();
    for (int64_t k = 0; k < K; k += AMX_KC)
        for (int64_t n = 0; n < N; n += AMX_NC) {
            const int64_t kc = bf16_least(K - k, AMX_KC), nc = bf16_least(N - n, AMX_NC);
            amx_pack_b(kc, nc, (Bf16View){b.p + n * b.outer + k * b.depth, b.outer, b.depth}, b_buffer);
            for (int64_t m = 0; m < M; m += AMX_MC) {
                const int64_t mc = bf16_least(M - m, AMX_MC);
                amx_pack_a(mc, kc, (Bf16View){a.p + m * a.outer + k * a.depth, a.outer, a.depth}, a_buffer);
                amx_block(mc, nc, (kc + AMX_STEP - 1) / AMX_STEP, a_buffer, b_buffer, C + m * ldc + n, ldc,
                          k == 0 && !accumulate);
            }
        }
    tiles_end();
}

static void amx_run(GemmForm form, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                    const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate) {
    bf16_share((Bf16Product){form, M, N, K, A, lda, B, ldb, C, ldc, accumulate}, AMX_TILE, AMX_TILE,
               amx_views);
}

const struct bf16_kernel KERNEL(bf16_kernel) = {amx_run};
