#include "kernel/norm.h"
#include "base/parallel.h"
#include "vec/rows.h"

#define RMS_EPS 1e-6f

static float norm_inverse(const float *x, int64_t width) {
    return inverse_root(flat_dot(width, x, x) / (float)width + RMS_EPS);
}

static void norm_forward(const NormShape *s, const float *x, const float *gain, const float *z, float *y) {
#pragma omp parallel for schedule(static) if (parallel_threads() > 1)
    for (int64_t i = 0; i < s->rows * s->groups; i++) {
        const int64_t at = i * s->width;
        const float *g = gain + (i % s->groups) * s->width;
        const Vec inverse = vec_set1(norm_inverse(x + at, s->width));
        for (int64_t c = 0; c < s->width; c += VEC_LANES) {
            const int64_t lanes = vec_lanes(c, s->width);
            Vec v = vec_mul(vec_mul(vec_load_n(x + at + c, lanes), inverse), vec_load_n(g + c, lanes));
            if (z) {
                const Vec gate = vec_load_n(z + at + c, lanes);
                v = vec_mul(v, vec_mul(gate, vec_sigmoid(gate)));
            }
            vec_store_n(y + at + c, v, lanes);
        }
    }
}

/* With n = x * inverse, e = dy * silu(z) * gain: dx = inverse (e - n mean(e n)). */
static void norm_backward_group(const NormShape *s, const float *x, const float *gain, const float *z,
                                const float *dy, float *dx, float *dz, float inverse) {
    const Vec scale = vec_set1(inverse);
    Vec inner = vec_zero();
    for (int pass = 0; pass < 2; pass++) {
        const Vec mean = vec_set1(pass ? vec_sum(inner) / (float)s->width : 0.0f);
        for (int64_t c = 0; c < s->width; c += VEC_LANES) {
            const int64_t lanes = vec_lanes(c, s->width);
            const Vec n = vec_mul(vec_load_n(x + c, lanes), scale), g = vec_load_n(gain + c, lanes);
            const Vec d = vec_load_n(dy + c, lanes), gate = z ? vec_load_n(z + c, lanes) : vec_zero();
            const Vec sigma = z ? vec_sigmoid(gate) : vec_zero();
            const Vec e = vec_mul(z ? vec_mul(d, vec_mul(gate, sigma)) : d, g);
            if (!pass) {
                inner = vec_fma(e, n, inner);
                continue;
            }
            vec_store_n(dx + c, vec_fma(scale, vec_fnma(n, mean, e), vec_load_n(dx + c, lanes)), lanes);
            if (z) {
                const Vec slope = vec_mul(vec_mul(n, g), vec_silu_d1(gate, sigma));
                vec_store_n(dz + c, vec_fma(d, slope, vec_load_n(dz + c, lanes)), lanes);
            }
        }
    }
}

static void norm_backward_gain(const NormShape *s, const float *x, const float *z, const float *dy,
                               float *dgain, const float *inverse, int64_t group, int64_t c) {
    const int64_t lanes = vec_lanes(c, s->width), column = group * s->width + c;
    Vec sum = vec_load_n(dgain + column, lanes);
    for (int64_t row = 0; row < s->rows; row++) {
        const int64_t at = row * s->groups * s->width + column;
        Vec d = vec_load_n(dy + at, lanes);
        if (z) {
            const Vec gate = vec_load_n(z + at, lanes);
            d = vec_mul(d, vec_mul(gate, vec_sigmoid(gate)));
        }
        sum = vec_fma(d, vec_mul(vec_load_n(x + at, lanes), vec_set1(inverse[row * s->groups + group])), sum);
    }
    vec_store_n(dgain + column, sum, lanes);
}

static void norm_backward(const NormShape *s, const float *x, const float *gain, const float *z,
                          const float *dy, float *dx, float *dgain, float *dz, float *workspace) {
    const int64_t vectors = (s->width + VEC_LANES - 1) / VEC_LANES;
#pragma omp parallel if (parallel_threads() > 1)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->rows * s->groups; i++) {
            const int64_t at = i * s->width;
            workspace[i] = norm_inverse(x + at, s->width);
            norm_backward_group(s, x + at, gain + (i % s->groups) * s->width, z ? z + at : 0, dy + at,
                                dx + at, z ? dz + at : 0, workspace[i]);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->groups * vectors; i++)
            norm_backward_gain(s, x, z, dy, dgain, workspace, i / vectors, i % vectors * VEC_LANES);
    }
}

const struct norm_kernel KERNEL(norm_kernel) = {norm_forward, norm_backward};
