#pragma once
#include <stdint.h>
#include <string.h>

/* 1 if none of n numbers is NaN or infinite. Integer work, so that it runs at the speed of memory in every build. */
static inline int all_finite(int64_t n, const float *x) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bad |= (bits & 0x7fffffff) >= 0x7f800000;
    }
    return !bad;
}

/* The first that is, or -1. */
static inline int64_t first_not_finite(int64_t n, const float *x) {
    int64_t i = 0;
    if (all_finite(n, x)) return -1;
    while (all_finite(1, x + i)) i++;
    return i;
}
