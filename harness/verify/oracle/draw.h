/* splitmix64, by its published definition, and normal numbers from it. */
#pragma once
#include "oracle/quad.h"

/* The next word of the generator. */
static inline uint64_t draw_bits(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In [0, 1), a multiple of 2^-53. */
static inline Quad draw_uniform(uint64_t *state) { return (Quad)(draw_bits(state) >> 11) * 0x1p-53; }

/* Box and Muller: sqrt(-2 log(1 - u)) cos(2 pi w). */
static inline Quad draw_normal(uint64_t *state) {
    const Quad u = draw_uniform(state), w = draw_uniform(state);
    Quad cosine, sine;
    quad_turn(2 * quad_pi() * w, &cosine, &sine);
    return quad_sqrt(-2 * quad_log(1 - u)) * cosine;
}
