#pragma once
/* One row of scores against a tile of keys, a multiple of VEC_LANES and at most ATTEND_BLOCK of them: what every
 * kernel of softmax attention does between its matrix products. Of the tile the row sees lanes low .. high - 1. */
#include "kernel/attend.h"
#include "vec/rows.h"

/* Scores of lanes lane.. outside [low, high) become -inf. */
INLINE Vec attend_visible(Vec score, int64_t lane, int64_t low, int64_t high) {
    const Vec hidden = vec_set1(-INFINITY), at = vec_index();
    score = vec_less(at, vec_set1((float)(high - lane)), score, hidden);
    return vec_less(at, vec_set1((float)(low - lane)), hidden, score);
}

/* ALiBi: slope (j - i) for every score of the row, the first of which is that of j - i = first. */
INLINE void attend_bias_row(float *p, int64_t tile, float slope, int64_t first) {
    for (int64_t j = 0; j < tile; j += VEC_LANES) {
        const Vec distance = vec_add(vec_set1((float)(first + j)), vec_index());
        vec_store(p + j, vec_fma(vec_set1(slope), distance, vec_load(p + j)));
    }
}

/* Row r of a tile sees its lanes low + r low_step .. high + r high_step - 1, as far as there are such. */
typedef struct {
    int64_t low, low_step, high, high_step;
} AttendSeen;

INLINE int64_t attend_seen_low(const AttendSeen *seen, int64_t r) { return seen->low + r * seen->low_step; }
INLINE int64_t attend_seen_high(const AttendSeen *seen, int64_t r) {
    return seen->high + r * seen->high_step;
}

/* The largest score of a row; those that it does not see become -inf. */
INLINE float attend_row_top(float *p, int64_t tile, int64_t low, int64_t high) {
    Vec highest = vec_set1(-INFINITY);
    for (int64_t j = 0; j < tile; j += VEC_LANES) {
        Vec score = vec_load(p + j);
        if (low > 0 || high < tile) {
            score = attend_visible(score, j, low, high);
            vec_store(p + j, score);
        }
        highest = vec_max(highest, score);
    }
    return vec_top(highest);
}

/* exp(s - m) of n vectors of scores. */
INLINE void attend_exponentials(const int n, const float *p, Vec top, Vec *e) {
    Vec x[VEC_SIDE];
    VEC_EACH_SIDE (v, n) x[v] = vec_sub(vec_load(p + v * VEC_LANES), top);
    vecs_exp_negative(n, x, e);
}

INLINE Vec attend_weights(const int n, float *p, Vec top, Vec sum) {
    Vec e[VEC_SIDE];
    attend_exponentials(n, p, top, e);
    VEC_EACH_SIDE (v, n) {
        vec_store(p + v * VEC_LANES, e[v]);
        sum = vec_add(sum, e[v]);
    }
    return sum;
}

/* A row of scores becomes exp(s - m); their sums, lane by lane, into `total`. */
INLINE void attend_row_weights(float *p, int64_t tile, float top, float *total) {
    Vec sum = vec_zero();
    EACH_VECTORS(j, n, lanes, 0, tile, sum = attend_weights(n, p + j, vec_set1(top), sum));
    vec_store(total, sum);
}

/* n <= 16 rows from row `first` of the tile on, whose scores begin at p; of rows that do not exist top is -inf, sum 0. Where
 * the running maximum grows, sum and output row are rescaled: of all rows at once, and no row waits for its own maximum. */
INLINE void attend_softmax_group(int64_t n, int64_t first, float *p, int64_t tile, const AttendSeen *seen,
                                 float *top, float *sum, float *o, int64_t ld) {
    float highest[VEC_LANES], shrink[VEC_LANES], total[VEC_LANES * VEC_LANES] = {0};
    for (int64_t r = 0; r < VEC_LANES; r++)
        highest[r] = r < n ? attend_row_top(p + r * tile, tile, attend_seen_low(seen, first + r),
                                            attend_seen_high(seen, first + r))
                           : -INFINITY;
    const Vec old = vec_load(top), grown = vec_load(highest);
    const Vec factor = vec_less(old, grown, vec_exp_negative(vec_sub(old, grown)), vec_set1(1.0f));
    vec_store(shrink, factor);
    vec_store(top, vec_less(old, grown, grown, old));
    for (int64_t r = 0; r < n; r++) {
        if (shrink[r] != 1.0f)
            FOR_VECTORS (j, ld)
                vec_store(o + r * ld + j, vec_mul(vec_set1(shrink[r]), vec_load(o + r * ld + j)));
        if (attend_seen_low(seen, first + r) < tile && attend_seen_high(seen, first + r) > 0)
            attend_row_weights(p + r * tile, tile, top[r], total + r * VEC_LANES);
        else
            memset(p + r * tile, 0, (size_t)tile * sizeof(float));
    }
    vec_store(sum, vec_add(vec_mul(factor, vec_load(sum)), vec_sums(total)));
}

/* n rows of scores become exp(s - m), with running maximum, sum and output of each. */
INLINE void attend_softmax_rows(int64_t n, float *p, int64_t tile, const AttendSeen *seen, float *top,
                                float *sum, float *o, int64_t ld) {
    for (int64_t r = 0; r < n; r += VEC_LANES)
        attend_softmax_group(vec_lanes(r, n), r, p + r * tile, tile, seen, top + r, sum + r, o + r * ld, ld);
}

/* Before the first tile. */
INLINE void attend_softmax_begin(int64_t n, float *top, float *sum, float *o, int64_t ld) {
    memset(o, 0, (size_t)(n * ld) * sizeof(float));
    memset(sum, 0, ATTEND_BLOCK * sizeof(float));
    for (int64_t r = 0; r < ATTEND_BLOCK; r++) top[r] = -INFINITY;
}

INLINE void attend_weights_slope(const int n, float *p, float *dp, Vec top, Vec inverse, Vec delta) {
    Vec e[VEC_SIDE];
    attend_exponentials(n, p, top, e);
    VEC_EACH_SIDE (v, n) {
        const Vec weight = vec_mul(e[v], inverse);
        vec_store(p + v * VEC_LANES, weight);
        vec_store(dp + v * VEC_LANES, vec_mul(weight, vec_sub(vec_load(dp + v * VEC_LANES), delta)));
    }
}

/* Backward: scores in p become p = exp(s - m) / sum, and dP in dp becomes dS = p (dP - delta). statistics: m and
 * 1 / sum of the row. */
INLINE void attend_weights_row(float *p, float *dp, int64_t tile, int64_t low, int64_t high,
                               const float *statistics, float delta) {
    const Vec top = vec_set1(statistics[0]), inverse = vec_set1(statistics[1]), drop = vec_set1(delta);
    if (low > 0 || high < tile)
        FOR_VECTORS (j, tile) vec_store(p + j, attend_visible(vec_load(p + j), j, low, high));
    EACH_VECTORS(j, n, lanes, 0, tile, attend_weights_slope(n, p + j, dp + j, top, inverse, drop));
}

/* n output rows divided by their sums; statistics (or NULL) of every row, for the backward pass. */
INLINE void attend_finish_rows(int64_t n, int64_t ld, const float *top, const float *sum, float *o,
                               float *statistics) {
    for (int64_t r = 0; r < n; r++) {
        const float inverse = 1.0f / sum[r];
        FOR_VECTORS (j, ld) vec_store(o + r * ld + j, vec_mul(vec_set1(inverse), vec_load(o + r * ld + j)));
        if (statistics) statistics[2 * r] = top[r], statistics[2 * r + 1] = inverse;
    }
}

/* n rows of queries times the scale. */
INLINE void attend_load_queries(int64_t n, int64_t width, const float *q, int64_t stride, float scale,
                                float *to, int64_t ld) {
    rows_load(n, width, q, stride, to, ld);
    FOR_VECTORS (j, n * ld) vec_store(to + j, vec_mul(vec_set1(scale), vec_load(to + j)));
}
