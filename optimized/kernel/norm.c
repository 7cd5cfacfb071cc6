#include "kernel/norm.h"
#include "base/parallel.h"
#include "vec/rows.h"

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

static void norm_forward(const NormShape *s, const float *x, const float *gain, const float *z, float *y) {
#pragma omp parallel for schedule(static) if (parallel_threads() > 1)
    for (int64_t i = 0; i < s->rows * s->groups; i++) {
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

/* With n = (x - mean) inverse, e = dy gate(z) gain: dx = inverse (e - n mean(e n)), less inverse mean(e) where the mean is
 * taken off. */
static void norm_backward_group(const NormShape *s, const float *x, const float *gain, const float *z,
                                const float *dy, float *dx, float *dz, Moments m) {
    const Vec scale = vec_set1(m.inverse);
    Vec inner = vec_zero(), all = vec_zero();
    for (int pass = 0; pass < 2; pass++) {
        const Vec along = vec_set1(pass ? vec_sum(inner) / (float)s->width : 0.0f);
        const Vec mean = vec_set1(pass && s->centred ? vec_sum(all) / (float)s->width : 0.0f);
        FOR_VECTORS (c, s->width) {
            const int64_t lanes = vec_lanes(c, s->width);
            const Vec n = norm_value(x + c, lanes, m), g = vec_load_n(gain + c, lanes);
            const Vec d = vec_load_n(dy + c, lanes), gate = z ? vec_load_n(z + c, lanes) : vec_zero();
            const Vec sigma = z ? vec_sigmoid(gate) : vec_zero();
            const Vec e = vec_mul(z ? vec_mul(d, norm_gate(s, gate, sigma)) : d, g);
            if (!pass) {
                inner = vec_fma(e, n, inner);
                all = vec_add(all, e);
                continue;
            }
            const Vec slope = vec_sub(vec_fnma(n, along, e), mean);
            vec_store_n(dx + c, vec_fma(scale, slope, vec_load_n(dx + c, lanes)), lanes);
            if (z) {
                const Vec turn = vec_mul(vec_mul(n, g), norm_gate_slope(s, gate, sigma));
                vec_store_n(dz + c, vec_fma(d, turn, vec_load_n(dz + c, lanes)), lanes);
            }
        }
    }
}

/* dgain of 16 columns, over the rows and, where it is shared, the groups. */
static void norm_backward_gain(const NormShape *s, const float *x, const float *z, const float *dy,
                               float *dgain, const Moments *moments, int64_t group, int64_t c) {
    const int64_t lanes = vec_lanes(c, s->width), last = s->shared ? s->groups : group + 1;
    float *to = dgain + (s->shared ? 0 : group * s->width) + c;
    Vec sum = vec_load_n(to, lanes);
    for (int64_t row = 0; row < s->rows; row++)
        for (int64_t g = group; g < last; g++) {
            const int64_t i = row * s->groups + g, at = i * s->width + c;
            Vec d = vec_load_n(dy + at, lanes);
            if (z) {
                const Vec gate = vec_load_n(z + at, lanes);
                d = vec_mul(d, norm_gate(s, gate, vec_sigmoid(gate)));
            }
            sum = vec_fma(d, norm_value(x + at, lanes, moments[i]), sum);
        }
    vec_store_n(to, sum, lanes);
}

static void norm_backward(const NormShape *s, const float *x, const float *gain, const float *z,
                          const float *dy, float *dx, float *dgain, float *dz, float *workspace) {
    const int64_t vectors = (s->width + VEC_LANES - 1) / VEC_LANES, gains = s->shared ? 1 : s->groups;
    Moments *moments = (Moments *)(void *)workspace;
#pragma omp parallel if (parallel_threads() > 1)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->rows * s->groups; i++) {
            const int64_t at = i * s->width;
            moments[i] = norm_moments(s, x + at);
            norm_backward_group(s, x + at, norm_gain(s, gain, i), z ? z + at : 0, dy + at, dx + at,
                                z ? dz + at : 0, moments[i]);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (dgain ? gains * vectors : 0); i++)
            norm_backward_gain(s, x, z, dy, dgain, moments, i / vectors, i % vectors * VEC_LANES);
    }
}

const struct norm_kernel KERNEL(norm_kernel) = {norm_forward, norm_backward};
