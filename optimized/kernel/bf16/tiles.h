#pragma once
/* Tile operations of AMX. A tile is 16 rows of 16 floats, or of 16 pairs of bf16; strides in floats. */
#include <immintrin.h>

/* Eight whole tiles, as LDTILECFG wants them: palette 1, bytes of a row, rows. */
static inline void tiles_begin(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int t = 0; t < 8; t++) shape.row_bytes[t] = 64, shape.rows[t] = 16;
    _tile_loadconfig(&shape);
}
static inline void tiles_end(void) { _tile_release(); }

#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, p, stride) _tile_loadd(t, p, (size_t)(stride) * sizeof(float))
#define TILE_STORE(t, p, stride) _tile_stored(t, p, (size_t)(stride) * sizeof(float))
#define TILE_PRODUCT(c, a, b) _tile_dpbf16ps(c, a, b)

/* low and high rounded to bf16, one after the other: pairs of neighbours. */
INLINE void tiles_pair(Vec low, Vec high, float *pairs) {
    _mm512_storeu_si512(pairs, (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v));
}

/* Both rounded, as pairs (first[i], second[i]). */
INLINE void tiles_weave(Vec first, Vec second, float *pairs) {
    const __m512i even = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(first.v));
    const __m512i odd = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(second.v));
    _mm512_storeu_si512(pairs, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
}
