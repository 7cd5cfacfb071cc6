#pragma once
/* Plain C: sixteen floats. The meaning of every operation, and the fallback on any CPU. */

typedef struct {
    float x[16];
} Vec;

#define GEMM_ROWS 2
#define GEMM_VECS 1
#define SCAN_ROWS 1
#define DELTA_VECS 1
#define VEC_SIDE 1
#define ROOFLINE_CHAINS 6

#define VEC_EACH(expression)                                                                                 \
    Vec r_;                                                                                                  \
    for (int i = 0; i < 16; i++) r_.x[i] = (expression);                                                     \
    return r_

INLINE Vec vec_load(const float *p) { VEC_EACH(p[i]); }
INLINE void vec_store(float *p, Vec a) { memcpy(p, a.x, sizeof a.x); }
INLINE Vec vec_load_n(const float *p, int64_t n) { VEC_EACH(i < n ? p[i] : 0.0f); }
INLINE void vec_store_n(float *p, Vec a, int64_t n) {
    for (int64_t i = 0; i < n && i < 16; i++) p[i] = a.x[i];
}
INLINE Vec vec_set1(float x) { VEC_EACH(x); }
INLINE Vec vec_zero(void) { return vec_set1(0.0f); }
INLINE Vec vec_add(Vec a, Vec b) { VEC_EACH(a.x[i] + b.x[i]); }
INLINE Vec vec_sub(Vec a, Vec b) { VEC_EACH(a.x[i] - b.x[i]); }
INLINE Vec vec_mul(Vec a, Vec b) { VEC_EACH(a.x[i] * b.x[i]); }
INLINE Vec vec_div(Vec a, Vec b) { VEC_EACH(a.x[i] / b.x[i]); }
INLINE Vec vec_sqrt(Vec a) { VEC_EACH(sqrtf(a.x[i])); }
INLINE Vec vec_max(Vec a, Vec b) { VEC_EACH(a.x[i] > b.x[i] ? a.x[i] : b.x[i]); }
INLINE Vec vec_min(Vec a, Vec b) { VEC_EACH(a.x[i] < b.x[i] ? a.x[i] : b.x[i]); }
INLINE Vec vec_fma(Vec a, Vec b, Vec c) { VEC_EACH(fmaf(a.x[i], b.x[i], c.x[i])); }
INLINE Vec vec_fnma(Vec a, Vec b, Vec c) { VEC_EACH(fmaf(-a.x[i], b.x[i], c.x[i])); }
INLINE Vec vec_less(Vec a, Vec b, Vec x, Vec y) { VEC_EACH(a.x[i] < b.x[i] ? x.x[i] : y.x[i]); }
INLINE Vec vec_scale2(Vec p, Vec t) {
    Vec r;
    for (int i = 0; i < 16; i++) {
        uint32_t bits, shift;
        memcpy(&bits, &p.x[i], sizeof bits);
        memcpy(&shift, &t.x[i], sizeof shift);
        bits += shift << 23;
        memcpy(&r.x[i], &bits, sizeof bits);
    }
    return r;
}
INLINE Vec vec_keep_nan(Vec p, Vec x) { return vec_fma(vec_zero(), x, p); }
INLINE Vec vec_bf16(Vec a) {
    for (int i = 0; i < 16; i++) {
        uint32_t bits;
        memcpy(&bits, &a.x[i], sizeof bits);
        const uint32_t size = bits & 0x7fffffffu;
        bits = size < 0x00800000u   ? bits & 0x80000000u
               : size > 0x7f800000u ? bits | 0x00400000u
                                    : bits + 0x7fffu + (bits >> 16 & 1u);
        bits &= 0xffff0000u;
        memcpy(&a.x[i], &bits, sizeof bits);
    }
    return a;
}
INLINE float vec_sum(Vec a) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.x[i] += a.x[i + half];
    return a.x[0];
}
INLINE float vec_top(Vec a) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.x[i] = a.x[i] > a.x[i + half] ? a.x[i] : a.x[i + half];
    return a.x[0];
}
INLINE void vec_transpose(const float *s, int64_t ls, float *d, int64_t ld) {
    for (int j = 0; j < 16; j++)
        for (int i = 0; i < 16; i++) d[j * ld + i] = s[i * ls + j];
}
INLINE Vec vec_sums(const float *s) {
    float sums[VEC_LANES];
    for (int i = 0; i < VEC_LANES; i++) sums[i] = vec_sum(vec_load(s + i * VEC_LANES));
    return vec_load(sums);
}
