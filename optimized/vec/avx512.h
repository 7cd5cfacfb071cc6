#pragma once
/* AVX-512F: a logical vector is one 512-bit register. */
#include <immintrin.h>

#include "vec/transpose_avx.h"

typedef struct {
    __m512 v;
} Vec;

#define GEMM_ROWS 12
#define GEMM_VECS 2
#define SCAN_ROWS 8
#define DELTA_VECS 4
#define VEC_SIDE 4
#define ROOFLINE_CHAINS 12

INLINE Vec vec_load(const float *p) { return (Vec){_mm512_loadu_ps(p)}; }
INLINE void vec_store(float *p, Vec a) { _mm512_storeu_ps(p, a.v); }
INLINE __mmask16 vec_mask(int64_t n) { return (__mmask16)((1u << n) - 1u); }
/* A number of lanes that is known to be all of them needs no mask. */
#define VEC_WHOLE(n) (__builtin_constant_p((n) >= VEC_LANES) && (n) >= VEC_LANES)
INLINE Vec vec_load_n(const float *p, int64_t n) {
    return VEC_WHOLE(n) ? vec_load(p) : (Vec){_mm512_maskz_loadu_ps(vec_mask(n), p)};
}
INLINE void vec_store_n(float *p, Vec a, int64_t n) {
    if (VEC_WHOLE(n))
        vec_store(p, a);
    else
        _mm512_mask_storeu_ps(p, vec_mask(n), a.v);
}
INLINE Vec vec_set1(float x) { return (Vec){_mm512_set1_ps(x)}; }
INLINE Vec vec_zero(void) { return (Vec){_mm512_setzero_ps()}; }
INLINE Vec vec_add(Vec a, Vec b) { return (Vec){_mm512_add_ps(a.v, b.v)}; }
INLINE Vec vec_sub(Vec a, Vec b) { return (Vec){_mm512_sub_ps(a.v, b.v)}; }
INLINE Vec vec_mul(Vec a, Vec b) { return (Vec){_mm512_mul_ps(a.v, b.v)}; }
INLINE Vec vec_div(Vec a, Vec b) { return (Vec){_mm512_div_ps(a.v, b.v)}; }
INLINE Vec vec_sqrt(Vec a) { return (Vec){_mm512_sqrt_ps(a.v)}; }
INLINE Vec vec_max(Vec a, Vec b) { return (Vec){_mm512_max_ps(a.v, b.v)}; }
INLINE Vec vec_min(Vec a, Vec b) { return (Vec){_mm512_min_ps(a.v, b.v)}; }
INLINE Vec vec_fma(Vec a, Vec b, Vec c) { return (Vec){_mm512_fmadd_ps(a.v, b.v, c.v)}; }
INLINE Vec vec_fnma(Vec a, Vec b, Vec c) { return (Vec){_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
INLINE Vec vec_less(Vec a, Vec b, Vec x, Vec y) {
    return (Vec){_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
INLINE Vec vec_scale2(Vec p, Vec t) {
    return (Vec){_mm512_scalef_ps(p.v, _mm512_sub_ps(t.v, _mm512_set1_ps(12582912.0f)))};
}
INLINE Vec vec_keep_nan(Vec p, Vec x) {
    (void)x; /* scalef has kept it */
    return p;
}
INLINE Vec vec_bf16(Vec a) {
    const __m512i bits = _mm512_castps_si512(a.v), sign = _mm512_set1_epi32((int)0x80000000u);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    const __mmask16 small = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    r = _mm512_mask_or_epi32(r, nan, bits, _mm512_set1_epi32(0x00400000));
    r = _mm512_mask_and_epi32(r, small, bits, sign);
    return (Vec){_mm512_castsi512_ps(_mm512_and_si512(r, _mm512_set1_epi32((int)0xffff0000u)))};
}
INLINE __m256 vec_high8(Vec a) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1)); }
INLINE float vec_sum(Vec a) {
    const __m256 m = _mm256_add_ps(_mm512_castps512_ps256(a.v), vec_high8(a));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
INLINE float vec_top(Vec a) {
    const __m256 m = _mm256_max_ps(_mm512_castps512_ps256(a.v), vec_high8(a));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
INLINE Vec vec_sums(const float *s) {
    const __m512 low = _mm512_castps256_ps512(vec_sums8(s));
    const __m256d high = _mm256_castps_pd(vec_sums8(s + 8 * VEC_LANES));
    return (Vec){_mm512_castpd_ps(_mm512_insertf64x4(_mm512_castps_pd(low), high, 1))};
}
