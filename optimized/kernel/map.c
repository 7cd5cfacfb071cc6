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

/* `call`, which reads `kind`, compiled for each function. */
#define MAP_BY_KIND(of, call)                                                                                \
    do {                                                                                                     \
        switch ((int)(of)) {                                                                                 \
            MAP_CASE(MAP_SIGMOID, call)                                                                      \
            MAP_CASE(MAP_SILU, call)                                                                         \
            MAP_CASE(MAP_GELU, call)                                                                         \
            MAP_CASE(MAP_TANH, call)                                                                         \
            MAP_CASE(MAP_EXP, call)                                                                          \
            MAP_CASE(MAP_SOFTPLUS, call)                                                                     \
            MAP_CASE(MAP_LOG_SIGMOID, call)                                                                  \
            MAP_CASE(MAP_RELU, call)                                                                         \
            MAP_CASE(MAP_ELU1, call)                                                                         \
        }                                                                                                    \
    } while (0)
#define MAP_CASE(name, call)                                                                                 \
    case name: {                                                                                             \
        const MapKind kind = name;                                                                           \
        call;                                                                                                \
        break;                                                                                               \
    }

INLINE void map_values(const MapKind kind, ParallelPart part, const float *x, float *y) {
    EACH_VECTOR(j, lanes, part.begin, part.end,
                vec_store_n(y + j, map_value(kind, vec_load_n(x + j, lanes)), lanes));
}

static void map_forward_part(ParallelPart part, MapKind of, const float *x, float *y) {
    MAP_BY_KIND(of, map_values(kind, part, x, y));
}

static void map_forward(MapKind kind, int64_t n, const float *x, float *y) {
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, map_forward_part(part, kind, x, y));
}

INLINE void map_slopes(const MapKind kind, ParallelPart part, const float *x, const float *dy, float *dx) {
    EACH_VECTOR(
        j, lanes, part.begin, part.end,
        vec_add_to(vec_load_n(dy + j, lanes), map_slope(kind, vec_load_n(x + j, lanes)), dx + j, lanes));
}

static void map_backward_part(ParallelPart part, MapKind of, const float *x, const float *dy, float *dx) {
    MAP_BY_KIND(of, map_slopes(kind, part, x, dy, dx));
}

static void map_backward(MapKind kind, int64_t n, const float *x, const float *dy, float *dx) {
    if (!dx) return;
    PARALLEL_PARTS(rows_threads(n), n, VEC_LANES, map_backward_part(part, kind, x, dy, dx));
}

/* y = x b or y += x b over n numbers. */
INLINE void map_product(int64_t n, const float *x, const float *b, float *y, const int add) {
    if (add)
        EACH_VECTOR(j, lanes, 0, n,
                    vec_add_to(vec_load_n(x + j, lanes), vec_load_n(b + j, lanes), y + j, lanes));
    else
        EACH_VECTOR(j, lanes, 0, n,
                    vec_store_n(y + j, vec_mul(vec_load_n(x + j, lanes), vec_load_n(b + j, lanes)), lanes));
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
        const float *from = x + i * width;
        float *to = y + i * width;
        if (divide)
            EACH_VECTOR(j, lanes, 0, width,
                        vec_store_n(to + j, vec_div(vec_load_n(from + j, lanes), by), lanes));
        else
            EACH_VECTOR(j, lanes, 0, width,
                        vec_store_n(to + j, vec_mul(vec_load_n(from + j, lanes), by), lanes));
    }
}

static void map_groups(int64_t n, int64_t width, int64_t period, int divide, const float *x, const float *d,
                       float *y) {
    PARALLEL_PARTS(rows_threads(n * width), n, 1, map_groups_part(part, width, period, divide, x, d, y));
}

INLINE Vec map_group_slope(int divide, const float *other, Vec by, const float *dy, float *dx, int64_t lanes,
                           Vec sum) {
    const Vec g = vec_load_n(dy, lanes), to = vec_load_n(dx, lanes);
    vec_store_n(dx, divide ? vec_add(to, vec_div(g, by)) : vec_fma(g, by, to), lanes);
    return vec_fma(g, vec_load_n(other, lanes), sum);
}

/* dx of group i; what its number d gets is returned. */
INLINE float map_group_backward(int64_t width, int divide, const float *x, float d, const float *y,
                                const float *dy, float *dx) {
    const float *other = divide ? y : x;
    Vec sum = vec_zero();
    EACH_VECTOR(j, lanes, 0, width,
                sum = map_group_slope(divide, other + j, vec_set1(d), dy + j, dx + j, lanes, sum));
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
        EACH_VECTOR(j, lanes, 0, width, sum = vec_add(sum, vec_load_n(x + i * width + j, lanes)));
        y[i] = vec_sum(sum);
    }
}

INLINE void map_add_to(float *to, Vec x, int64_t lanes) {
    vec_store_n(to, vec_add(vec_load_n(to, lanes), x), lanes);
}

static void map_sum_backward(int64_t n, int64_t width, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++) {
        const Vec slope = vec_set1(dy[i]);
        EACH_VECTOR(j, lanes, 0, width, map_add_to(dx + i * width + j, slope, lanes));
    }
}

INLINE void map_lerp_vector(const float *x, const float *z, const float *w, float *y, int64_t lanes) {
    const Vec from = vec_load_n(x, lanes), step = vec_sub(vec_load_n(z, lanes), from);
    vec_store_n(y, vec_add(from, vec_mul(step, vec_load_n(w, lanes))), lanes);
}

static void map_lerp_part(ParallelPart part, int64_t cols, int count, const float *x, const float *z,
                          const float *const *w, float *const *y) {
    for (int64_t at = part.begin * cols; at < part.end * cols; at += cols)
        for (int c = 0; c < count; c++) {
            const float *weight = w[c];
            float *to = y[c] + at;
            EACH_VECTOR(j, lanes, 0, cols,
                        map_lerp_vector(x + at + j, z + at + j, weight + j, to + j, lanes));
        }
}

static void map_lerp(int64_t rows, int64_t cols, int count, const float *x, const float *z,
                     const float *const *w, float *const *y) {
    PARALLEL_PARTS(rows_threads(rows * cols), rows, 1, map_lerp_part(part, cols, count, x, z, w, y));
}

typedef struct {
    int count;
    const float *x, *z, *const *w, *const *dy;
    float *dx, *dz, *const *dw;
} MapLerp;

/* Columns j .. of the row that begins at `row`. */
INLINE void map_lerp_slope(const MapLerp *k, int64_t row, int64_t j, int64_t lanes) {
    const int64_t at = row + j;
    const Vec step = vec_sub(vec_load_n(k->z + at, lanes), vec_load_n(k->x + at, lanes));
    Vec to = vec_load_n(k->dx + at, lanes), dstep = vec_zero();
    for (int c = k->count - 1; c >= 0; c--) {
        const Vec g = vec_load_n(k->dy[c] + at, lanes);
        to = vec_add(to, g);
        dstep = vec_fma(g, vec_load_n(k->w[c] + j, lanes), dstep);
        vec_add_to(step, g, k->dw[c] + j, lanes);
    }
    vec_store_n(k->dx + at, vec_sub(to, dstep), lanes);
    map_add_to(k->dz + at, dstep, lanes);
}

/* Sums over rows are those of a part's columns, from the first row on. */
static void map_lerp_backward_part(ParallelPart part, int64_t rows, int64_t cols, const MapLerp *k) {
    for (int64_t row = 0; row < rows * cols; row += cols)
        EACH_VECTOR(j, lanes, part.begin, part.end, map_lerp_slope(k, row, j, lanes));
}

static void map_lerp_backward(int64_t rows, int64_t cols, int count, const float *x, const float *z,
                              const float *const *w, const float *const *dy, float *dx, float *dz,
                              float *const *dw) {
    const MapLerp k = {count, x, z, w, dy, dx, dz, dw};
    PARALLEL_PARTS(rows_threads(rows * cols), cols, VEC_LANES, map_lerp_backward_part(part, rows, cols, &k));
}

const struct map_kernel KERNEL(map_kernel) = {
    map_forward, map_backward,     map_multiply, map_multiply_backward, map_groups, map_groups_backward,
    map_sum,     map_sum_backward, map_lerp,     map_lerp_backward};
