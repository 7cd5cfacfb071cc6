#pragma once
/* Elementwise work on scratch matrices: rows of `width` floats at a stride ld, a multiple of VEC_LANES; what
 * lies between width and ld is zero, so loops run over whole vectors without a tail. */
#include "base/parallel.h"
#include "vec/vec.h"

#define FOR_VECTORS(j, ld) for (int64_t j = 0; j < (ld); j += VEC_LANES)

/* Lanes of the vector at `at` that lie before `end`. */
INLINE int64_t vec_lanes(int64_t at, int64_t end) { return end - at < VEC_LANES ? end - at : VEC_LANES; }

/* `call`, which reads j and lanes, for every vector of the numbers begin to end - 1: all but the last know that they are whole. */
#define EACH_VECTOR(j, lanes, begin, end, call)                                                              \
    do {                                                                                                     \
        const int64_t end_ = (end);                                                                          \
        int64_t j = (begin);                                                                                 \
        for (; j + VEC_LANES <= end_; j += VEC_LANES) {                                                      \
            enum { lanes = VEC_LANES };                                                                      \
            call;                                                                                            \
        }                                                                                                    \
        if (j < end_) {                                                                                      \
            const int64_t lanes = end_ - j;                                                                  \
            (void)lanes;                                                                                     \
            call;                                                                                            \
        }                                                                                                    \
    } while (0)

/* The same with `count` vectors at a time, VEC_SIDE of them and then one. */
#define EACH_VECTORS(j, count, lanes, begin, end, call)                                                      \
    do {                                                                                                     \
        const int64_t last_ = (end);                                                                         \
        int64_t first_ = (begin);                                                                            \
        if (VEC_SIDE > 1)                                                                                    \
            for (; first_ + VEC_SIDE * VEC_LANES <= last_; first_ += VEC_SIDE * VEC_LANES) {                 \
                enum { count = VEC_SIDE, lanes = VEC_LANES };                                                \
                const int64_t j = first_;                                                                    \
                call;                                                                                        \
            }                                                                                                \
        enum { count = 1 };                                                                                  \
        EACH_VECTOR(j, lanes, first_, last_, call);                                                          \
    } while (0)

/* 1 / sqrt(x); NaN where a sum of squares has overflowed: 0 would hide it. */
static inline float inverse_root(float x) { return 1.0f / sqrtf(x) + (x - x); }
INLINE Vec vec_inverse_root(Vec x) { return vec_add(vec_div(vec_set1(1.0f), vec_sqrt(x)), vec_sub(x, x)); }

static inline int64_t padded(int64_t n) { return (n + VEC_LANES - 1) / VEC_LANES * VEC_LANES; }

/* Row stride of a scratch matrix: an odd number of cache lines, so that a column of it spreads over all cache
 * sets. */
static inline int64_t rows_stride(int64_t width) {
    return padded(width) % (2 * VEC_LANES) ? padded(width) : padded(width) + VEC_LANES;
}

/* Every whole vector of the first n rows of a matrix that belongs to layer boundary l of a
 * network; c has its widths and strides, `at` is the vector's offset. */
#define FOR_ROWS(c, l, n, at)                                                                                \
    for (int64_t row_ = 0; row_ < (n); row_++)                                                               \
        for (int64_t at = row_ * (c)->ld[l]; at < row_ * (c)->ld[l] + (c)->width[l]; at += VEC_LANES)

/* The next `floats` floats of a scratch laid out from `base`, NULL while it is only measured. */
static inline float *rows_part(float *base, int64_t *used, int64_t floats) {
    float *part = base ? base + *used : 0;
    *used += floats;
    return part;
}

INLINE void rows_load(int64_t n, int64_t width, const float *src, int64_t stride, float *dst, int64_t ld) {
    for (int64_t t = 0; t < n; t++)
        EACH_VECTOR(j, lanes, 0, width, vec_store(dst + t * ld + j, vec_load_n(src + t * stride + j, lanes)));
}

INLINE void rows_save(int64_t n, int64_t width, const float *src, int64_t ld, float *dst, int64_t stride) {
    for (int64_t t = 0; t < n; t++)
        EACH_VECTOR(j, lanes, 0, width, vec_store_n(dst + t * stride + j, vec_load(src + t * ld + j), lanes));
}

INLINE void vec_add_to(Vec factor, Vec x, float *y, int64_t lanes) {
    vec_store_n(y, vec_fma(factor, x, vec_load_n(y, lanes)), lanes);
}

/* dst += factor * src on rows that are not padded (the caller's own tensors). */
INLINE void rows_add_to(int64_t n, int64_t width, float factor, const float *src, int64_t ld, float *dst,
                        int64_t stride) {
    for (int64_t t = 0; t < n; t++)
        EACH_VECTOR(j, lanes, 0, width,
                    vec_add_to(vec_set1(factor), vec_load(src + t * ld + j), dst + t * stride + j, lanes));
}

/* dst[t] = coefficient[t] * src[t] */
INLINE void rows_scale(int64_t n, int64_t width, int64_t ld, const float *coefficient, const float *src,
                       float *dst) {
    for (int64_t t = 0; t < n; t++) {
        const Vec c = vec_set1(coefficient[t]);
        FOR_VECTORS (j, width) vec_store(dst + t * ld + j, vec_mul(c, vec_load(src + t * ld + j)));
    }
}

INLINE float row_dot(int64_t width, const float *a, const float *b) {
    Vec sum = vec_zero();
    FOR_VECTORS (j, width) sum = vec_fma(vec_load(a + j), vec_load(b + j), sum);
    return vec_sum(sum);
}

/* <a, b> over n floats without padding, in one order for every caller. */
INLINE float flat_dot(int64_t n, const float *a, const float *b) {
    Vec sum = vec_zero();
    EACH_VECTOR(j, lanes, 0, n, sum = vec_fma(vec_load_n(a + j, lanes), vec_load_n(b + j, lanes), sum));
    return vec_sum(sum);
}

/* dst (padded(width) x padded(n), row stride ld) = transpose of src; rows of src up to padded(n) must be
 * readable. */
INLINE void rows_transpose(int64_t n, int64_t width, const float *src, int64_t ld_src, float *dst,
                           int64_t ld) {
    for (int64_t t = 0; t < n; t += VEC_LANES)
        FOR_VECTORS (j, width) {
            vec_transpose(src + t * ld_src + j, ld_src, dst + j * ld + t, ld);
        }
}

/* dst[c ld + r] = src[r ld_src + c] of n x width numbers without padding. */
INLINE void flat_transpose(int64_t n, int64_t width, const float *src, int64_t ld_src, float *dst,
                           int64_t ld) {
    const int64_t whole = n / VEC_LANES * VEC_LANES, columns = width / VEC_LANES * VEC_LANES;
    rows_transpose(whole, columns, src, ld_src, dst, ld);
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = r < whole ? columns : 0; c < width; c++) dst[c * ld + r] = src[r * ld_src + c];
}
