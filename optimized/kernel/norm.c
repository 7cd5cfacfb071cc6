#include "kernel/norm.h"
#include "base/parallel.h"
#include "vec/rows.h"

/* Floats of the groups that go through the passes together, at most VEC_LANES groups, and of those whose gates are kept between
 * two passes; columns whose gains are summed side by side. */
enum { NORM_BLOCK = 2048, NORM_STRIP = 4 };

typedef enum { GATE_NONE, GATE_SILU, GATE_SIGMOID } Gate;

/* `call`, which reads `gate`, compiled for each kind of gate. */
#define NORM_BY_GATE(k, call)                                                                                \
    do {                                                                                                     \
        if (!(k)->z) {                                                                                       \
            const Gate gate = GATE_NONE;                                                                     \
            call;                                                                                            \
        } else if (!(k)->shape->sigmoid) {                                                                   \
            const Gate gate = GATE_SILU;                                                                     \
            call;                                                                                            \
        } else {                                                                                             \
            const Gate gate = GATE_SIGMOID;                                                                  \
            call;                                                                                            \
        }                                                                                                    \
    } while (0)

/* n groups from group `first` of the call on, and their means, 0 unless they are taken off, and 1 / sqrt(mean square + eps). */
typedef struct {
    const NormShape *shape;
    int64_t first, n;
    const float *x, *gain, *z; /* gain: of the call */
    float *mean, *inverse;
} Norm;

/* One of these groups. Passed by value: what a store might change would be loaded again after it. */
typedef struct {
    const float *x, *gain, *z;
    Vec mean, inverse;
} NormGroup;

static int64_t norm_block(const NormShape *s) {
    const int64_t groups = NORM_BLOCK / s->width;
    return groups < 1 ? 1 : groups < VEC_LANES ? groups : VEC_LANES;
}

INLINE NormGroup norm_group(const Norm *k, int64_t g) {
    const NormShape *s = k->shape;
    const int64_t at = g * s->width, group = s->shared || s->groups == 1 ? 0 : (k->first + g) % s->groups;
    return (NormGroup){k->x + at, k->gain + group * s->width, k->z ? k->z + at : 0, vec_set1(k->mean[g]),
                       vec_set1(k->inverse[g])};
}

INLINE Vec norm_square(Vec x, Vec mean, int64_t lanes, Vec sum) {
    const Vec d = vec_first(vec_sub(x, mean), lanes);
    return vec_fma(d, d, sum);
}

static void norm_moments(const Norm *k) {
    const int64_t width = k->shape->width;
    const Vec count = vec_set1((float)width);
    float sum[VEC_LANES * VEC_LANES] = {0};
    for (int64_t g = 0; g < k->n && k->shape->centred; g++) {
        Vec all = vec_zero();
        EACH_VECTOR(c, lanes, 0, width, all = vec_add(all, vec_load_n(k->x + g * width + c, lanes)));
        vec_store(sum + g * VEC_LANES, all);
    }
    vec_store_n(k->mean, vec_div(vec_sums(sum), count), k->n);
    for (int64_t g = 0; g < k->n; g++) {
        const Vec mean = vec_set1(k->mean[g]);
        Vec square = vec_zero();
        EACH_VECTOR(c, lanes, 0, width,
                    square = norm_square(vec_load_n(k->x + g * width + c, lanes), mean, lanes, square));
        vec_store(sum + g * VEC_LANES, square);
    }
    const Vec square = vec_add(vec_div(vec_sums(sum), count), vec_set1(k->shape->eps));
    vec_store_n(k->inverse, vec_inverse_root(square), k->n);
}

/* The vector at c: (x - mean) inverse. */
INLINE Vec norm_value(const NormGroup k, int64_t c, int64_t lanes) {
    return vec_mul(vec_sub(vec_load_n(k.x + c, lanes), k.mean), k.inverse);
}

/* The gate's value and slope at z. */
INLINE Vec norm_gate(const Gate gate, Vec z, Vec sigma) {
    return gate == GATE_SIGMOID ? sigma : vec_mul(z, sigma);
}
INLINE Vec norm_gate_slope(const Gate gate, Vec z, Vec sigma) {
    return gate == GATE_SIGMOID ? vec_mul(sigma, vec_sub(vec_set1(1.0f), sigma)) : vec_silu_d1(z, sigma);
}

/* The gates of n vectors from c on, and their sigmoids. */
INLINE void norm_gates(const NormGroup k, const Gate gate, const int n, int64_t c, int64_t lanes, Vec *value,
                       Vec *sigma) {
    Vec z[VEC_SIDE];
    vecs_load(n, k.z + c, lanes, z);
    vecs_sigmoid(n, z, sigma);
    VEC_EACH_SIDE (v, n) value[v] = norm_gate(gate, z[v], sigma[v]);
}

INLINE void norm_output(const NormGroup k, const Gate gate, const int n, int64_t c, int64_t lanes, float *y) {
    Vec value[VEC_SIDE], sigma[VEC_SIDE];
    if (gate) norm_gates(k, gate, n, c, lanes, value, sigma);
    VEC_EACH_SIDE (v, n) {
        const int64_t at = c + v * VEC_LANES;
        const Vec own = vec_mul(norm_value(k, at, lanes), vec_load_n(k.gain + at, lanes));
        vec_store_n(y + at, gate ? vec_mul(own, value[v]) : own, lanes);
    }
}

INLINE void norm_outputs(const Norm *k, const Gate gate, float *y) {
    const int64_t groups = k->n, width = k->shape->width;
    for (int64_t g = 0; g < groups; g++) {
        const NormGroup group = norm_group(k, g);
        EACH_VECTORS(c, n, lanes, 0, width, norm_output(group, gate, n, c, lanes, y + g * width));
    }
}

static void norm_forward_part(ParallelPart part, const NormShape *s, const float *x, const float *gain,
                              const float *z, float *y) {
    const int64_t block = norm_block(s);
    for (int64_t first = part.begin; first < part.end; first += block) {
        float mean[VEC_LANES], inverse[VEC_LANES];
        const int64_t n = part.end - first < block ? part.end - first : block, at = first * s->width;
        const Norm k = {s, first, n, x + at, gain, z ? z + at : 0, mean, inverse};
        norm_moments(&k);
        NORM_BY_GATE(&k, norm_outputs(&k, gate, y + at));
    }
}

static void norm_forward(const NormShape *s, const float *x, const float *gain, const float *z, float *y) {
    PARALLEL_PARTS(rows_threads(s->rows * s->groups * s->width), s->rows * s->groups, 1,
                   norm_forward_part(part, s, x, gain, z, y));
}

/* The way back. gated: dy times the gate, or dy itself; sigma: sigmoid(z), NULL where it does not fit. */
typedef struct {
    Norm in;
    const float *dy, *gated;
    float *gated_to, *sigma, *dx, *dz;
} NormBack;

/* Over a group, e = gated gain and n = (x - mean) inverse. */
typedef struct {
    Vec en, e;
} NormSums;

INLINE NormSums norm_backward_sum(const NormGroup k, const Gate gate, const int n, int64_t c, int64_t lanes,
                                  const float *dy, float *gated, float *held, NormSums sums) {
    Vec value[VEC_SIDE], sigma[VEC_SIDE];
    if (gate) norm_gates(k, gate, n, c, lanes, value, sigma);
    VEC_EACH_SIDE (v, n) {
        const int64_t at = c + v * VEC_LANES;
        Vec d = vec_load_n(dy + at, lanes);
        if (gate) {
            if (held) vec_store_n(held + at, sigma[v], lanes);
            d = vec_mul(d, value[v]);
            vec_store_n(gated + at, d, lanes);
        }
        const Vec e = vec_mul(d, vec_load_n(k.gain + at, lanes));
        sums = (NormSums){vec_fma(e, norm_value(k, at, lanes), sums.en), vec_add(sums.e, e)};
    }
    return sums;
}

/* along, mean: of every group <e, n> / width, and where the mean is taken off that of e. */
INLINE void norm_backward_sums(const NormBack *b, const Gate gate, float *along, float *mean) {
    const int64_t groups = b->in.n, width = b->in.shape->width;
    float en[VEC_LANES * VEC_LANES] = {0}, e[VEC_LANES * VEC_LANES] = {0};
    for (int64_t g = 0; g < groups; g++) {
        const NormGroup group = norm_group(&b->in, g);
        const float *dy = b->dy + g * width;
        float *gated = gate ? b->gated_to + g * width : 0, *held = b->sigma ? b->sigma + g * width : 0;
        NormSums sums = {vec_zero(), vec_zero()};
        EACH_VECTORS(c, n, lanes, 0, width,
                     sums = norm_backward_sum(group, gate, n, c, lanes, dy, gated, held, sums));
        vec_store(en + g * VEC_LANES, sums.en);
        if (b->in.shape->centred) vec_store(e + g * VEC_LANES, sums.e);
    }
    vec_store(along, vec_div(vec_sums(en), vec_set1((float)width)));
    vec_store(mean, vec_div(vec_sums(e), vec_set1((float)width)));
}

/* dx = inverse (e - n along - mean) */
INLINE void norm_backward_output(const NormGroup k, const Gate gate, int64_t c, int64_t lanes, Vec along,
                                 Vec mean, const float *dy, const float *gated, const float *held, float *dx,
                                 float *dz) {
    const Vec n = norm_value(k, c, lanes), gain = vec_load_n(k.gain + c, lanes);
    const Vec e = vec_mul(vec_load_n(gated + c, lanes), gain);
    vec_add_to(k.inverse, vec_sub(vec_fnma(n, along, e), mean), dx + c, lanes);
    if (!gate) return;
    const Vec z = vec_load_n(k.z + c, lanes);
    const Vec sigma = held ? vec_load_n(held + c, lanes) : vec_sigmoid(z);
    vec_add_to(vec_load_n(dy + c, lanes), vec_mul(vec_mul(n, gain), norm_gate_slope(gate, z, sigma)), dz + c,
               lanes);
}

INLINE void norm_backward_outputs(const NormBack *b, const Gate gate, const float *along, const float *mean) {
    const int64_t n = b->in.n, width = b->in.shape->width;
    for (int64_t g = 0; g < n; g++) {
        const NormGroup group = norm_group(&b->in, g);
        const float *dy = b->dy + g * width, *gated = b->gated + g * width,
                    *held = b->sigma ? b->sigma + g * width : 0;
        float *dx = b->dx + g * width, *dz = gate ? b->dz + g * width : 0;
        const Vec along_g = vec_set1(along[g]), mean_g = vec_set1(mean[g]);
        EACH_VECTOR(c, lanes, 0, width,
                    norm_backward_output(group, gate, c, lanes, along_g, mean_g, dy, gated, held, dx, dz));
    }
}

/* The groups of a chunk of rows, whose arrays k and b have from its beginning on. */
static void norm_backward_part(ParallelPart part, const NormBack *chunk) {
    const NormShape *s = chunk->in.shape;
    const int64_t block = norm_block(s);
    float held[NORM_BLOCK], along[VEC_LANES], mean[VEC_LANES];
    for (int64_t first = part.begin; first < part.end; first += block) {
        const int64_t at = first * s->width;
        NormBack b = *chunk;
        b.in.first += first, b.in.n = part.end - first < block ? part.end - first : block;
        b.in.x += at, b.dy += at, b.in.mean += first, b.in.inverse += first;
        b.gated += at, b.dx += at, b.sigma = b.in.n * s->width <= NORM_BLOCK ? held : 0;
        if (b.in.z) b.in.z += at, b.dz += at, b.gated_to += at;
        norm_moments(&b.in);
        NORM_BY_GATE(&b.in, norm_backward_sums(&b, gate, along, mean);
                     norm_backward_outputs(&b, gate, along, mean));
    }
}

/* dgain of `count` vectors of columns from c on, over the rows of a chunk and, where it is shared, their groups. */
INLINE void norm_backward_gain(const NormBack *b, int64_t group, int64_t c, const int count, int64_t lanes,
                               float *dgain) {
    const NormShape *s = b->in.shape;
    const int64_t last = s->shared ? s->groups : group + 1;
    float *to = dgain + (s->shared ? 0 : group * s->width) + c;
    Vec sum[NORM_STRIP];
    for (int v = 0; v < count; v++) sum[v] = vec_load_n(to + v * VEC_LANES, lanes);
    for (int64_t row = 0; row < b->in.n; row += s->groups)
        for (int64_t g = row + group; g < row + last; g++) {
            const float *d = b->gated + g * s->width;
            const NormGroup k = norm_group(&b->in, g);
            for (int v = 0; v < count; v++)
                sum[v] = vec_fma(vec_load_n(d + c + v * VEC_LANES, lanes),
                                 norm_value(k, c + v * VEC_LANES, lanes), sum[v]);
        }
    for (int v = 0; v < count; v++) vec_store_n(to + v * VEC_LANES, sum[v], lanes);
}

static void norm_backward_strip(const NormBack *b, int64_t group, int64_t c, float *dgain) {
    const int64_t width = b->in.shape->width;
    if (c + NORM_STRIP * VEC_LANES <= width) {
        norm_backward_gain(b, group, c, NORM_STRIP, VEC_LANES, dgain);
        return;
    }
    for (; c + VEC_LANES <= width; c += VEC_LANES) norm_backward_gain(b, group, c, 1, VEC_LANES, dgain);
    if (c < width) norm_backward_gain(b, group, c, 1, width - c, dgain);
}

static void norm_backward_strips(ParallelPart part, const NormBack *b, int64_t strips, float *dgain) {
    for (int64_t i = part.begin; i < part.end; i++)
        norm_backward_strip(b, i / strips, i % strips * NORM_STRIP * VEC_LANES, dgain);
}

static void norm_backward(const NormShape *s, const float *x, const float *gain, const float *z,
                          const float *dy, float *dx, float *dgain, float *dz, float *workspace) {
    const int64_t step = NORM_STRIP * VEC_LANES, strips = (s->width + step - 1) / step;
    const int64_t chunk = norm_chunk(s) * s->groups, all = s->rows * s->groups;
    for (int64_t first = 0; first < all; first += chunk) {
        const int64_t n = all - first < chunk ? all - first : chunk, at = first * s->width;
        float *gated = z ? workspace + 2 * chunk : 0;
        const Norm in = {s, first, n, x + at, gain, z ? z + at : 0, workspace, workspace + chunk};
        const NormBack b = {.in = in,
                            .dy = dy + at,
                            .gated = z ? gated : dy + at,
                            .gated_to = gated,
                            .dx = dx + at,
                            .dz = z ? dz + at : 0};
        const int threads = rows_threads(n * s->width);
        PARALLEL_PARTS(threads, n, 1, norm_backward_part(part, &b));
        if (dgain)
            PARALLEL_PARTS(threads, (s->shared ? 1 : s->groups) * strips, 1,
                           norm_backward_strips(part, &b, strips, dgain));
    }
}

const struct norm_kernel KERNEL(norm_kernel) = {norm_forward, norm_backward};
