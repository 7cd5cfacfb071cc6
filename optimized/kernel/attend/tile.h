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

/* One row of scores becomes exp(s - m); the running maximum, sum and output row are rescaled when the maximum
 * grows. */
INLINE void attend_softmax_row(float *p, int64_t tile, int64_t low, int64_t high, float *top, float *sum,
                               float *o, int64_t ld) {
    Vec highest = vec_set1(-INFINITY), total = vec_zero();
    for (int64_t j = 0; j < tile; j += VEC_LANES) {
        Vec score = vec_load(p + j);
        if (low > 0 || high < tile) {
            score = attend_visible(score, j, low, high);
            vec_store(p + j, score);
        }
        highest = vec_max(highest, score);
    }
    const float row_top = vec_top(highest);
    if (row_top > *top) {
        const Vec rescale = vec_exp(vec_set1(*top - row_top));
        FOR_VECTORS (j, ld) vec_store(o + j, vec_mul(rescale, vec_load(o + j)));
        float lanes[VEC_LANES];
        vec_store(lanes, rescale);
        *sum *= lanes[0];
        *top = row_top;
    }
    for (int64_t j = 0; j < tile; j += VEC_LANES) {
        const Vec e = vec_exp(vec_sub(vec_load(p + j), vec_set1(*top)));
        vec_store(p + j, e);
        total = vec_add(total, e);
    }
    *sum += vec_sum(total);
}

/* Backward: scores in p become p = exp(s - m) / sum, and dP in dp becomes dS = p (dP - delta). statistics: m and
 * 1 / sum of the row. */
INLINE void attend_weights_row(float *p, float *dp, int64_t tile, int64_t low, int64_t high,
                               const float *statistics, float delta) {
    const Vec top = vec_set1(statistics[0]), inverse = vec_set1(statistics[1]);
    for (int64_t j = 0; j < tile; j += VEC_LANES) {
        Vec score = vec_load(p + j);
        if (low > 0 || high < tile) score = attend_visible(score, j, low, high);
        const Vec weight = vec_mul(vec_exp(vec_sub(score, top)), inverse);
        vec_store(p + j, weight);
        vec_store(dp + j, vec_mul(weight, vec_sub(vec_load(dp + j), vec_set1(delta))));
    }
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
