/* bf16: a float whose significand has 8 bits. */
#pragma once
#include "real.h"

/* x rounded to bf16: to nearest, ties to even; a denormal becomes 0 of its sign; a NaN stays one, made quiet. */
static inline float bf16_round(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000u) == 0)
        bits &= 0x80000000u;
    else if ((bits & 0x7fffffffu) > 0x7f800000u)
        bits = (bits | 0x00400000u) & 0xffff0000u;
    else
        bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The same for a number of any arithmetic, which passes through float32. The derivative passes as it is: it is that of
 * training, where the rounding's own (0 or infinite) would be of no use. What float32 may miss: nothing where x is exact;
 * else x's error e moves the result by at most e + 2^-7 |x|, an error and two roundings. Backward the cotangent is rounded in
 * turn, by 2^-8. */
static inline real real_bf16(real x) {
    const double rounded = (double)bf16_round((float)RE(x));
#if defined REAL_BOUND
    return Bounded(rounded, x.d, x.ev > 0 ? x.ev + 0x1p-7 * bounded_abs(x.v) : 0,
                   x.ed + 0x1p-8 * bounded_abs(x.d));
#else
    return x + ((real)rounded - RE(x));
#endif
}
