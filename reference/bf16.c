/* The product of matrices in bf16, defined to the last bit: the order in which the matrix unit of x86 CPUs (TDPBF16PS)
 * adds. Any CPU can follow it with fused multiply-adds in float32, since a product of two bf16 is a float32 number. */
#pragma once
#include "layers.c"

/* A result of float32 arithmetic whose exponent would be too small: 0 of its sign. */
static float bf16_flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }

/* a b + c with one rounding, to 24 bits as if exponents had no end, and flushed. At 2^-126 and below float32 has fewer
 * bits: rounded there 2^60 times larger, where b and c cannot be large. */
static float bf16_fma(float a, float b, float c) {
    const float y = fmaf(a, b, c);
    if (!(fabsf(y) <= 0x1p-126f) || y == 0.0f) return y;
    return bf16_flush(fmaf(a, b * 0x1p60f, c * 0x1p60f) * 0x1p-60f);
}

/* c + sum_k a_k b_k over K terms of bf16, b_k being `stride` apart: for every 32 terms in turn
 *   e = 0; e = fma(a_k, b_k, e) for the 16 even k, ascending; o likewise for the odd k; c = c + (e + o)
 * The last terms are followed by products of +0 up to a multiple of 32. */
static float bf16_chain(int64_t K, const float *a, const float *b, int64_t stride, float c) {
    c = bf16_flush(c);
    for (int64_t block = 0; block < K; block += 32) {
        float half[2] = {0.0f, 0.0f};
        for (int64_t k = block; k < block + 32; k++) {
            const float x = k < K ? a[k] : 0.0f, y = k < K ? b[k * stride] : 0.0f;
            half[k % 2] = bf16_fma(x, y, half[k % 2]);
        }
        c = bf16_flush(c + bf16_flush(half[0] + half[1]));
    }
    return c;
}

/* n numbers rounded to bf16, to be given to free(). */
static float *bf16_rows(int64_t n, const real *x) {
    float *y = (float *)calloc(n > 0 ? (size_t)n : 1, sizeof(float));
    if (!y) abort();
    for (int64_t i = 0; i < n; i++) y[i] = bf16_round((float)RE(x[i]));
    return y;
}

/* a (M x K), b (K x N), c, y (M x N): to the bit, whatever the arithmetic; it has no derivative. */
static void bf16_bits(int64_t M, int64_t K, int64_t N, const real *a, const real *b, const real *c, real *y) {
    float *left = bf16_rows(M * K, a), *right = bf16_rows(K * N, b);
    for (int64_t i = 0; i < M * N; i++)
        y[i] = R((double)bf16_chain(K, left + i / N * K, right + i % N, N, (float)RE(c[i])));
    free(left);
    free(right);
}

static void bf16_product_run(const Call *call) {
    int64_t M = dim(call, "rows"), K = dim(call, "depth"), N = dim(call, "columns");
    const real *a = in(call, "a"), *b = in(call, "b"), *c = in(call, "c");
    real *y = out(call, "y");
    project_bf16(M, K, N, a, b, y);
    for (int64_t i = 0; i < M * N; i++) y[i] = c[i] + y[i];
    bf16_bits(M, K, N, a, b, c, out(call, "bits"));
}

static const Dimension bf16_product_dims[] = {SIZE("rows", "M", "rows of a"),
                                              SIZE("depth", "K", "terms of a sum"),
                                              SIZE("columns", "N", "columns of b"), DIMENSION_END};
static const Argument bf16_product_in[] = {{"a", NULL, "rows depth", NUMBER, "rounded to bf16"},
                                           {"b", NULL, "depth columns", NUMBER, "rounded to bf16"},
                                           {"c", NULL, "rows columns", NUMBER, "what the sums begin with"},
                                           ARGUMENT_END};
static const Argument bf16_product_out[] = {
    {"y", NULL, "rows columns", NUMBER, "the sums"},
    {"bits", NULL, "rows columns", NUMBER, "the same as float32 makes them, to the bit; without derivative"},
    ARGUMENT_END};

static const Equation bf16_equations[] = {
    {"bf16_product", "TDPBF16PS",
     "y = c + round(a) round(b), round: to bf16, nearest or even, denormal numbers to 0;\n"
     "bits: for every 32 terms k of a sum e = fma(a_k, b_k, e) over its even k, o = fma(a_k, b_k, o) over "
     "its odd k,\n"
     "both from 0, then c = c + (e + o); all in float32, denormal results 0, missing terms products of 0",
     bf16_product_dims, bf16_product_in, bf16_product_out, bf16_product_run, NULL},
    EQUATION_END};
