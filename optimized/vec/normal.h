#pragma once
/* One row made free of its mean and of variance 1 (layer norm without gain), the Jacobian of that, and the Jacobian's own
 * derivative. Rows are padded by zeros to whole vectors, and stay so. */
#include "vec/rows.h"

static inline float row_sum(int64_t width, const float *x) {
    Vec sum = vec_zero();
    FOR_VECTORS (j, width) sum = vec_add(sum, vec_load(x + j));
    return vec_sum(sum);
}

/* hat = (a - mean) / sqrt(variance + eps) of one row; returns the factor. */
static inline float row_normalise(int64_t width, float eps, const float *a, float *hat) {
    const Vec mean = vec_set1(row_sum(width, a) / (float)width);
    FOR_VECTORS (j, width) vec_store(hat + j, vec_first(vec_sub(vec_load(a + j), mean), vec_lanes(j, width)));
    const float inverse = inverse_root(row_dot(width, hat, hat) / (float)width + eps);
    FOR_VECTORS (j, width) vec_store(hat + j, vec_mul(vec_set1(inverse), vec_load(hat + j)));
    return inverse;
}

/* out = J e, J = inverse (I - 1 1' / width - hat hat' / width) the symmetric Jacobian of row_normalise; out may be e. */
static inline void row_normalise_slope(int64_t width, const float *hat, float inverse, const float *e,
                                       float *out) {
    const Vec mean = vec_set1(row_sum(width, e) / (float)width), scale = vec_set1(inverse);
    const Vec along = vec_set1(row_dot(width, e, hat) / (float)width);
    FOR_VECTORS (j, width) {
        const Vec rest = vec_fnma(along, vec_load(hat + j), vec_sub(vec_load(e + j), mean));
        vec_store(out + j, vec_first(vec_mul(scale, rest), vec_lanes(j, width)));
    }
}

/* Of D = J e and dD, the gradient at D: dD . D, e . hat, dD . hat. */
typedef struct {
    float f, along_e, along_d;
} NormalDots;

static inline NormalDots row_normalise_dots(int64_t width, const float *hat, const float *D, const float *e,
                                            const float *dD) {
    return (NormalDots){row_dot(width, dD, D), row_dot(width, e, hat), row_dot(width, dD, hat)};
}

/* What D = J e owes to the row through J: da += -inverse / width (hat (dD . D) + (J dD) (e . hat) + D (dD . hat)), slope
 * being J dD (erratum E20). */
static inline void row_normalise_bend(int64_t width, const float *hat, float inverse, NormalDots dots,
                                      const float *D, const float *slope, float *da) {
    const Vec scale = vec_set1(-inverse / (float)width);
    FOR_VECTORS (j, width) {
        Vec bend = vec_mul(vec_set1(dots.f), vec_load(hat + j));
        bend = vec_fma(vec_set1(dots.along_e), vec_load(slope + j), bend);
        bend = vec_fma(vec_set1(dots.along_d), vec_load(D + j), bend);
        vec_store(da + j, vec_fma(scale, bend, vec_load(da + j)));
    }
}
