/* Softmax attention to listed rows, and the block pattern of a causal BigBird (Zaheer et al. 2020, arXiv
 * 2007.14062; the causal form is ours). Tokens are rows. */
#pragma once
#include "titans.c"

/* Which rows query t of a head sees: fills seen, a row as often as it counts, returns how many. */
typedef int64_t (*PatternRows)(const void *pattern, int64_t head, int64_t t, int64_t *seen);

/* (2) over the rows that a pattern lists, at most `most` of them: q, k, v, y (T x H x dh). Rows of y that see
 * nothing are left as they are. */
static void attend_pattern(int64_t T, int64_t H, int64_t dh, int64_t most, PatternRows rows,
                           const void *pattern, const real *q, const real *k, const real *v, real *y) {
    real *k_h = R_NEW(T * dh), *v_h = R_NEW(T * dh);
    int64_t *seen = rows_new(most);
    for (int64_t h = 0; h < H; h++) {
        head_get(T, H, dh, h, k, k_h);
        head_get(T, H, dh, h, v, v_h);
        for (int64_t t = 0; t < T; t++) {
            int64_t n = rows(pattern, h, t, seen), at = (t * H + h) * dh;
            if (n > 0) attend(dh, n, seen, q + at, k_h, v_h, y + at);
        }
    }
    free(seen);
    free(k_h);
    free(v_h);
}

/* y = x W + b: x (T x n), W (n x m), b (m), y (T x m). */
static void project_shifted(int64_t T, int64_t n, int64_t m, const real *x, const real *W, const real *b,
                            real *y) {
    project(T, n, m, x, W, y);
    for (int64_t i = 0; i < T * m; i++) y[i] = y[i] + b[i % m];
}

/* ---- the block pattern ------------------------------------------------------------------------------------ */

typedef struct BlockPattern {
    int64_t block, random, seed;
} BlockPattern;

/* splitmix64: the next 64 bits of a state. */
static uint64_t pattern_bits(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A state of its own for every (seed, head, block). */
static uint64_t pattern_state(int64_t seed, int64_t head, int64_t i) {
    uint64_t state = (uint64_t)seed;
    state = pattern_bits(&state) ^ (uint64_t)head;
    state = pattern_bits(&state) ^ (uint64_t)i;
    return pattern_bits(&state);
}

/* min(random, i - 2) distinct blocks of {1 .. i-2}, every set equally likely (Floyd's sampling): chosen[c] is 1
 * where block c is among them. They depend on seed, head and i alone. */
static void pattern_draw(const BlockPattern *p, int64_t head, int64_t i, int64_t *chosen) {
    uint64_t state = pattern_state(p->seed, head, i);
    int64_t n = i - 2, first = n > p->random ? n - p->random : 0;
    for (int64_t c = 0; c <= i; c++) chosen[c] = 0;
    for (int64_t j = first; j < n; j++) {
        int64_t drawn = (int64_t)(((pattern_bits(&state) >> 32) * (uint64_t)(j + 1)) >> 32);
        chosen[chosen[drawn + 1] ? j + 1 : drawn + 1] = 1;
    }
}

/* Query block i sees blocks 0, i-1, i and the random ones, each once, in ascending order; of them the rows up
 * to t. */
static int64_t block_rows(const void *pattern, int64_t head, int64_t t, int64_t *seen) {
    const BlockPattern *p = (const BlockPattern *)pattern;
    int64_t i = t / p->block, n = 0, *chosen = rows_new(i + 1);
    pattern_draw(p, head, i, chosen);
    chosen[0] = chosen[i] = 1;
    if (i > 0) chosen[i - 1] = 1;
    for (int64_t j = 0; j <= t; j++)
        if (chosen[j / p->block]) seen[n++] = j;
    free(chosen);
    return n;
}

static BlockPattern block_pattern(const Call *c) {
    BlockPattern p = {dim(c, "block"), dim(c, "random"), dim(c, "pattern_seed")};
    return p;
}

static void block_attention_run(const Call *c) {
    int64_t T = dim(c, "tokens");
    BlockPattern p = block_pattern(c);
    attend_pattern(T, dim(c, "heads"), dim(c, "head_width"), T, block_rows, &p, in(c, "q"), in(c, "k"),
                   in(c, "v"), out(c, "y"));
}

#define PATTERN_SIZES                                                                                        \
    SIZE("block", "b", "tokens of a block"), COUNT("random", "r", "random blocks that a query sees"),        \
        COUNT("pattern_seed", NULL, "which random blocks: the first word of their generator")
#define PATTERN_FORMULA                                                                                      \
    "query t of block i = t / block sees the rows up to t of blocks 0, i-1, i and m = min(random, i-2) "     \
    "others:\n"                                                                                              \
    "for j = i-2-m .. i-3: d = 1 + (bits >> 32) (j+1) / 2^32, block d, or j+1 if d is chosen already;\n"     \
    "bits: splitmix64, its state s = seed, s = bits(s) xor head, s = bits(s) xor i, s = bits(s)"
static const Dimension block_attention_dims[] = {TOKENS, HEADS, HEAD_WIDTH, PATTERN_SIZES, DIMENSION_END};
static const Argument block_attention_in[] = {{"q", NULL, "tokens heads head_width", NUMBER, "queries"},
                                              {"k", NULL, "tokens heads head_width", NUMBER, "keys"},
                                              {"v", NULL, "tokens heads head_width", NUMBER, "values"},
                                              ARGUMENT_END};
static const Equation sparse_equations[] = {
    {"block_attention", "BigBird (2007.14062), ours, causal",
     "y = attention (eq 2) of every head to some blocks: " PATTERN_FORMULA, block_attention_dims,
     block_attention_in, y_heads_out, block_attention_run, NULL},
    EQUATION_END};
