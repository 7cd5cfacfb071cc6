/* BigBird (Zaheer et al. 2020, arXiv 2007.14062): attention to blocks, near, global and random ones. The layer as
 * published, which looks both ways, and a causal mixer, which is ours. */
#pragma once
#include "../sparse.c"

/* Key blocks of the published layer; random: [heads][blocks - 2][r] numbers of blocks, mask: 1 for tokens. */
typedef struct BigbirdPattern {
    int64_t T, block, random;
    const real *drawn, *mask;
} BigbirdPattern;

static int64_t bigbird_blocks(const BigbirdPattern *p) { return (p->T + p->block - 1) / p->block; }

/* Appends the tokens of a block; one beyond the sequence is the nearest there is. */
static int64_t bigbird_take(const BigbirdPattern *p, int64_t block, int64_t n, int64_t *seen) {
    int64_t last = bigbird_blocks(p) - 1, at = block < 0 ? 0 : block > last ? last : block;
    for (int64_t s = at * p->block; s < p->T && s < (at + 1) * p->block; s++)
        if (RE(p->mask[s]) > 0) seen[n++] = s;
    return n;
}

/* A block that is named twice counts twice. Padding is not seen and sees nothing. */
static int64_t bigbird_rows(const void *pattern, int64_t head, int64_t t, int64_t *seen) {
    const BigbirdPattern *p = (const BigbirdPattern *)pattern;
    int64_t n = 0, i = t / p->block, last = bigbird_blocks(p) - 1, inner = last - 1;
    if (!(RE(p->mask[t]) > 0)) return 0;
    for (int64_t c = 0; (i == 0 || i == last) && c <= last; c++) n = bigbird_take(p, c, n, seen);
    if (i == 0 || i == last) return n;
    n = bigbird_take(p, 0, n, seen);
    if (i > 1) n = bigbird_take(p, i - 1, n, seen);
    n = bigbird_take(p, i, n, seen);
    n = bigbird_take(p, i + 1, n, seen);
    if (i < last - 1 || i == 1) n = bigbird_take(p, last, n, seen);
    for (int64_t j = 0; j < p->random; j++)
        n = bigbird_take(p, real_index(p->drawn[(head * inner + i - 1) * p->random + j]), n, seen);
    return n;
}

static void bigbird_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), D = dim(c, "width"), b = dim(c, "block"), r = dim(c, "random");
    BigbirdPattern p = {T, b, r, in(c, "drawn"), in(c, "mask")};
    real *q = R_NEW(T * D), *k = R_NEW(T * D), *v = R_NEW(T * D);
    project_shifted(T, D, D, in(c, "x"), in(c, "wq"), in(c, "bq"), q);
    project_shifted(T, D, D, in(c, "x"), in(c, "wk"), in(c, "bk"), k);
    project_shifted(T, D, D, in(c, "x"), in(c, "wv"), in(c, "bv"), v);
    for (int64_t i = 0; i < T * D; i++) out(c, "o")[i] = 0;
    attend_pattern(T, dim(c, "heads"), dim(c, "head_width"), T + (5 + r) * b, bigbird_rows, &p, q, k, v,
                   out(c, "o"));
    free(q);
    free(k);
    free(v);
}

/* o = [block attention of rope(x W_Q), rope(x W_K), x W_V] W_O: x, o (T x D). */
static void mixer_bigbird_run(const Call *c) {
    Mixing m = mixing_at(c);
    BlockPattern p = block_pattern(c);
    int64_t n = m.T * m.D;
    real *q = R_NEW(n), *k = R_NEW(n), *v = R_NEW(n), *y = R_NEW(n);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wq"), q);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wk"), k);
    project(m.T, m.D, m.D, in(c, "x"), in(c, "wv"), v);
    rope(m.T, m.H, m.dh, 0, q, q);
    rope(m.T, m.H, m.dh, 0, k, k);
    attend_pattern(m.T, m.H, m.dh, m.T, block_rows, &p, q, k, v, y);
    project(m.T, m.D, m.D, y, in(c, "wo"), out(c, "o"));
    free(q);
    free(k);
    free(v);
    free(y);
}

static int64_t bigbird_inner_blocks(const Call *c) {
    int64_t blocks = (dim(c, "tokens") + dim(c, "block") - 1) / dim(c, "block");
    return blocks > 2 ? blocks - 2 : 0;
}

static const Dimension bigbird_layer_dims[] = {
    MIXER_SIZES, SIZE("block", "b", "tokens of a block; the last one may be shorter"),
    COUNT("random", "r", "random blocks of every row of blocks but the first and the last"),
    DERIVED("inner_blocks", NULL, bigbird_inner_blocks,
            "blocks of the sequence but the first and the last: n - 2"),
    DIMENSION_END};
#define BIGBIRD_BIAS(name, meaning)                                                                          \
    { name, NULL, "width", NUMBER, meaning }
static const Argument bigbird_layer_in[] = {
    MIXER_X,
    {"mask", NULL, "tokens", NUMBER, "of every row: 1 token, 0 padding"},
    SQUARE("wq", NULL, "queries"),
    BIGBIRD_BIAS("bq", "their bias"),
    SQUARE("wk", NULL, "keys"),
    BIGBIRD_BIAS("bk", "their bias"),
    SQUARE("wv", NULL, "values"),
    BIGBIRD_BIAS("bv", "their bias"),
    {"drawn", NULL, "heads inner_blocks random", NUMBER,
     "the random blocks of rows of blocks 1 .. n-2: numbers from 0 to n - 1"},
    ARGUMENT_END};

static const Dimension mixer_bigbird_dims[] = {ROTARY_SIZES, PATTERN_SIZES, DIMENSION_END};
static const Argument mixer_bigbird_in[] = {MIXER_X, ATTENTION_PARAMETERS("", ""),
                                            SQUARE("wo", "Wo", "output map"), ARGUMENT_END};

static const Equation mixer_bigbird_equations[] = {
    {"mixer_bigbird", "BigBird (2007.14062), ours, causal",
     "o = [block_attention of every head: q = rope(x W_Q), k = rope(x W_K), v = x W_V] W_O, positions from 0 "
     "on:\n" PATTERN_FORMULA,
     mixer_bigbird_dims, mixer_bigbird_in, mixer_out, mixer_bigbird_run, NULL},
    {"bigbird_layer", "BigBird (2007.14062), not causal",
     "q = x W_Q + b_Q, k = x W_K + b_K, v = x W_V + b_V; attention (eq 2) of every head to lists of the n "
     "blocks; a block that\n"
     "is listed twice counts twice: row of blocks 0, n-1: all; 1: 0, 1, 2, n-1, drawn; n-2: 0, n-3, n-2, "
     "n-1, "
     "drawn;\n"
     "i: 0, i-1, i, i+1, n-1, drawn; padding is not seen, and its own rows are 0",
     bigbird_layer_dims, bigbird_layer_in, mixer_out, bigbird_layer_run, NULL},
    EQUATION_END};
