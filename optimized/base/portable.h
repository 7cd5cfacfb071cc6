#pragma once
/* log, exp, sine and cosine in double from basic operations only: the same bits with every libm, CPU and
 * compiler (contraction is off). Relative error below 1e-14 for the arguments used: losses, RoPE angles,
 * schedules, samples. */
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline double portable_exp(double x) {
    if (!(x > -700.0)) return 0.0;
    if (x > 700.0) return INFINITY;
    const double n = floor(x * 1.4426950408889634 + 0.5);
    const double r = (x - n * 0.693147180369123816) - n * 1.90821492927058770e-10;
    double sum = 1.0;
    for (int k = 16; k >= 1; k--) sum = 1.0 + sum * r / k;
    return ldexp(sum, (int)n);
}

/* x = m 2^e with m in [sqrt(1/2), sqrt 2); log m = 2 atanh((m - 1) / (m + 1)). */
static inline double portable_log(double x) {
    int e;
    if (!(x > 0.0) || x > 1.7976931348623157e308) return x == 0.0 ? -INFINITY : x > 0.0 ? INFINITY : NAN;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) m *= 2.0, e--;
    const double f = (m - 1.0) / (m + 1.0), square = f * f;
    double sum = 0.0;
    for (int k = 25; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
    return 2.0 * f * sum + e * 0.693147180559945309;
}

/* x = r + quadrant pi/2, pi/2 in two parts (|x| up to 1e8). */
static inline int portable_quadrant(double x, double *r) {
    const double n = floor(x * 0.63661977236758134 + 0.5);
    *r = (x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
    return (int)(n - 4.0 * floor(n / 4.0));
}

/* Taylor series of sine and cosine of r, numbers or vectors of numbers; square: r r. */
#define PORTABLE_SERIES(r, square, sine, cosine)                                                             \
    do {                                                                                                     \
        for (int k_ = 19; k_ >= 3; k_ -= 2) (sine) = 1.0 - (sine) * (square) / (k_ * (k_ - 1));              \
        for (int k_ = 20; k_ >= 2; k_ -= 2) (cosine) = 1.0 - (cosine) * (square) / (k_ * (k_ - 1));          \
        (sine) *= (r);                                                                                       \
    } while (0)

/* Sine and cosine of r, turned by the quadrant. */
static inline void portable_turn(int quadrant, double s, double c, double *sine, double *cosine) {
    *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}

static inline void portable_sincos(double x, double *sine, double *cosine) {
    double r, s = 1.0, c = 1.0;
    const int quadrant = portable_quadrant(x, &r);
    const double square = r * r;
    PORTABLE_SERIES(r, square, s, c);
    portable_turn(quadrant, s, c, sine, cosine);
}
