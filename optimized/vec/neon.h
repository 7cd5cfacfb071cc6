#pragma once
/* AArch64 NEON: a logical vector is four 128-bit registers. Selection by comparison, not fmax, so that NaN
 * and signed zero behave as on x86. */
#include <arm_neon.h>

typedef struct {
    float32x4_t q[4];
} Vec;

#define GEMM_ROWS 6
#define GEMM_VECS 1
#define SCAN_ROWS 2
#define DELTA_VECS 2
#define VEC_SIDE 1
#define ROOFLINE_CHAINS 6

#define VEC_EACH(expression)                                                                                 \
    Vec r_;                                                                                                  \
    for (int i = 0; i < 4; i++) r_.q[i] = (expression);                                                      \
    return r_

INLINE Vec vec_load(const float *p) { VEC_EACH(vld1q_f32(p + 4 * i)); }
INLINE void vec_store(float *p, Vec a) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.q[i]);
}
INLINE Vec vec_load_n(const float *p, int64_t n) {
    float lanes[VEC_LANES] = {0};
    if (n >= VEC_LANES) return vec_load(p);
    memcpy(lanes, p, (size_t)(n < 0 ? 0 : n) * sizeof(float));
    return vec_load(lanes);
}
INLINE void vec_store_n(float *p, Vec a, int64_t n) {
    float lanes[VEC_LANES];
    vec_store(n >= VEC_LANES ? p : lanes, a);
    if (n < VEC_LANES) memcpy(p, lanes, (size_t)(n < 0 ? 0 : n) * sizeof(float));
}
INLINE Vec vec_set1(float x) { VEC_EACH(vdupq_n_f32(x)); }
INLINE Vec vec_zero(void) { return vec_set1(0.0f); }
INLINE Vec vec_add(Vec a, Vec b) { VEC_EACH(vaddq_f32(a.q[i], b.q[i])); }
INLINE Vec vec_sub(Vec a, Vec b) { VEC_EACH(vsubq_f32(a.q[i], b.q[i])); }
INLINE Vec vec_mul(Vec a, Vec b) { VEC_EACH(vmulq_f32(a.q[i], b.q[i])); }
INLINE Vec vec_div(Vec a, Vec b) { VEC_EACH(vdivq_f32(a.q[i], b.q[i])); }
INLINE Vec vec_sqrt(Vec a) { VEC_EACH(vsqrtq_f32(a.q[i])); }
INLINE Vec vec_max(Vec a, Vec b) { VEC_EACH(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
INLINE Vec vec_min(Vec a, Vec b) { VEC_EACH(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
INLINE Vec vec_fma(Vec a, Vec b, Vec c) { VEC_EACH(vfmaq_f32(c.q[i], a.q[i], b.q[i])); }
INLINE Vec vec_fnma(Vec a, Vec b, Vec c) { VEC_EACH(vfmsq_f32(c.q[i], a.q[i], b.q[i])); }
INLINE Vec vec_less(Vec a, Vec b, Vec x, Vec y) {
    VEC_EACH(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), x.q[i], y.q[i]));
}
INLINE Vec vec_scale2(Vec p, Vec t) {
    VEC_EACH(vreinterpretq_f32_s32(
        vaddq_s32(vreinterpretq_s32_f32(p.q[i]), vshlq_n_s32(vreinterpretq_s32_f32(t.q[i]), 23))));
}
INLINE Vec vec_keep_nan(Vec p, Vec x) { return vec_fma(vec_zero(), x, p); }
INLINE float32x4_t vec_bf16_4(float32x4_t a) {
    const uint32x4_t bits = vreinterpretq_u32_f32(a), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t small = vceqq_u32(vandq_u32(bits, vdupq_n_u32(0x7f800000)), vdupq_n_u32(0));
    uint32x4_t r = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    r = vbslq_u32(vceqq_f32(a, a), r, vorrq_u32(bits, vdupq_n_u32(0x00400000)));
    r = vbslq_u32(small, vandq_u32(bits, vdupq_n_u32(0x80000000u)), r);
    return vreinterpretq_f32_u32(vandq_u32(r, vdupq_n_u32(0xffff0000u)));
}
INLINE Vec vec_bf16(Vec a) { VEC_EACH(vec_bf16_4(a.q[i])); }
INLINE float vec_sum(Vec a) {
    const float32x4_t m = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
    const float32x2_t h = vadd_f32(vget_low_f32(m), vget_high_f32(m));
    return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
}
INLINE float vec_top(Vec a) {
    float lanes[VEC_LANES];
    vec_store(lanes, a);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}
INLINE void vec_transpose(const float *s, int64_t ls, float *d, int64_t ld) {
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 16; j += 4) {
            const float *p = s + i * ls + j;
            const float32x4x2_t a = vtrnq_f32(vld1q_f32(p), vld1q_f32(p + ls));
            const float32x4x2_t b = vtrnq_f32(vld1q_f32(p + 2 * ls), vld1q_f32(p + 3 * ls));
            float *t = d + j * ld + i;
            vst1q_f32(t, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
            vst1q_f32(t + ld, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
            vst1q_f32(t + 2 * ld, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
            vst1q_f32(t + 3 * ld, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
        }
}
INLINE Vec vec_sums(const float *s) {
    float sums[VEC_LANES];
    for (int i = 0; i < VEC_LANES; i++) sums[i] = vec_sum(vec_load(s + i * VEC_LANES));
    return vec_load(sums);
}
