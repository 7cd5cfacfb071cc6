#include "kernel/act.h"
#include "base/parallel.h"
#include "vec/rows.h"

enum { ACT_BLOCK = 4096 };

static void act_swiglu_part(ParallelPart part, const float *a, const float *b, float *y) {
    for (int64_t j = part.begin; j < part.end; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, part.end);
        const Vec x = vec_load_n(a + j, lanes);
        vec_store_n(y + j, vec_mul(vec_mul(x, vec_sigmoid(x)), vec_load_n(b + j, lanes)), lanes);
    }
}

static void act_swiglu(int64_t n, const float *a, const float *b, float *y) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_swiglu_part(part, a, b, y));
}

static void act_swiglu_backward_part(ParallelPart part, const float *a, const float *b, const float *dy,
                                     float *da, float *db) {
    for (int64_t j = part.begin; j < part.end; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, part.end);
        const Vec x = vec_load_n(a + j, lanes), s = vec_sigmoid(x), d = vec_load_n(dy + j, lanes);
        const Vec slope = vec_mul(vec_silu_d1(x, s), vec_load_n(b + j, lanes));
        vec_store_n(da + j, vec_fma(d, slope, vec_load_n(da + j, lanes)), lanes);
        vec_store_n(db + j, vec_fma(d, vec_mul(x, s), vec_load_n(db + j, lanes)), lanes);
    }
}

static void act_swiglu_backward(int64_t n, const float *a, const float *b, const float *dy, float *da,
                                float *db) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_swiglu_backward_part(part, a, b, dy, da, db));
}

static void act_gate_part(ParallelPart part, const float *a, const float *b, float *y) {
    for (int64_t j = part.begin; j < part.end; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, part.end);
        vec_store_n(y + j, vec_mul(vec_load_n(a + j, lanes), vec_sigmoid(vec_load_n(b + j, lanes))), lanes);
    }
}

static void act_gate(int64_t n, const float *a, const float *b, float *y) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_gate_part(part, a, b, y));
}

static void act_gate_backward_part(ParallelPart part, const float *a, const float *b, const float *dy,
                                   float *da, float *db) {
    for (int64_t j = part.begin; j < part.end; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, part.end);
        const Vec s = vec_sigmoid(vec_load_n(b + j, lanes)), d = vec_load_n(dy + j, lanes);
        const Vec slope = vec_mul(s, vec_sub(vec_set1(1.0f), s));
        vec_store_n(da + j, vec_fma(d, s, vec_load_n(da + j, lanes)), lanes);
        vec_store_n(db + j, vec_fma(vec_mul(d, vec_load_n(a + j, lanes)), slope, vec_load_n(db + j, lanes)),
                    lanes);
    }
}

static void act_gate_backward(int64_t n, const float *a, const float *b, const float *dy, float *da,
                              float *db) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, act_gate_backward_part(part, a, b, dy, da, db));
}

static void act_add(int64_t n, const float *x, float *y) {
    FOR_VECTORS (j, n) {
        const int64_t lanes = vec_lanes(j, n);
        vec_store_n(y + j, vec_add(vec_load_n(x + j, lanes), vec_load_n(y + j, lanes)), lanes);
    }
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
    FOR_VECTORS (j, n) {
        const int64_t lanes = vec_lanes(j, n);
        vec_store_n(y + j, vec_exp(vec_load_n(x + j, lanes)), lanes);
    }
}

const struct act_kernel KERNEL(act_kernel) = {act_swiglu, act_swiglu_backward, act_gate, act_gate_backward,
                                              act_add,    act_square_sum,      act_exp};
