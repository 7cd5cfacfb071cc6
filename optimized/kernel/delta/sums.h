/* Sums that chunks of the delta rules and of momentum share. */
#pragma once
#include "kernel/delta/tile.h"

/* A one at place i of a vector. */
INLINE Vec delta_place(int64_t i) {
    static const float one[2 * VEC_LANES] = {[VEC_LANES] = 1.0f};
    return vec_load(one + VEC_LANES - i);
}

/* Of 16 rows, ld apart, the sums of the products of all their numbers. */
static Vec delta_row_dots(int64_t ld, const float *a, const float *b) {
    float sums[VEC_LANES * VEC_LANES];
    for (int64_t i = 0; i < VEC_LANES; i++) {
        Vec sum = vec_zero();
        FOR_VECTORS (j, ld) sum = vec_fma(vec_load(a + i * ld + j), vec_load(b + i * ld + j), sum);
        vec_store(sums + i * VEC_LANES, sum);
    }
    return vec_sums(sums);
}

/* to += the sum over n rows, ld apart, of factor (`stride` apart) times the row, for N vectors. */
INLINE void delta_sum_rows(int64_t n, const float *factor, int64_t stride, const float *rows, int64_t ld,
                           float *to, int N) {
    Vec sum[4];
    for (int v = 0; v < N; v++) sum[v] = vec_load(to + 16 * v);
    for (int64_t i = 0; i < n; i++) {
        const Vec x = vec_set1(factor[i * stride]);
        for (int v = 0; v < N; v++) sum[v] = vec_fma(x, vec_load(rows + i * ld + 16 * v), sum[v]);
    }
    for (int v = 0; v < N; v++) vec_store(to + 16 * v, sum[v]);
}
static void delta_sum(int64_t ld, int64_t n, const float *factor, int64_t stride, const float *rows,
                      float *to) {
    int64_t j = 0;
    for (; j + 64 <= ld; j += 64) delta_sum_rows(n, factor, stride, rows + j, ld, to + j, 4);
    for (; j + 32 <= ld; j += 32) delta_sum_rows(n, factor, stride, rows + j, ld, to + j, 2);
    for (; j < ld; j += 16) delta_sum_rows(n, factor, stride, rows + j, ld, to + j, 1);
}
