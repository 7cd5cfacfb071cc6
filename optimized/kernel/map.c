#include "kernel/map.h"
#include "base/parallel.h"
#include "vec/rows.h"

/* What a function needs twice: s = sigmoid(x), or of gelu's argument. */
INLINE Vec map_value(MapKind kind, Vec x) {
    const Vec one = vec_set1(1.0f), zero = vec_zero();
    switch (kind) {
    case MAP_SIGMOID:
        return vec_sigmoid(x);
    case MAP_SILU:
        return vec_mul(x, vec_sigmoid(x));
    case MAP_GELU:
        return vec_mul(x, vec_sigmoid(vec_gelu_argument(x)));
    case MAP_TANH:
        return vec_tanh(x);
    case MAP_EXP:
        return vec_exp(x);
    case MAP_SOFTPLUS:
        return vec_softplus(x);
    case MAP_LOG_SIGMOID:
        return vec_sub(zero, vec_softplus_all(vec_sub(zero, x)));
    case MAP_RELU:
        return vec_max(zero, x);
    default:
        return vec_less(zero, x, vec_add(x, one), vec_exp(x));
    }
}

INLINE Vec map_slope(MapKind kind, Vec x) {
    const Vec one = vec_set1(1.0f), zero = vec_zero(), s = vec_sigmoid(x);
    switch (kind) {
    case MAP_SIGMOID:
        return vec_mul(s, vec_sub(one, s));
    case MAP_SILU:
        return vec_silu_d1(x, s);
    case MAP_GELU:
        return vec_gelu_d1(x, vec_sigmoid(vec_gelu_argument(x)));
    case MAP_TANH: {
        const Vec t = vec_tanh(x);
        return vec_fnma(t, t, one);
    }
    case MAP_EXP:
        return vec_exp(x);
    case MAP_SOFTPLUS:
        return vec_less(vec_set1(20.0f), x, one, s);
    case MAP_LOG_SIGMOID:
        return vec_sigmoid(vec_sub(zero, x));
    case MAP_RELU:
        return vec_less(zero, x, one, zero);
    default:
        return vec_less(zero, x, one, vec_exp(x));
    }
}

static void map_forward_part(ParallelPart part, MapKind kind, const float *x, float *y) {
    for (int64_t j = part.begin; j < part.end; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, part.end);
        vec_store_n(y + j, map_value(kind, vec_load_n(x + j, lanes)), lanes);
    }
}

static void map_forward(MapKind kind, int64_t n, const float *x, float *y) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, map_forward_part(part, kind, x, y));
}

static void map_backward_part(ParallelPart part, MapKind kind, const float *x, const float *dy, float *dx) {
    for (int64_t j = part.begin; j < part.end; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, part.end);
        const Vec slope = map_slope(kind, vec_load_n(x + j, lanes));
        vec_store_n(dx + j, vec_fma(vec_load_n(dy + j, lanes), slope, vec_load_n(dx + j, lanes)), lanes);
    }
}

static void map_backward(MapKind kind, int64_t n, const float *x, const float *dy, float *dx) {
    if (!dx) return;
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, map_backward_part(part, kind, x, dy, dx));
}

/* y = x b or y += x b over n numbers. */
INLINE void map_product(int64_t n, const float *x, const float *b, float *y, int add) {
    FOR_VECTORS (j, n) {
        const int64_t lanes = vec_lanes(j, n);
        const Vec p = vec_load_n(x + j, lanes), q = vec_load_n(b + j, lanes);
        vec_store_n(y + j, add ? vec_fma(p, q, vec_load_n(y + j, lanes)) : vec_mul(p, q), lanes);
    }
}

static void map_multiply_part(ParallelPart part, int64_t step, int repeated, const float *x, const float *b,
                              float *y) {
    for (int64_t i = part.begin; i < part.end; i++)
        map_product(step, x + i * step, repeated ? b : b + i * step, y + i * step, 0);
}

static void map_multiply(int64_t rows, int64_t cols, int64_t repeat, const float *x, const float *b,
                         float *y) {
    const int64_t step = repeat > 0 ? repeat : cols, parts = cols / step;
    PARALLEL_PARTS(rows_threads(rows * cols), rows * parts, 1,
                   map_multiply_part(part, step, repeat > 0, x, b, y));
}

/* db of 16 repeated columns: the sum over all of them, from the first row on. */
static void map_repeat_backward(int64_t count, int64_t repeat, const float *x, const float *dy, float *db,
                                int64_t c) {
    const int64_t lanes = vec_lanes(c, repeat);
    Vec sum = vec_load_n(db + c, lanes);
    for (int64_t i = 0; i < count; i++)
        sum = vec_fma(vec_load_n(x + i * repeat + c, lanes), vec_load_n(dy + i * repeat + c, lanes), sum);
    vec_store_n(db + c, sum, lanes);
}

static void map_repeat_backward_part(ParallelPart part, int64_t count, int64_t repeat, const float *x,
                                     const float *dy, float *db) {
    for (int64_t c = part.begin; c < part.end; c += VEC_LANES)
        map_repeat_backward(count, repeat, x, dy, db, c);
}

static void map_multiply_backward_part(ParallelPart part, int64_t step, int repeated, const float *x,
                                       const float *b, const float *dy, float *dx, float *db) {
    for (int64_t i = part.begin; i < part.end; i++) {
        if (dx) map_product(step, dy + i * step, repeated ? b : b + i * step, dx + i * step, 1);
        if (db && !repeated) map_product(step, x + i * step, dy + i * step, db + i * step, 1);
    }
}

static void map_multiply_backward(int64_t rows, int64_t cols, int64_t repeat, const float *x, const float *b,
                                  const float *dy, float *dx, float *db) {
    const int64_t step = repeat > 0 ? repeat : cols, parts = cols / step;
    const int threads = rows_threads(rows * cols);
    PARALLEL_PARTS(threads, rows * parts, 1,
                   map_multiply_backward_part(part, step, repeat > 0, x, b, dy, dx, db));
    if (db && repeat > 0)
        PARALLEL_PARTS(threads, repeat, VEC_LANES,
                       map_repeat_backward_part(part, rows * parts, repeat, x, dy, db));
}

static void map_groups_part(ParallelPart part, int64_t width, int64_t period, int divide, const float *x,
                            const float *d, float *y) {
    for (int64_t i = part.begin; i < part.end; i++) {
        const Vec by = vec_set1(d[i % period]);
        FOR_VECTORS (j, width) {
            const int64_t lanes = vec_lanes(j, width);
            const Vec v = vec_load_n(x + i * width + j, lanes);
            vec_store_n(y + i * width + j, divide ? vec_div(v, by) : vec_mul(v, by), lanes);
        }
    }
}

static void map_groups(int64_t n, int64_t width, int64_t period, int divide, const float *x, const float *d,
                       float *y) {
    PARALLEL_PARTS(rows_threads(n * width), n, 1, map_groups_part(part, width, period, divide, x, d, y));
}

/* dx of group i; what its number d gets is returned. */
INLINE float map_group_backward(int64_t width, int divide, const float *x, float d, const float *y,
                                const float *dy, float *dx) {
    const Vec by = vec_set1(d);
    Vec sum = vec_zero();
    FOR_VECTORS (j, width) {
        const int64_t lanes = vec_lanes(j, width);
        const Vec g = vec_load_n(dy + j, lanes), to = vec_load_n(dx + j, lanes);
        vec_store_n(dx + j, divide ? vec_add(to, vec_div(g, by)) : vec_fma(g, by, to), lanes);
        sum = vec_fma(g, vec_load_n((divide ? y : x) + j, lanes), sum);
    }
    return divide ? -vec_sum(sum) / d : vec_sum(sum);
}

static void map_groups_backward_part(ParallelPart part, int64_t n, int64_t width, int64_t period, int divide,
                                     const float *x, const float *d, const float *y, const float *dy,
                                     float *dx, float *dd) {
    for (int64_t p = part.begin; p < part.end; p++)
        for (int64_t i = p; i < n; i += period)
            dd[p] += map_group_backward(width, divide, x + i * width, d[p], y + i * width, dy + i * width,
                                        dx + i * width);
}

static void map_groups_backward(int64_t n, int64_t width, int64_t period, int divide, const float *x,
                                const float *d, const float *y, const float *dy, float *dx, float *dd) {
    PARALLEL_PARTS(rows_threads(n * width), period, 1,
                   map_groups_backward_part(part, n, width, period, divide, x, d, y, dy, dx, dd));
}

static void map_sum(int64_t n, int64_t width, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) {
        Vec sum = vec_zero();
        FOR_VECTORS (j, width) sum = vec_add(sum, vec_load_n(x + i * width + j, vec_lanes(j, width)));
        y[i] = vec_sum(sum);
    }
}

static void map_sum_backward(int64_t n, int64_t width, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++)
        FOR_VECTORS (j, width) {
            const int64_t lanes = vec_lanes(j, width);
            float *to = dx + i * width + j;
            vec_store_n(to, vec_add(vec_load_n(to, lanes), vec_set1(dy[i])), lanes);
        }
}

static void map_lerp_part(ParallelPart part, int64_t cols, int count, const float *x, const float *z,
                          const float *const *w, float *const *y) {
    for (int64_t i = part.begin; i < part.end; i++)
        FOR_VECTORS (j, cols) {
            const int64_t lanes = vec_lanes(j, cols), at = i * cols + j;
            const Vec from = vec_load_n(x + at, lanes), step = vec_sub(vec_load_n(z + at, lanes), from);
            for (int c = 0; c < count; c++)
                vec_store_n(y[c] + at, vec_add(from, vec_mul(step, vec_load_n(w[c] + j, lanes))), lanes);
        }
}

static void map_lerp(int64_t rows, int64_t cols, int count, const float *x, const float *z,
                     const float *const *w, float *const *y) {
    PARALLEL_PARTS(rows_threads(rows * cols), rows, 1, map_lerp_part(part, cols, count, x, z, w, y));
}

/* Sums over rows are those of a part's columns, from the first row on. */
static void map_lerp_backward_part(ParallelPart part, int64_t rows, int64_t cols, int count, const float *x,
                                   const float *z, const float *const *w, const float *const *dy, float *dx,
                                   float *dz, float *const *dw) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = part.begin; j < part.end; j += VEC_LANES) {
            const int64_t lanes = vec_lanes(j, part.end), at = i * cols + j;
            const Vec step = vec_sub(vec_load_n(z + at, lanes), vec_load_n(x + at, lanes));
            Vec to = vec_load_n(dx + at, lanes), dstep = vec_zero();
            for (int c = count - 1; c >= 0; c--) {
                const Vec g = vec_load_n(dy[c] + at, lanes);
                to = vec_add(to, g);
                dstep = vec_fma(g, vec_load_n(w[c] + j, lanes), dstep);
                vec_store_n(dw[c] + j, vec_fma(step, g, vec_load_n(dw[c] + j, lanes)), lanes);
            }
            vec_store_n(dx + at, vec_sub(to, dstep), lanes);
            vec_store_n(dz + at, vec_add(vec_load_n(dz + at, lanes), dstep), lanes);
        }
}

static void map_lerp_backward(int64_t rows, int64_t cols, int count, const float *x, const float *z,
                              const float *const *w, const float *const *dy, float *dx, float *dz,
                              float *const *dw) {
    PARALLEL_PARTS(rows_threads(rows * cols), cols, VEC_LANES,
                   map_lerp_backward_part(part, rows, cols, count, x, z, w, dy, dx, dz, dw));
}

const struct map_kernel KERNEL(map_kernel) = {
    map_forward, map_backward,     map_multiply, map_multiply_backward, map_groups, map_groups_backward,
    map_sum,     map_sum_backward, map_lerp,     map_lerp_backward};
