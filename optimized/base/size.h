#pragma once
#include <stdint.h>

/* Products and sums of sizes that come from a file or a flag. Sizes are not negative; what 64 bits do not hold
 * saturates at SIZE_END, which no limit and no memory admits. */
#define SIZE_END INT64_MAX

static inline int64_t size_times(int64_t a, int64_t b) {
    int64_t product;
    return a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product) ? SIZE_END : product;
}

static inline int64_t size_plus(int64_t a, int64_t b) {
    int64_t sum;
    return a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum) ? SIZE_END : sum;
}
