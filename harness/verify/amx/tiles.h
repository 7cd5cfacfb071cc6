#pragma once
/* Tile operations in plain C, so that kernel/bf16/amx.c is checked on any machine: eight tiles of 16 rows of 16 words, a
 * word being a float or a pair of bf16, the term of even number in its lower half. Strides in floats. */
#include <math.h>
#include <stdint.h>
#include <string.h>

static _Thread_local uint32_t tile[8][16][16];
static _Thread_local int tiles_configured;

static inline void tiles_begin(void) {
    memset(tile, 0xff, sizeof tile); /* NaN: nothing may be read before it is written */
    tiles_configured = 1;
}
static inline void tiles_end(void) { tiles_configured = 0; }

static inline void tile_zero(int t) { memset(tile[t], 0, sizeof tile[t]); }
static inline void tile_load(int t, const float *p, int64_t stride) {
    for (int i = 0; i < 16; i++) memcpy(tile[t][i], p + i * stride, sizeof tile[t][i]);
}
static inline void tile_store(int t, float *p, int64_t stride) {
    for (int i = 0; i < 16; i++) memcpy(p + i * stride, tile[t][i], sizeof tile[t][i]);
}

/* A word as a float; half 0, 1: the even, the odd term of a pair. */
static inline float tile_float(uint32_t word) {
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}
static inline float tile_term(uint32_t word, int half) {
    return tile_float(half ? word & 0xffff0000u : word << 16);
}

/* TDPBF16PS: both chains from 0, their sum added. Runs in the flush mode of the call. */
static inline void tile_product(int c, int a, int b) {
    for (int i = 0; i < 16 && tiles_configured; i++)
        for (int j = 0; j < 16; j++) {
            float half[2] = {0.0f, 0.0f};
            for (int k = 0; k < 32; k++)
                half[k % 2] = fmaf(tile_term(tile[a][i][k / 2], k % 2), tile_term(tile[b][k / 2][j], k % 2),
                                   half[k % 2]);
            const float sum = tile_float(tile[c][i][j]) + (half[0] + half[1]);
            memcpy(&tile[c][i][j], &sum, sizeof sum);
        }
}

#define TILE_ZERO(t) tile_zero(t)
#define TILE_LOAD(t, p, stride) tile_load(t, p, stride)
#define TILE_STORE(t, p, stride) tile_store(t, p, stride)
#define TILE_PRODUCT(c, a, b) tile_product(c, a, b)

/* even[i] in the lower half, odd[i] in the upper. */
static inline void tile_words(const float *even, const float *odd, int64_t step, float *pairs) {
    for (int i = 0; i < 16; i++) {
        uint32_t low, high;
        memcpy(&low, even + i * step, sizeof low);
        memcpy(&high, odd + i * step, sizeof high);
        const uint32_t word = low >> 16 | high;
        memcpy(pairs + i, &word, sizeof word);
    }
}
INLINE void tiles_pair(Vec low, Vec high, float *pairs) {
    float terms[32];
    vec_store(terms, vec_bf16(low));
    vec_store(terms + 16, vec_bf16(high));
    tile_words(terms, terms + 1, 2, pairs);
}
INLINE void tiles_weave(Vec first, Vec second, float *pairs) {
    float even[16], odd[16];
    vec_store(even, vec_bf16(first));
    vec_store(odd, vec_bf16(second));
    tile_words(even, odd, 1, pairs);
}
