#include "kernel/act.h"
#include "base/parallel.h"
#include "vec/rows.h"

enum { ACT_BLOCK = 4096 };

INLINE void act_swiglu_vectors(const int n, const float *a, const float *b, float *y, int64_t lanes) {
    Vec x[VEC_SIDE], s[VEC_SIDE];
    vecs_load(n, a, lanes, x);
    vecs_sigmoid(n, x, s);
    VEC_EACH_SIDE (v, n)
        vec_store_n(y + v * VEC_LANES, vec_mul(vec_mul(x[v], s[v]), vec_load_n(b + v * VEC_LANES, lanes)),
                    lanes);
}

static void act_swiglu_part(ParallelPart part, const float *a, const float *b, float *y) {
    EACH_VECTORS(j, n, lanes, part.begin, part.end, act_swiglu_vectors(n, a + j, b + j, y + j, lanes));
}

static void act_swiglu(int64_t n, const float *a, const float *b, float *y) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_swiglu_part(part, a, b, y));
}

INLINE void act_swiglu_adjoint(const int n, const float *a, const float *b, const float *dy, float *da,
                               float *db, int64_t lanes) {
    Vec x[VEC_SIDE], s[VEC_SIDE];
    vecs_load(n, a, lanes, x);
    vecs_sigmoid(n, x, s);
    VEC_EACH_SIDE (v, n) {
        const int64_t at = v * VEC_LANES;
        const Vec d = vec_load_n(dy + at, lanes);
        vec_add_to(d, vec_mul(vec_silu_d1(x[v], s[v]), vec_load_n(b + at, lanes)), da + at, lanes);
        vec_add_to(d, vec_mul(x[v], s[v]), db + at, lanes);
    }
}

static void act_swiglu_backward_part(ParallelPart part, const float *a, const float *b, const float *dy,
                                     float *da, float *db) {
    EACH_VECTORS(j, n, lanes, part.begin, part.end,
                 act_swiglu_adjoint(n, a + j, b + j, dy + j, da + j, db + j, lanes));
}

static void act_swiglu_backward(int64_t n, const float *a, const float *b, const float *dy, float *da,
                                float *db) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_swiglu_backward_part(part, a, b, dy, da, db));
}

INLINE void act_gate_vectors(const int n, const float *a, const float *b, float *y, int64_t lanes) {
    Vec z[VEC_SIDE], s[VEC_SIDE];
    vecs_load(n, b, lanes, z);
    vecs_sigmoid(n, z, s);
    VEC_EACH_SIDE (v, n)
        vec_store_n(y + v * VEC_LANES, vec_mul(vec_load_n(a + v * VEC_LANES, lanes), s[v]), lanes);
}

static void act_gate_part(ParallelPart part, const float *a, const float *b, float *y) {
    EACH_VECTORS(j, n, lanes, part.begin, part.end, act_gate_vectors(n, a + j, b + j, y + j, lanes));
}

static void act_gate(int64_t n, const float *a, const float *b, float *y) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_gate_part(part, a, b, y));
}

INLINE void act_gate_adjoint(const int n, const float *a, const float *b, const float *dy, float *da,
                             float *db, int64_t lanes) {
    Vec z[VEC_SIDE], s[VEC_SIDE];
    vecs_load(n, b, lanes, z);
    vecs_sigmoid(n, z, s);
    VEC_EACH_SIDE (v, n) {
        const int64_t at = v * VEC_LANES;
        const Vec d = vec_load_n(dy + at, lanes), slope = vec_mul(s[v], vec_sub(vec_set1(1.0f), s[v]));
        vec_add_to(d, s[v], da + at, lanes);
        vec_add_to(vec_mul(d, vec_load_n(a + at, lanes)), slope, db + at, lanes);
    }
}

static void act_gate_backward_part(ParallelPart part, const float *a, const float *b, const float *dy,
                                   float *da, float *db) {
    EACH_VECTORS(j, n, lanes, part.begin, part.end,
                 act_gate_adjoint(n, a + j, b + j, dy + j, da + j, db + j, lanes));
}

static void act_gate_backward(int64_t n, const float *a, const float *b, const float *dy, float *da,
                              float *db) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_gate_backward_part(part, a, b, dy, da, db));
}

INLINE void act_sum_row(int64_t n, const float *a, const float *b, float *y) {
    EACH_VECTOR(j, lanes, 0, n,
                vec_store_n(y + j, vec_add(vec_load_n(a + j, lanes), vec_load_n(b + j, lanes)), lanes));
}

static void act_add(int64_t n, const float *x, float *y) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES,
                   act_sum_row(part.end - part.begin, x + part.begin, y + part.begin, y + part.begin));
}

static void act_sum_part(ParallelPart part, int64_t cols, int repeated, const float *a, const float *b,
                         float *y) {
    for (int64_t i = part.begin; i < part.end; i++)
        act_sum_row(cols, a + i * cols, repeated ? b : b + i * cols, y + i * cols);
}

static void act_sum(int64_t rows, int64_t cols, int repeated, const float *a, const float *b, float *y) {
    PARALLEL_PARTS(rows_threads(rows * cols), rows, 1, act_sum_part(part, cols, repeated, a, b, y));
}

static void act_sum_rows_part(ParallelPart part, int64_t rows, int64_t cols, const float *x, float *y) {
    for (int64_t i = 0; i < rows; i++)
        act_sum_row(part.end - part.begin, x + i * cols + part.begin, y + part.begin, y + part.begin);
}

static void act_sum_rows(int64_t rows, int64_t cols, const float *x, float *y) {
    PARALLEL_PARTS(rows_threads(rows * cols), cols, VEC_LANES, act_sum_rows_part(part, rows, cols, x, y));
}

static double act_square_sum(int64_t n, const float *x) {
    double sum = 0.0;
    for (int64_t j = 0; j < n; j += ACT_BLOCK) {
        const int64_t count = n - j < ACT_BLOCK ? n - j : ACT_BLOCK;
        sum += (double)flat_dot(count, x + j, x + j);
    }
    return sum;
}

static void act_exp(int64_t n, const float *x, float *y) {
    EACH_VECTOR(j, lanes, 0, n, vec_store_n(y + j, vec_exp(vec_load_n(x + j, lanes)), lanes));
}

const struct act_kernel KERNEL(act_kernel) = {
    act_swiglu,   act_swiglu_backward, act_gate, act_gate_backward, act_add, act_sum,
    act_sum_rows, act_square_sum,      act_exp};
