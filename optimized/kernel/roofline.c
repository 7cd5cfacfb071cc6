#pragma once
#include "kernel/act.c"
#include "kernel/roofline.h"

/* Two passes over six accumulators: as many as every instruction set can hold, each used once per latency.
 * Lanes differ, or the compiler would compute equal registers once. */
static float roofline_fma(int64_t rounds) {
    static const float lanes[VEC_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Vec a[6];
    const Vec x = vec_set1(0.999f), y = vec_set1(0.001f);
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) a[i] = vec_add(vec_load(lanes), vec_set1((float)i));
    for (int64_t r = 0; r < 2 * rounds; r++)
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) a[i] = vec_fma(a[i], x, y);
    float sum = 0.0f;
    for (int i = 0; i < 6; i++) sum += vec_sum(a[i]);
    return sum;
}

static void roofline_copy(int64_t n, const float *x, float *y) {
    for (int64_t j = 0; j + VEC_LANES <= n; j += VEC_LANES) vec_store(y + j, vec_load(x + j));
}

static const struct roofline_kernel roofline_kernel = {roofline_fma, roofline_copy};
