#include "kernel/roofline.h"
#include "vec/rows.h"

/* Lanes differ, or the compiler would compute equal registers once. */
static float roofline_fma(int64_t rounds) {
    Vec a[ROOFLINE_CHAINS];
    const Vec x = vec_set1(0.999f), y = vec_set1(0.001f);
#pragma GCC unroll 12
    for (int i = 0; i < ROOFLINE_CHAINS; i++) a[i] = vec_add(vec_index(), vec_set1((float)i));
    for (int64_t r = 0; r < 12 / ROOFLINE_CHAINS * rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < ROOFLINE_CHAINS; i++) a[i] = vec_fma(a[i], x, y);
    float sum = 0.0f;
    for (int i = 0; i < ROOFLINE_CHAINS; i++) sum += vec_sum(a[i]);
    return sum;
}

static void roofline_copy(int64_t n, const float *x, float *y) {
    for (int64_t j = 0; j + VEC_LANES <= n; j += VEC_LANES) vec_store(y + j, vec_load(x + j));
}

const struct roofline_kernel KERNEL(roofline_kernel) = {roofline_fma, roofline_copy};
