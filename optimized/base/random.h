#pragma once
#include "base/portable.h"

/* splitmix64 (Steele, Lea, Flood 2014): one 64-bit word of state, so that a sample or an initial weight is a
 * function of the words it was seeded with, on every machine. */
typedef struct {
    uint64_t state;
} Random;

static inline uint64_t random_bits(Random *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A stream for each combination of up to three numbers. */
static inline Random random_stream(uint64_t a, uint64_t b, uint64_t c) {
    Random r = {a};
    r.state = random_bits(&r) ^ b;
    r.state = random_bits(&r) ^ c;
    r.state = random_bits(&r);
    return r;
}

/* Uniform in [0, 1) with 53 bits; uniform integer in [0, n) without bias worth measuring (n < 2^32). */
static inline double random_uniform(Random *r) { return (double)(random_bits(r) >> 11) * 0x1p-53; }
static inline uint64_t random_below(Random *r, uint64_t n) { return ((random_bits(r) >> 32) * n) >> 32; }

/* Box-Muller, one of the pair. */
static inline double random_normal(Random *r) {
    const double u = 1.0 - random_uniform(r), angle = 6.283185307179586 * random_uniform(r);
    double sine, cosine;
    portable_sincos(angle, &sine, &cosine);
    return sqrt(-2.0 * portable_log(u)) * cosine;
}
