#pragma once
/* 16 x 16 transposition, and sums of lanes, with 256-bit registers, for AVX2 and AVX-512 alike. */
#include <immintrin.h>

/* 4 x 4 transposes inside 128-bit halves; rows i and i + 4 share a register, which finishes the 8 x 8. */
INLINE void vec_transpose8(const float *s, int64_t ls, float *d, int64_t ld) {
    __m256 r[8];
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(s + i * ls)),
                                    _mm_loadu_ps(s + (i + 4) * ls), 1);
        r[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(s + i * ls + 4)),
                                        _mm_loadu_ps(s + (i + 4) * ls + 4), 1);
    }
#pragma GCC unroll 2
    for (int h = 0; h < 8; h += 4) {
        const __m256 a = _mm256_unpacklo_ps(r[h], r[h + 1]), b = _mm256_unpackhi_ps(r[h], r[h + 1]);
        const __m256 c = _mm256_unpacklo_ps(r[h + 2], r[h + 3]), e = _mm256_unpackhi_ps(r[h + 2], r[h + 3]);
        _mm256_storeu_ps(d + (h + 0) * ld, _mm256_shuffle_ps(a, c, 0x44));
        _mm256_storeu_ps(d + (h + 1) * ld, _mm256_shuffle_ps(a, c, 0xee));
        _mm256_storeu_ps(d + (h + 2) * ld, _mm256_shuffle_ps(b, e, 0x44));
        _mm256_storeu_ps(d + (h + 3) * ld, _mm256_shuffle_ps(b, e, 0xee));
    }
}
INLINE void vec_transpose(const float *s, int64_t ls, float *d, int64_t ld) {
    vec_transpose8(s, ls, d, ld);
    vec_transpose8(s + 8, ls, d + 8 * ld, ld);
    vec_transpose8(s + 8 * ls, ls, d + 8, ld);
    vec_transpose8(s + 8 * ls + 8, ls, d + 8 * ld + 8, ld);
}

/* Lane sums of 8 vectors at s: two rows share a register when lanes 4 apart are added, four when 2 apart, eight at last. */
INLINE __m256 vec_sums8(const float *s) {
    __m256 r[8], h[4], g[2];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_add_ps(_mm256_loadu_ps(s + 16 * i), _mm256_loadu_ps(s + 16 * i + 8));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        h[i] = _mm256_add_ps(_mm256_permute2f128_ps(r[i], r[i + 4], 0x20),
                             _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        g[i] = _mm256_add_ps(_mm256_shuffle_ps(h[2 * i], h[2 * i + 1], 0x44),
                             _mm256_shuffle_ps(h[2 * i], h[2 * i + 1], 0xee));
    return _mm256_hadd_ps(g[0], g[1]);
}
