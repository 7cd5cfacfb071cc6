#include "kernel/norm.h"
#include "base/parallel.h"
#include "vec/rows.h"

/* Width of a group whose gates are kept between its two passes; columns whose gains are summed side by side. */
enum { NORM_HELD = 256, NORM_STRIP = 4 };

/* A group's mean (0 unless it is taken off) and 1 / sqrt(mean square + eps). */
typedef struct {
    float mean, inverse;
} Moments;

static Moments norm_moments(const NormShape *s, const float *x) {
    const float n = (float)s->width, eps = s->eps;
    Moments m = {0.0f, 0.0f};
    if (!s->centred) return (Moments){0.0f, inverse_root(flat_dot(s->width, x, x) / n + eps)};
    Vec sum = vec_zero(), square = vec_zero();
    FOR_VECTORS (c, s->width) sum = vec_add(sum, vec_load_n(x + c, vec_lanes(c, s->width)));
    m.mean = vec_sum(sum) / n;
    FOR_VECTORS (c, s->width) {
        const int64_t lanes = vec_lanes(c, s->width);
        const Vec d = vec_first(vec_sub(vec_load_n(x + c, lanes), vec_set1(m.mean)), lanes);
        square = vec_fma(d, d, square);
    }
    m.inverse = inverse_root(vec_sum(square) / n + eps);
    return m;
}

INLINE Vec norm_value(const float *x, int64_t lanes, Moments m) {
    return vec_mul(vec_sub(vec_load_n(x, lanes), vec_set1(m.mean)), vec_set1(m.inverse));
}

/* The gate's value and slope at z. */
INLINE Vec norm_gate(const NormShape *s, Vec z, Vec sigma) { return s->sigmoid ? sigma : vec_mul(z, sigma); }
INLINE Vec norm_gate_slope(const NormShape *s, Vec z, Vec sigma) {
    return s->sigmoid ? vec_mul(sigma, vec_sub(vec_set1(1.0f), sigma)) : vec_silu_d1(z, sigma);
}

static const float *norm_gain(const NormShape *s, const float *gain, int64_t i) {
    return s->shared ? gain : gain + (i % s->groups) * s->width;
}

static void norm_forward_part(ParallelPart part, const NormShape *s, const float *x, const float *gain,
                              const float *z, float *y) {
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = i * s->width;
        const float *g = norm_gain(s, gain, i);
        const Moments m = norm_moments(s, x + at);
        FOR_VECTORS (c, s->width) {
            const int64_t lanes = vec_lanes(c, s->width);
            Vec v = vec_mul(norm_value(x + at + c, lanes, m), vec_load_n(g + c, lanes));
            if (z) {
                const Vec gate = vec_load_n(z + at + c, lanes);
                v = vec_mul(v, norm_gate(s, gate, vec_sigmoid(gate)));
            }
            vec_store_n(y + at + c, v, lanes);
        }
    }
}

static void norm_forward(const NormShape *s, const float *x, const float *gain, const float *z, float *y) {
    PARALLEL_PARTS(rows_threads(s->rows * s->groups * s->width), s->rows * s->groups, 1,
                   norm_forward_part(part, s, x, gain, z, y));
}

/* Numbers of a group: x, gain, z (NULL: no gate), dy; held: sigmoid(z) in between, NULL where it does not fit. */
typedef struct {
    const NormShape *shape;
    const float *x, *gain, *z, *dy;
    float *held;
    Moments moments;
} NormGroup;

/* n = (x - mean) inverse, e = dy gate(z) gain, and what they are made of, of the vector at c. */
typedef struct {
    Vec n, e, gain, d, gate, sigma;
} NormTerms;

INLINE NormTerms norm_terms(const NormGroup *k, int64_t c, int64_t lanes, int again) {
    NormTerms t = {.n = norm_value(k->x + c, lanes, k->moments),
                   .gain = vec_load_n(k->gain + c, lanes),
                   .d = vec_load_n(k->dy + c, lanes)};
    Vec d = t.d;
    if (k->z) {
        t.gate = vec_load_n(k->z + c, lanes);
        t.sigma = again && k->held ? vec_load(k->held + c) : vec_sigmoid(t.gate);
        if (!again && k->held) vec_store(k->held + c, t.sigma);
        d = vec_mul(d, norm_gate(k->shape, t.gate, t.sigma));
    }
    t.e = vec_mul(d, t.gain);
    return t;
}

/* dx = inverse (e - n mean(e n)), less inverse mean(e) where the mean is taken off. */
static void norm_backward_group(const NormGroup *k, float *dx, float *dz) {
    const NormShape *s = k->shape;
    const Vec scale = vec_set1(k->moments.inverse);
    Vec inner = vec_zero(), all = vec_zero();
    FOR_VECTORS (c, s->width) {
        const NormTerms t = norm_terms(k, c, vec_lanes(c, s->width), 0);
        inner = vec_fma(t.e, t.n, inner);
        all = vec_add(all, t.e);
    }
    const Vec along = vec_set1(vec_sum(inner) / (float)s->width);
    const Vec mean = vec_set1(s->centred ? vec_sum(all) / (float)s->width : 0.0f);
    FOR_VECTORS (c, s->width) {
        const int64_t lanes = vec_lanes(c, s->width);
        const NormTerms t = norm_terms(k, c, lanes, 1);
        const Vec slope = vec_sub(vec_fnma(t.n, along, t.e), mean);
        vec_store_n(dx + c, vec_fma(scale, slope, vec_load_n(dx + c, lanes)), lanes);
        if (!k->z) continue;
        const Vec turn = vec_mul(vec_mul(t.n, t.gain), norm_gate_slope(s, t.gate, t.sigma));
        vec_store_n(dz + c, vec_fma(t.d, turn, vec_load_n(dz + c, lanes)), lanes);
    }
}

/* What the gains' gradients are made of, of all rows; workspace: the groups' moments. */
typedef struct {
    const NormShape *shape;
    const float *x, *z, *dy;
    Moments *moments;
    float *dgain;
} NormGains;

/* dgain of `count` vectors of columns from c on, over the rows and, where it is shared, the groups. */
INLINE void norm_backward_gain(const NormGains *k, int64_t group, int64_t c, const int count, int64_t lanes) {
    const NormShape *s = k->shape;
    const int64_t last = s->shared ? s->groups : group + 1;
    float *to = k->dgain + (s->shared ? 0 : group * s->width) + c;
    Vec sum[NORM_STRIP];
    for (int v = 0; v < count; v++) sum[v] = vec_load_n(to + v * VEC_LANES, lanes);
    for (int64_t row = 0; row < s->rows; row++)
        for (int64_t g = group; g < last; g++)
            for (int v = 0; v < count; v++) {
                const int64_t i = row * s->groups + g, at = i * s->width + c + v * VEC_LANES;
                Vec d = vec_load_n(k->dy + at, lanes);
                if (k->z) {
                    const Vec gate = vec_load_n(k->z + at, lanes);
                    d = vec_mul(d, norm_gate(s, gate, vec_sigmoid(gate)));
                }
                sum[v] = vec_fma(d, norm_value(k->x + at, lanes, k->moments[i]), sum[v]);
            }
    for (int v = 0; v < count; v++) vec_store_n(to + v * VEC_LANES, sum[v], lanes);
}

static void norm_backward_strip(const NormGains *k, int64_t group, int64_t c) {
    const int64_t width = k->shape->width;
    if (c + NORM_STRIP * VEC_LANES <= width) {
        norm_backward_gain(k, group, c, NORM_STRIP, VEC_LANES);
        return;
    }
    for (; c + VEC_LANES <= width; c += VEC_LANES) norm_backward_gain(k, group, c, 1, VEC_LANES);
    if (c < width) norm_backward_gain(k, group, c, 1, width - c);
}

static void norm_backward_rows(ParallelPart part, const NormGains *k, const float *gain, float *dx,
                               float *dz) {
    const NormShape *s = k->shape;
    float held[NORM_HELD];
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t at = i * s->width;
        k->moments[i] = norm_moments(s, k->x + at);
        const NormGroup group = {s,
                                 k->x + at,
                                 norm_gain(s, gain, i),
                                 k->z ? k->z + at : 0,
                                 k->dy + at,
                                 s->width <= NORM_HELD ? held : 0,
                                 k->moments[i]};
        norm_backward_group(&group, dx + at, k->z ? dz + at : 0);
    }
}

static void norm_backward_strips(ParallelPart part, const NormGains *k, int64_t strips) {
    for (int64_t i = part.begin; i < part.end; i++)
        norm_backward_strip(k, i / strips, i % strips * NORM_STRIP * VEC_LANES);
}

static void norm_backward(const NormShape *s, const float *x, const float *gain, const float *z,
                          const float *dy, float *dx, float *dgain, float *dz, float *workspace) {
    const int64_t step = NORM_STRIP * VEC_LANES, strips = (s->width + step - 1) / step;
    const NormGains k = {s, x, z, dy, (Moments *)(void *)workspace, dgain};
    const int threads = rows_threads(s->rows * s->groups * s->width);
    PARALLEL_PARTS(threads, s->rows * s->groups, 1, norm_backward_rows(part, &k, gain, dx, dz));
    if (dgain)
        PARALLEL_PARTS(threads, (s->shared ? 1 : s->groups) * strips, 1,
                       norm_backward_strips(part, &k, strips));
}

const struct norm_kernel KERNEL(norm_kernel) = {norm_forward, norm_backward};
