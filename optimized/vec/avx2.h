#pragma once
/* AVX2 + FMA: a logical vector is two 256-bit registers. */
#include <immintrin.h>

#include "vec/transpose_avx.h"

typedef struct {
    __m256 lo, hi;
} Vec;

#define GEMM_ROWS 6
#define GEMM_VECS 1
#define SCAN_ROWS 2
#define DELTA_VECS 2
#define VEC_SIDE 2
#define ROOFLINE_CHAINS 6

INLINE Vec vec_load(const float *p) { return (Vec){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE void vec_store(float *p, Vec a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
INLINE __m256i vec_mask8(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n < 0 ? 0 : n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* Masked moves are slow, stores above all; whole vectors are the rule. */
INLINE Vec vec_load_n(const float *p, int64_t n) {
    if (n >= VEC_LANES) return vec_load(p);
    return (Vec){_mm256_maskload_ps(p, vec_mask8(n)), _mm256_maskload_ps(p + 8, vec_mask8(n - 8))};
}
INLINE void vec_store_n(float *p, Vec a, int64_t n) {
    if (n >= VEC_LANES) {
        vec_store(p, a);
        return;
    }
    _mm256_maskstore_ps(p, vec_mask8(n), a.lo);
    _mm256_maskstore_ps(p + 8, vec_mask8(n - 8), a.hi);
}
INLINE Vec vec_set1(float x) { return (Vec){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INLINE Vec vec_zero(void) { return (Vec){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INLINE Vec vec_add(Vec a, Vec b) { return (Vec){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
INLINE Vec vec_sub(Vec a, Vec b) { return (Vec){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
INLINE Vec vec_mul(Vec a, Vec b) { return (Vec){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
INLINE Vec vec_div(Vec a, Vec b) { return (Vec){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
INLINE Vec vec_sqrt(Vec a) { return (Vec){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
INLINE Vec vec_max(Vec a, Vec b) { return (Vec){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
INLINE Vec vec_min(Vec a, Vec b) { return (Vec){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
INLINE Vec vec_fma(Vec a, Vec b, Vec c) {
    return (Vec){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
INLINE Vec vec_fnma(Vec a, Vec b, Vec c) {
    return (Vec){_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
INLINE Vec vec_less(Vec a, Vec b, Vec x, Vec y) {
    return (Vec){_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
                 _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
INLINE __m256 vec_scale8(__m256 p, __m256 t) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}
INLINE Vec vec_scale2(Vec p, Vec t) { return (Vec){vec_scale8(p.lo, t.lo), vec_scale8(p.hi, t.hi)}; }
INLINE Vec vec_keep_nan(Vec p, Vec x) { return vec_fma(vec_zero(), x, p); }
INLINE __m256 vec_bf16_8(__m256 a) {
    const __m256i bits = _mm256_castps_si256(a), exponent = _mm256_set1_epi32(0x7f800000);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
    const __m256i zero = _mm256_and_si256(bits, _mm256_set1_epi32((int)0x80000000u));
    const __m256i small = _mm256_cmpeq_epi32(_mm256_and_si256(bits, exponent), _mm256_setzero_si256());
    __m256i r = _mm256_blendv_epi8(up, quiet, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
    r = _mm256_blendv_epi8(r, zero, small);
    return _mm256_castsi256_ps(_mm256_and_si256(r, _mm256_set1_epi32((int)0xffff0000u)));
}
INLINE Vec vec_bf16(Vec a) { return (Vec){vec_bf16_8(a.lo), vec_bf16_8(a.hi)}; }
INLINE float vec_sum(Vec a) {
    const __m256 m = _mm256_add_ps(a.lo, a.hi);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
INLINE float vec_top(Vec a) {
    const __m256 m = _mm256_max_ps(a.lo, a.hi);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
INLINE Vec vec_sums(const float *s) { return (Vec){vec_sums8(s), vec_sums8(s + 8 * VEC_LANES)}; }
