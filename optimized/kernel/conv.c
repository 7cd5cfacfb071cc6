#include "kernel/conv.h"
#include "base/parallel.h"
#include "vec/rows.h"

#define L2_EPS 1e-6f
enum { CONV_TAPS = 4, CONV_RUN = 64 };

/* The input row `back` tokens before token t; NULL where the sequence starts with zeros. */
INLINE const float *conv_row(const ConvShape *s, const float *x, const float *tail, int64_t b, int64_t t) {
    const int64_t D = s->heads * s->width;
    if (t >= 0) return x + (b * s->tokens + t) * D;
    return tail ? tail + (b * (s->taps - 1) + s->taps - 1 + t) * D : 0;
}

INLINE Vec conv_sum(const ConvShape *s, const float *x, const float *tail, const float *weight,
                    const float *bias, int64_t b, int64_t t, int64_t c, int64_t lanes) {
    const int64_t D = s->heads * s->width;
    Vec sum = bias ? vec_load_n(bias + c, lanes) : vec_zero();
    for (int64_t j = 0; j < s->taps; j++) {
        const float *row = conv_row(s, x, tail, b, t - (s->taps - 1) + j);
        if (!row) continue;
        if (lanes == VEC_LANES)
            sum = vec_fma(vec_load(weight + j * D + c), vec_load(row + c), sum);
        else
            sum = vec_fma(vec_load_n(weight + j * D + c, lanes), vec_load_n(row + c, lanes), sum);
    }
    return sum;
}

static void conv_forward_head(const ConvShape *s, const float *x, const float *tail, const float *weight,
                              const float *bias, float *y, int64_t b, int64_t t, int64_t c0) {
    const int64_t end = c0 + s->width;
    float *out = y + (b * s->tokens + t) * s->heads * s->width;
    Vec square = vec_zero();
    for (int64_t c = c0; c < end; c += VEC_LANES) {
        const int64_t lanes = vec_lanes(c, end);
        const Vec a = conv_sum(s, x, tail, weight, bias, b, t, c, lanes), u = vec_mul(a, vec_sigmoid(a));
        square = vec_fma(u, u, square);
        vec_store_n(out + c, u, lanes);
    }
    if (!s->l2) return;
    const Vec inverse = vec_set1(inverse_root(vec_sum(square) + L2_EPS));
    for (int64_t c = c0; c < end; c += VEC_LANES) {
        const int64_t lanes = vec_lanes(c, end);
        vec_store_n(out + c, vec_mul(inverse, vec_load_n(out + c, lanes)), lanes);
    }
}

static void conv_forward(const ConvShape *s, const float *x, const float *tail, const float *weight,
                         const float *bias, float *y) {
#pragma omp parallel for schedule(static) if (parallel_threads() > 1)
    for (int64_t row = 0; row < s->batch * s->tokens; row++)
        for (int64_t h = 0; h < s->heads; h++)
            conv_forward_head(s, x, tail, weight, bias, y, row / s->tokens, row % s->tokens, h * s->width);
}

static void conv_shift(const ConvShape *s, const float *x, const float *tail, float *next_tail) {
    const int64_t D = s->heads * s->width;
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t i = 0; i < s->taps - 1; i++) {
            const float *row = conv_row(s, x, tail, b, s->tokens - (s->taps - 1) + i);
            float *to = next_tail + (b * (s->taps - 1) + i) * D;
            if (row)
                memmove(to, row, (size_t)D * sizeof(float));
            else
                memset(to, 0, (size_t)D * sizeof(float));
        }
}

/* dl/da of one head and token, a the convolution's output, which da holds in between. */
static void conv_backward_head(const ConvShape *s, const float *x, const float *tail, const float *weight,
                               const float *bias, const float *dy, float *da, int64_t b, int64_t t,
                               int64_t c0) {
    const int64_t end = c0 + s->width, row = (b * s->tokens + t) * s->heads * s->width;
    Vec square = vec_zero(), inner = vec_zero();
    for (int64_t c = c0; c < end; c += VEC_LANES) {
        const int64_t lanes = vec_lanes(c, end);
        const Vec a = conv_sum(s, x, tail, weight, bias, b, t, c, lanes);
        vec_store_n(da + row + c, a, lanes);
        if (!s->l2) continue;
        const Vec u = vec_mul(a, vec_sigmoid(a));
        square = vec_fma(u, u, square);
        inner = vec_fma(u, vec_load_n(dy + row + c, lanes), inner);
    }
    const float inverse = s->l2 ? inverse_root(vec_sum(square) + L2_EPS) : 1.0f;
    const Vec along = vec_set1(s->l2 ? vec_sum(inner) * inverse * inverse : 0.0f);
    for (int64_t c = c0; c < end; c += VEC_LANES) {
        const int64_t lanes = vec_lanes(c, end);
        const Vec a = vec_load_n(da + row + c, lanes), sigma = vec_sigmoid(a);
        const Vec du =
            vec_mul(vec_set1(inverse), vec_fnma(vec_mul(a, sigma), along, vec_load_n(dy + row + c, lanes)));
        vec_store_n(da + row + c, vec_mul(du, vec_silu_d1(a, sigma)), lanes);
    }
}

/* What a correlation reads and adds to, for 16 channels from c on of which `lanes` exist. */
typedef struct {
    const ConvShape *shape;
    const float *x, *tail, *da;
    float *dweight;
    int64_t c, lanes;
} Correlation;

/* dweight of `count` taps from j on, over the tokens from .. to of sequence b; the sums run in registers. */
INLINE void conv_correlate(const Correlation a, int64_t b, int64_t from, int64_t to, int64_t j, int count,
                           int64_t lanes) {
    const ConvShape *s = a.shape;
    const int64_t D = s->heads * s->width;
    Vec sum[CONV_TAPS];
    for (int i = 0; i < count; i++) sum[i] = vec_load_n(a.dweight + (j + i) * D + a.c, lanes);
    for (int64_t t = from; t < to; t++) {
        const Vec d = vec_load_n(a.da + (b * s->tokens + t) * D + a.c, lanes);
        for (int i = 0; i < count; i++) {
            const float *row = conv_row(s, a.x, a.tail, b, t - (s->taps - 1) + j + i);
            if (row) sum[i] = vec_fma(d, vec_load_n(row + a.c, lanes), sum[i]);
        }
    }
    for (int i = 0; i < count; i++) vec_store_n(a.dweight + (j + i) * D + a.c, sum[i], lanes);
}

/* dweight of 16 channels. Tokens come in short runs, which all taps read while they are in cache; each tap's sum still
 * goes from the first token to the last. */
static void conv_backward_weight(const Correlation a) {
    const ConvShape *s = a.shape;
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t from = 0; from < s->tokens; from += CONV_RUN) {
            const int64_t to = from + CONV_RUN < s->tokens ? from + CONV_RUN : s->tokens;
            int64_t j = 0;
            for (; j + CONV_TAPS <= s->taps && a.lanes == VEC_LANES; j += CONV_TAPS)
                conv_correlate(a, b, from, to, j, CONV_TAPS, VEC_LANES);
            for (; j < s->taps; j++) conv_correlate(a, b, from, to, j, 1, a.lanes);
        }
}

/* Adjoint of the convolution for 16 channels: dx, dtail by the transposed filter, dweight by correlation. */
static void conv_backward_channels(const ConvShape *s, const float *x, const float *tail, const float *weight,
                                   const float *da, float *dx, float *dtail, float *dweight, int64_t c) {
    const int64_t D = s->heads * s->width, lanes = vec_lanes(c, D), w = s->taps;
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t t = dtail ? 1 - w : 0; t < s->tokens; t++) {
            float *to = t >= 0 ? dx + (b * s->tokens + t) * D + c : dtail + (b * (w - 1) + w - 1 + t) * D + c;
            Vec sum = vec_load_n(to, lanes);
            for (int64_t j = w - 1; j >= 0; j--) {
                const int64_t target = t + (w - 1) - j;
                if (target < 0 || target >= s->tokens) continue;
                sum = vec_fma(vec_load_n(weight + j * D + c, lanes),
                              vec_load_n(da + (b * s->tokens + target) * D + c, lanes), sum);
            }
            vec_store_n(to, sum, lanes);
        }
    conv_backward_weight((Correlation){s, x, tail, da, dweight, c, lanes});
}

/* dbias of 16 channels: the sum over all tokens. */
static void conv_backward_bias(const ConvShape *s, const float *da, float *dbias, int64_t c) {
    const int64_t D = s->heads * s->width, lanes = vec_lanes(c, D);
    Vec sum = vec_load_n(dbias + c, lanes);
    for (int64_t row = 0; row < s->batch * s->tokens; row++)
        sum = vec_add(sum, vec_load_n(da + row * D + c, lanes));
    vec_store_n(dbias + c, sum, lanes);
}

static void conv_backward(const ConvShape *s, const float *x, const float *tail, const float *weight,
                          const float *bias, const float *dy, float *dx, float *dtail, float *dweight,
                          float *dbias, float *workspace) {
#pragma omp parallel if (parallel_threads() > 1)
    {
#pragma omp for schedule(static)
        for (int64_t row = 0; row < s->batch * s->tokens; row++)
            for (int64_t h = 0; h < s->heads; h++)
                conv_backward_head(s, x, tail, weight, bias, dy, workspace, row / s->tokens, row % s->tokens,
                                   h * s->width);
#pragma omp for schedule(static)
        for (int64_t c = 0; c < s->heads * s->width; c += VEC_LANES) {
            conv_backward_channels(s, x, tail, weight, workspace, dx, dtail, dweight, c);
            if (dbias) conv_backward_bias(s, workspace, dbias, c);
        }
    }
}

const struct conv_kernel KERNEL(conv_kernel) = {conv_forward, conv_shift, conv_backward};
