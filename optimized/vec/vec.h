#pragma once
/* One fixed logical vector of 16 float lanes, whatever the CPU.
 *
 * Every instruction set supplies the same operations (header chosen by -DVEC_HEADER), each a correctly
 * rounded IEEE operation or pure data movement. With fused multiply-add always explicit, contraction off and
 * one fixed reduction tree, a kernel gives the same bits on every instruction set.
 *
 *   vec_load/store(p)             16 floats, any alignment
 *   vec_load_n/store_n(p, n)      first n lanes, rest 0
 *   vec_fma(a, b, c)              a b + c, one rounding
 *   vec_fnma(a, b, c)             c - a b, one rounding
 *   vec_max(a, b)                 a > b ? a : b (NaN: b)
 *   vec_less(a, b, x, y)          a < b ? x : y
 *   vec_bf16(a)                   a rounded to bf16: nearest or even, denormals to 0, NaN stays NaN, quiet
 *   vec_sum(a), vec_top(a)        lanes 8 apart, then 4, 2, 1
 *   vec_sums(s)                   vec_sum of each of the 16 vectors at s
 *   vec_scale2(p, t)              p 2^n for t = 1.5 2^23 + n, n whole; not of a NaN
 *   vec_keep_nan(p, x)            p made of x by vec_scale2, NaN where x is
 *   vec_transpose(s, ls, d, ld)   16 x 16 block, d[j][i] = s[i][j]
 *   GEMM_ROWS, GEMM_VECS          register tile of the matrix product (rows x 16-lane vectors)
 *   SCAN_ROWS                     rows of (W, S) held in registers by the memory scan
 *   DELTA_VECS                    vectors of a state's row held in registers by the delta rule, at most 4
 *   VEC_SIDE                      vectors that long chains take side by side
 *   ROOFLINE_CHAINS               independent sums that hide the latency of a multiply-add: 12 or a divisor of it
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define VEC_LANES 16
#define INLINE static inline __attribute__((always_inline))

/* A source of kernel/ is compiled once for every instruction set, -DVEC_ISA; what it exports ends in that name. */
#define VEC_JOIN_(name, isa) name##_##isa
#define VEC_JOIN(name, isa) VEC_JOIN_(name, isa)
#define KERNEL(name) VEC_JOIN(name, VEC_ISA)

#include VEC_HEADER

/* Largest float below ln(FLT_MAX) and smallest above ln(2^-126): outside, exp returns inf and 0. */
#define EXP_TOP 88.722832f
#define EXP_BOTTOM -87.336540f

/* Functions of long chains take n <= VEC_SIDE vectors side by side, step by step, so that none waits for its own last result. */
#define VEC_EACH_SIDE(v, n) for (int v = 0; v < (n); v++)

INLINE void vecs_load(const int n, const float *p, int64_t lanes, Vec *x) {
    VEC_EACH_SIDE (v, n) x[v] = vec_load_n(p + v * VEC_LANES, lanes);
}

/* exp(r) - 1 for |r| <= ln 2 / 2: r + r^2 q(r), q minimax of degree 4 (0.06 ulp), coefficients rounded one after the other
 * and the rest refitted. */
INLINE void vecs_exp_rest(const int n, const Vec *r, Vec *p) {
    static const float q[] = {8.368704e-3f, 4.166829e-2f, 1.6666521e-1f, 0.49999994f};
    VEC_EACH_SIDE (v, n) p[v] = vec_set1(1.3818939e-3f);
    for (int k = 0; k < 4; k++)
        VEC_EACH_SIDE (v, n) p[v] = vec_fma(p[v], r[v], vec_set1(q[k]));
    VEC_EACH_SIDE (v, n) p[v] = vec_fma(p[v], vec_mul(r[v], r[v]), r[v]);
}

/* exp(x) between EXP_BOTTOM and EXP_TOP, NaN where x is; beyond them anything. Range reduction by k ln 2 in two parts. */
INLINE void vecs_exp_inside(const int n, const Vec *x, Vec *y) {
    const Vec magic = vec_set1(12582912.0f);
    Vec t[VEC_SIDE], k[VEC_SIDE], r[VEC_SIDE];
    VEC_EACH_SIDE (v, n) t[v] = vec_fma(x[v], vec_set1(1.44269504f), magic);
    VEC_EACH_SIDE (v, n) k[v] = vec_sub(t[v], magic);
    VEC_EACH_SIDE (v, n) r[v] = vec_fnma(k[v], vec_set1(0.693145752f), x[v]);
    VEC_EACH_SIDE (v, n) r[v] = vec_fnma(k[v], vec_set1(1.42860677e-6f), r[v]);
    vecs_exp_rest(n, r, y);
    VEC_EACH_SIDE (v, n) y[v] = vec_keep_nan(vec_scale2(vec_add(y[v], vec_set1(1.0f)), t[v]), x[v]);
}

/* exp(x) for x <= 0, as vec_exp has it; y is not x. */
INLINE void vecs_exp_negative(const int n, const Vec *x, Vec *y) {
    vecs_exp_inside(n, x, y);
    VEC_EACH_SIDE (v, n) y[v] = vec_less(x[v], vec_set1(EXP_BOTTOM), vec_zero(), y[v]);
}

/* exp(x) <= 1.02 ulp on [EXP_BOTTOM, EXP_TOP] (checked for all 2^32 floats by make verify-full); 0 below, inf
 * above, NaN stays NaN; y is not x. */
INLINE void vecs_exp(const int n, const Vec *x, Vec *y) {
    vecs_exp_negative(n, x, y);
    VEC_EACH_SIDE (v, n) y[v] = vec_less(vec_set1(EXP_TOP), x[v], vec_set1(INFINITY), y[v]);
}

/* s is not x. */
INLINE void vecs_sigmoid(const int n, const Vec *x, Vec *s) {
    const Vec one = vec_set1(1.0f);
    Vec minus[VEC_SIDE];
    VEC_EACH_SIDE (v, n) minus[v] = vec_sub(vec_zero(), x[v]);
    vecs_exp(n, minus, s);
    VEC_EACH_SIDE (v, n) s[v] = vec_div(one, vec_add(one, s[v]));
}

INLINE Vec vec_exp_rest(Vec r) {
    Vec p;
    vecs_exp_rest(1, &r, &p);
    return p;
}
INLINE Vec vec_exp_negative(Vec x) {
    Vec y;
    vecs_exp_negative(1, &x, &y);
    return y;
}
INLINE Vec vec_exp(Vec x) {
    Vec y;
    vecs_exp(1, &x, &y);
    return y;
}
INLINE Vec vec_sigmoid(Vec x) {
    Vec s;
    vecs_sigmoid(1, &x, &s);
    return s;
}

/* tanh(x) = -m / (2 + m) with m = exp(-2 |x|) - 1, and x's sign; m without cancellation where |x| is small. */
INLINE Vec vec_tanh(Vec x) {
    const Vec zero = vec_zero(), two = vec_set1(2.0f), minus = vec_sub(zero, x);
    const Vec size = vec_less(x, zero, minus, x), a = vec_mul(vec_set1(-2.0f), size);
    const Vec m = vec_less(vec_set1(-0.34f), a, vec_exp_rest(a), vec_sub(vec_exp(a), vec_set1(1.0f)));
    const Vec t = vec_div(vec_sub(zero, m), vec_add(two, m));
    return vec_less(x, zero, vec_sub(zero, t), t);
}

/* log(1 + u) for 0 <= u <= 1: 2 atanh(s), s = u / (2 + u) <= 1/3, its series to s^13 (rest below 2e-8 of the result). */
INLINE Vec vec_log1p(Vec u) {
    const Vec s = vec_div(u, vec_add(vec_set1(2.0f), u)), z = vec_mul(s, s);
    Vec p = vec_set1(1.0f / 13.0f);
    p = vec_fma(p, z, vec_set1(1.0f / 11.0f));
    p = vec_fma(p, z, vec_set1(1.0f / 9.0f));
    p = vec_fma(p, z, vec_set1(1.0f / 7.0f));
    p = vec_fma(p, z, vec_set1(0.2f));
    p = vec_fma(p, z, vec_set1(1.0f / 3.0f));
    const Vec twice = vec_add(s, s);
    return vec_fma(vec_mul(twice, z), p, twice);
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); vec_softplus is x itself above 20, as the packages compute it. */
INLINE Vec vec_softplus_all(Vec x) {
    const Vec zero = vec_zero(), minus = vec_sub(zero, x), low = vec_less(x, zero, x, minus);
    return vec_add(vec_max(zero, x), vec_log1p(vec_exp(low)));
}
INLINE Vec vec_softplus(Vec x) { return vec_less(vec_set1(20.0f), x, x, vec_softplus_all(x)); }

/* The functions below take s = sigmoid(x), which callers share between value and derivatives. */
INLINE Vec vec_silu_d1(Vec x, Vec s) {
    const Vec one = vec_set1(1.0f);
    return vec_mul(s, vec_fma(x, vec_sub(one, s), one));
}

INLINE Vec vec_silu_d2(Vec x, Vec s) {
    const Vec one = vec_set1(1.0f), two = vec_set1(2.0f);
    const Vec slope = vec_fma(x, vec_fnma(two, s, one), two);
    return vec_mul(vec_mul(s, vec_sub(one, s)), slope);
}

/* 0 .. 15 */
INLINE Vec vec_index(void) {
    static const float index[VEC_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vec_load(index);
}

/* The first n lanes of x, 0 behind them. */
INLINE Vec vec_first(Vec x, int64_t n) {
    return n >= VEC_LANES ? x : vec_less(vec_index(), vec_set1((float)n), x, vec_zero());
}

/* GELU in its tanh form is x sigma(g(x)) with g(x) = 2 sqrt(2 / pi) (x + 0.044715 x^3). */
INLINE Vec vec_gelu_argument(Vec x) {
    return vec_mul(x, vec_fma(vec_set1(0.0713548163f), vec_mul(x, x), vec_set1(1.59576912f)));
}

/* out = act(x) of n vectors, SiLU or GELU, and the sigmoid in it. */
INLINE void vecs_activate(const int n, int gelu, const float *x, float *sigma, float *out) {
    Vec v[VEC_SIDE], z[VEC_SIDE], s[VEC_SIDE];
    vecs_load(n, x, VEC_LANES, v);
    VEC_EACH_SIDE (i, n) z[i] = gelu ? vec_gelu_argument(v[i]) : v[i];
    vecs_sigmoid(n, z, s);
    VEC_EACH_SIDE (i, n) {
        vec_store(sigma + i * VEC_LANES, s[i]);
        vec_store(out + i * VEC_LANES, vec_mul(v[i], s[i]));
    }
}

/* s = sigmoid(g(x)). */
INLINE Vec vec_gelu_d1(Vec x, Vec s) {
    const Vec one = vec_set1(1.0f);
    const Vec rise = vec_fma(vec_set1(0.214064449f), vec_mul(x, x), vec_set1(1.59576912f));
    return vec_mul(s, vec_fma(vec_mul(x, rise), vec_sub(one, s), one));
}

INLINE Vec vec_gelu_d2(Vec x, Vec s) {
    const Vec one = vec_set1(1.0f), two = vec_set1(2.0f);
    const Vec rise = vec_fma(vec_set1(0.214064449f), vec_mul(x, x), vec_set1(1.59576912f));
    const Vec bend = vec_fma(vec_mul(rise, rise), vec_fnma(two, s, one), vec_mul(vec_set1(0.428128898f), x));
    return vec_mul(vec_mul(s, vec_sub(one, s)), vec_fma(x, bend, vec_mul(two, rise)));
}
