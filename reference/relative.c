/* Attention with relative positions, Dai et al. 2019 (Transformer-XL), section 3.3. A query has two faces: q meets the
 * keys, p the distances. Rows of distances lie farthest first, as the keys do. */
#pragma once
#include "attention.c"

/* Rows of distances n - 1 .. 0, farthest first: [sin(d f_j) .. ; cos(d f_j) ..], f_j = 10000^(-2j / width), all sines
 * before all cosines; d is at most clamp, if that is above 0. r (n x width). */
static void relative_positions(int64_t n, int64_t width, int64_t clamp, real *r) {
    for (int64_t c = 0; c < n; c++) {
        const int64_t distance = clamp > 0 && n - 1 - c > clamp ? clamp : n - 1 - c;
        for (int64_t j = 0; j < width / 2; j++) {
            const double angle = (double)distance * pow(10000.0, -2.0 * (double)j / (double)width);
            r[c * width + j] = R(sin(angle));
            r[c * width + width / 2 + j] = R(cos(angle));
        }
    }
}

/* Sizes of a segment: T queries, the last of S keys, in H heads of dh; query t sees the keys j > t - shift up to its
 * own row S - T + t. */
typedef struct Distances {
    int64_t T, S, H, dh, shift;
} Distances;

/* One query of one head: y = sum_j a_j v_j, a = softmax over the keys low .. own of (q.k_j + p.r_(own - j)) / sqrt(dh).
 * k, v: rows of all heads from this one on; nearest: the row of distance 0. */
static void relative_query(const Distances *s, int64_t low, int64_t own, const real *q, const real *p,
                           const real *k, const real *v, const real *nearest, real *y) {
    const int64_t n = own + 1 - low, stride = s->H * s->dh;
    real *score = R_NEW(n), scale = sqrt((real)s->dh), max = 0, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        const real *key = k + (low + j) * stride, *position = nearest - (own - low - j) * stride;
        real content = 0, distance = 0;
        for (int64_t c = 0; c < s->dh; c++) content += q[c] * key[c];
        for (int64_t c = 0; c < s->dh; c++) distance += p[c] * position[c];
        score[j] = (content + distance) / scale;
        if (j == 0 || RE(score[j]) > RE(max)) max = score[j];
    }
    for (int64_t j = 0; j < n; j++) {
        score[j] = exp(score[j] - max);
        sum += score[j];
    }
    for (int64_t c = 0; c < s->dh; c++) {
        real weighted = 0;
        for (int64_t j = 0; j < n; j++) weighted += score[j] * v[(low + j) * stride + c];
        y[c] = weighted / sum;
    }
    free(score);
}

/* All queries of all heads: q, p, y (T x H x dh), k, v, r (S x H x dh). */
static void relative_attention(const Distances *s, const real *q, const real *p, const real *k, const real *v,
                               const real *r, real *y) {
    for (int64_t t = 0; t < s->T; t++)
        for (int64_t h = 0; h < s->H; h++) {
            const int64_t at = (t * s->H + h) * s->dh, low = t - s->shift + 1, head = h * s->dh;
            relative_query(s, low > 0 ? low : 0, s->S - s->T + t, q + at, p + at, k + head, v + head,
                           r + (s->S - 1) * s->H * s->dh + head, y + at);
        }
}

static void relative_attention_run(const Call *c) {
    const int64_t T = dim(c, "tokens");
    const Distances s = {T, dim(c, "keys"), dim(c, "heads"), dim(c, "head_width"), T};
    relative_attention(&s, in(c, "q"), in(c, "p"), in(c, "k"), in(c, "v"), in(c, "r"), out(c, "y"));
}
static const Dimension relative_attention_dims[] = {TOKENS, KEYS, HEADS, HEAD_WIDTH, DIMENSION_END};
static const Argument relative_attention_in[] = {
    {"q", NULL, "tokens heads head_width", NUMBER, "queries that meet keys, those of the last tokens rows"},
    {"p", NULL, "tokens heads head_width", NUMBER, "the same queries as they meet distances"},
    {"k", NULL, "keys heads head_width", NUMBER, "keys"},
    {"v", NULL, "keys heads head_width", NUMBER, "values"},
    {"r", NULL, "keys heads head_width", NUMBER, "rows of the distances keys - 1 .. 0"},
    ARGUMENT_END};

static const Equation relative_equations[] = {
    {"relative_attention", "Dai et al. 2019, section 3.3",
     "y_i = sum_{j<=p} a_ij v_j, a_i = softmax over j of (q_i.k_j + p_i.r(p-j)) / sqrt(head_width), head by "
     "head;\n"
     "query i is row p = keys - tokens + i; r(d), the row of distance d, is row keys - 1 - d of r",
     relative_attention_dims, relative_attention_in, y_heads_out, relative_attention_run, NULL},
    EQUATION_END};
