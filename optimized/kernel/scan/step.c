#pragma once
/* What forward and backward share: sizes, and one number of the state at one token. */
#include "kernel/scan.h"
#include "vec/rows.h"

/* Channels of a piece of work, in vectors: forward, one row of which is read at once; backward, over which the gradients
 * of b and c are summed before their lanes are. */
enum { SCAN_TILE = 8, SCAN_GROUP = 8 };

/* exp(-step) is finite, so that a step of 0 has a gradient of 0. */
#define SCAN_STEEP 80.0f

static int64_t scan_chunks(const ScanShape *s) { return (s->tokens + SCAN_CHUNK - 1) / SCAN_CHUNK; }
static int64_t scan_groups(const ScanShape *s) {
    return (s->channels + SCAN_GROUP * VEC_LANES - 1) / (SCAN_GROUP * VEC_LANES);
}
static int64_t scan_snapshot_floats(const ScanShape *s) {
    return s->batch * scan_chunks(s) * s->states * s->channels;
}

/* Lanes of vector v of the channels from `first` on. */
INLINE int64_t scan_lanes(const ScanShape *s, int64_t first, int64_t v) {
    return vec_lanes(first + v * VEC_LANES, s->channels);
}

/* 1 + the sum of the squares of Longhorn's keys. */
INLINE float scan_keys(int64_t states, const float *key) { return 1.0f + flat_dot(states, key, key); }

/* exp(-step) as Longhorn takes it; s = 1 / (1 + sum + that). */
INLINE Vec scan_rise(Vec step) { return vec_exp(vec_min(vec_set1(SCAN_STEEP), vec_sub(vec_zero(), step))); }
INLINE Vec scan_width(float keys, Vec rise) { return vec_div(vec_set1(1.0f), vec_add(vec_set1(keys), rise)); }

/* exp(x) to 2 u and u |x| / 16, x kept within the exponents of normal numbers: a decay is at least 2^-126. As vec_exp
 * without its ends, and with ln 2 in one part: what that leaves out is less than the rounding of x, a product. */
INLINE Vec scan_exp(Vec x) {
    const Vec magic = vec_set1(12582912.0f), one = vec_set1(1.0f);
    const Vec clamped = vec_min(vec_set1(EXP_TOP), vec_max(vec_set1(EXP_BOTTOM), x));
    const Vec t = vec_fma(clamped, vec_set1(1.44269504f), magic);
    const Vec r = vec_fnma(vec_sub(t, magic), vec_set1(0.693147182f), clamped);
    Vec p = vec_set1(1.3818939e-3f);
    p = vec_fma(p, r, vec_set1(8.368704e-3f));
    p = vec_fma(p, r, vec_set1(4.166829e-2f));
    p = vec_fma(p, r, vec_set1(1.6666521e-1f));
    p = vec_fma(p, r, vec_set1(0.49999994f));
    p = vec_fma(vec_fma(p, r, one), r, one);
    return vec_scale2(p, t);
}

/* Number n of the state after a token that multiplies it by p and adds `written` b, or in Longhorn adds s b e to it, e the
 * error u - b h. *kept: p or e, for the way back. */
INLINE Vec scan_next(const ScanKind kind, Vec h, const float *a, float b, Vec s, Vec u, Vec written,
                     Vec *kept) {
    const Vec key = vec_set1(b);
    if (kind == SCAN_LONGHORN) {
        *kept = vec_fnma(key, h, u);
        return vec_fma(vec_mul(s, key), *kept, h);
    }
    *kept = scan_exp(vec_mul(s, vec_load(a)));
    return vec_fma(*kept, h, vec_mul(written, key));
}

/* Between 16 columns of an array of rows `ld` apart and rows of their own, 0 behind `lanes`. */
INLINE void scan_take(int64_t rows, const float *from, int64_t ld, int64_t lanes, float *to) {
    for (int64_t n = 0; n < rows; n++) vec_store(to + n * VEC_LANES, vec_load_n(from + n * ld, lanes));
}
/* The same of rates. A NaN becomes that of the arithmetic, whose low bits are 0: scan_exp then keeps it. */
INLINE void scan_take_rates(int64_t rows, const float *from, int64_t ld, int64_t lanes, float *to) {
    for (int64_t n = 0; n < rows; n++) {
        const Vec a = vec_load_n(from + n * ld, lanes);
        vec_store(to + n * VEC_LANES, vec_less(a, vec_set1(INFINITY), a, vec_set1(NAN)));
    }
}
INLINE void scan_give(int64_t rows, const float *from, int64_t lanes, float *to, int64_t ld) {
    for (int64_t n = 0; n < rows; n++) vec_store_n(to + n * ld, vec_load(from + n * VEC_LANES), lanes);
}
