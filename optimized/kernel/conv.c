#include "kernel/conv.h"
#include "base/parallel.h"
#include "vec/rows.h"

#define L2_EPS 1e-6f
/* Taps whose sums stay in registers; tokens and channels of a block that stays in the first cache. */
enum { CONV_TAPS = 4, CONV_RUN = 64, CONV_STRIP = 4 * VEC_LANES };

/* The input row `back` tokens before token t; NULL where the sequence starts with zeros. */
INLINE const float *conv_row(const ConvShape *s, const float *x, const float *tail, int64_t b, int64_t t) {
    const int64_t D = s->heads * s->width;
    if (t >= 0) return x + (b * s->tokens + t) * D;
    return tail ? tail + (b * (s->taps - 1) + s->taps - 1 + t) * D : 0;
}

/* What a token's convolution reads: tap j from tail + j D where j < lead, else from x + at + j D. */
typedef struct {
    const float *x, *tail, *weight, *bias;
    int64_t at, lead, taps, D;
} ConvToken;

INLINE ConvToken conv_token(const ConvShape *s, const float *x, const float *tail, const float *weight,
                            const float *bias, int64_t row) {
    const int64_t D = s->heads * s->width, b = row / s->tokens, t = row % s->tokens, back = s->taps - 1;
    return (ConvToken){x,
                       tail ? tail + (b * back + t) * D : 0,
                       weight,
                       bias,
                       (row - back) * D,
                       t < back ? back - t : 0,
                       s->taps,
                       D};
}

INLINE Vec conv_sum(const ConvToken *k, int64_t c, int64_t lanes) {
    Vec sum = k->bias ? vec_load_n(k->bias + c, lanes) : vec_zero();
    for (int64_t j = c; k->tail && j < c + k->lead * k->D; j += k->D)
        sum = vec_fma(vec_load_n(k->weight + j, lanes), vec_load_n(k->tail + j, lanes), sum);
    for (int64_t j = c + k->lead * k->D; j < c + k->taps * k->D; j += k->D)
        sum = vec_fma(vec_load_n(k->weight + j, lanes), vec_load_n(k->x + k->at + j, lanes), sum);
    return sum;
}

INLINE Vec conv_silu(const ConvToken *k, float *y, int64_t c, int64_t lanes, Vec square) {
    const Vec a = conv_sum(k, c, lanes), u = vec_mul(a, vec_sigmoid(a));
    vec_store_n(y + c, u, lanes);
    return vec_fma(u, u, square);
}

static void conv_forward_head(const ConvToken *k, int l2, float *y, int64_t first, int64_t end) {
    Vec square = vec_zero();
    int64_t c = first;
    for (; c + VEC_LANES <= end; c += VEC_LANES) square = conv_silu(k, y, c, VEC_LANES, square);
    if (c < end) square = conv_silu(k, y, c, end - c, square);
    if (!l2) return;
    const Vec inverse = vec_set1(inverse_root(vec_sum(square) + L2_EPS));
    for (c = first; c + VEC_LANES <= end; c += VEC_LANES) vec_store(y + c, vec_mul(inverse, vec_load(y + c)));
    if (c < end) vec_store_n(y + c, vec_mul(inverse, vec_load_n(y + c, end - c)), end - c);
}

static void conv_forward_rows(ParallelPart part, const ConvShape *s, const float *x, const float *tail,
                              const float *weight, const float *bias, float *y) {
    for (int64_t row = part.begin; row < part.end; row++) {
        const ConvToken k = conv_token(s, x, tail, weight, bias, row);
        for (int64_t h = 0; h < s->heads; h++)
            conv_forward_head(&k, s->l2, y + row * k.D, h * s->width, (h + 1) * s->width);
    }
}

static int conv_threads(const ConvShape *s) {
    return rows_threads(s->batch * s->tokens * s->heads * s->width);
}

static void conv_forward(const ConvShape *s, const float *x, const float *tail, const float *weight,
                         const float *bias, float *y) {
    PARALLEL_PARTS(conv_threads(s), s->batch * s->tokens, 1,
                   conv_forward_rows(part, s, x, tail, weight, bias, y));
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

/* Sums over a head of u^2 and u dy, u = silu(a); da keeps sigmoid(a), which costs more than a. */
typedef struct {
    Vec square, inner;
} ConvSums;

INLINE void conv_backward_sums(const ConvToken *k, const float *dy, float *da, int64_t c, int64_t lanes,
                               ConvSums *sums) {
    const Vec a = conv_sum(k, c, lanes), sigma = vec_sigmoid(a), u = vec_mul(a, sigma);
    vec_store_n(da + c, sigma, lanes);
    sums->square = vec_fma(u, u, sums->square);
    sums->inner = vec_fma(u, vec_load_n(dy + c, lanes), sums->inner);
}

INLINE void conv_backward_silu(const ConvToken *k, int l2, const float *dy, float *da, int64_t c,
                               int64_t lanes, Vec inverse, Vec along) {
    const Vec a = conv_sum(k, c, lanes), sigma = l2 ? vec_load_n(da + c, lanes) : vec_sigmoid(a);
    const Vec du = vec_mul(inverse, vec_fnma(vec_mul(a, sigma), along, vec_load_n(dy + c, lanes)));
    vec_store_n(da + c, vec_mul(du, vec_silu_d1(a, sigma)), lanes);
}

/* dl/da of one head and token, a the convolution's output. */
static void conv_backward_head(const ConvToken *k, int l2, const float *dy, float *da, int64_t first,
                               int64_t end) {
    Vec inverse = vec_set1(1.0f), along = vec_zero();
    int64_t c = first;
    if (l2) {
        ConvSums sums = {vec_zero(), vec_zero()};
        for (; c + VEC_LANES <= end; c += VEC_LANES) conv_backward_sums(k, dy, da, c, VEC_LANES, &sums);
        if (c < end) conv_backward_sums(k, dy, da, c, end - c, &sums);
        const float root = inverse_root(vec_sum(sums.square) + L2_EPS);
        inverse = vec_set1(root);
        along = vec_set1(vec_sum(sums.inner) * root * root);
    }
    for (c = first; c + VEC_LANES <= end; c += VEC_LANES)
        conv_backward_silu(k, l2, dy, da, c, VEC_LANES, inverse, along);
    if (c < end) conv_backward_silu(k, l2, dy, da, c, end - c, inverse, along);
}

/* What the adjoint of the convolution reads and adds to. */
typedef struct {
    const ConvShape *shape;
    const float *x, *tail, *weight, *da;
    float *dx, *dtail, *dweight;
} ConvAdjoint;

/* dweight of `count` taps from j on and `lanes` channels from c on, over the tokens from .. to of sequence b; the sums run in
 * registers. Each tap's sum goes from the first token to the last. */
INLINE void conv_correlate(const ConvAdjoint *k, int64_t b, int64_t from, int64_t to, int64_t j, int count,
                           int64_t c, int64_t lanes) {
    const ConvShape *s = k->shape;
    const int64_t D = s->heads * s->width;
    Vec sum[CONV_TAPS];
    for (int i = 0; i < count; i++) sum[i] = vec_load_n(k->dweight + (j + i) * D + c, lanes);
    for (int64_t t = from; t < to; t++) {
        const Vec d = vec_load_n(k->da + (b * s->tokens + t) * D + c, lanes);
        for (int i = 0; i < count; i++) {
            const float *row = conv_row(s, k->x, k->tail, b, t - (s->taps - 1) + j + i);
            if (row) sum[i] = vec_fma(d, vec_load_n(row + c, lanes), sum[i]);
        }
    }
    for (int i = 0; i < count; i++) vec_store_n(k->dweight + (j + i) * D + c, sum[i], lanes);
}

/* dx, or dtail where t < 0, of token t of sequence b: the transposed filter, the nearest token's da first. */
INLINE void conv_transpose(const ConvAdjoint *k, int64_t b, int64_t t, int64_t c, int64_t lanes) {
    const ConvShape *s = k->shape;
    const int64_t D = s->heads * s->width, back = s->taps - 1, last = s->tokens - 1;
    const int64_t least = t + back > last ? t + back - last : 0, most = t < 0 ? t + back : back;
    float *to = t >= 0 ? k->dx + (b * s->tokens + t) * D + c : k->dtail + (b * back + back + t) * D + c;
    const int64_t at = (b * s->tokens + t + back) * D + c;
    Vec sum = vec_load_n(to, lanes);
    for (int64_t j = most * D; j >= least * D; j -= D)
        sum = vec_fma(vec_load_n(k->weight + j + c, lanes), vec_load_n(k->da + at - j, lanes), sum);
    vec_store_n(to, sum, lanes);
}

/* Both for the tokens from .. to of sequence b; all taps read them while they are in cache. */
INLINE void conv_backward_run(const ConvAdjoint *k, int64_t b, int64_t from, int64_t to, int64_t c,
                              int64_t lanes) {
    const int64_t taps = k->shape->taps, first = from == 0 && k->dtail ? 1 - taps : from;
    for (int64_t t = first; t < to; t++) conv_transpose(k, b, t, c, lanes);
    int64_t j = 0;
    for (; j + CONV_TAPS <= taps && lanes == VEC_LANES; j += CONV_TAPS)
        conv_correlate(k, b, from, to, j, CONV_TAPS, c, lanes);
    for (; j < taps; j++) conv_correlate(k, b, from, to, j, 1, c, lanes);
}

/* The channels from .. end of all tokens. */
static void conv_backward_strip(const ConvAdjoint *k, int64_t first, int64_t end) {
    const int64_t tokens = k->shape->tokens;
    for (int64_t b = 0; b < k->shape->batch; b++)
        for (int64_t from = 0; from < tokens; from += CONV_RUN) {
            const int64_t to = from + CONV_RUN < tokens ? from + CONV_RUN : tokens;
            int64_t c = first;
            for (; c + VEC_LANES <= end; c += VEC_LANES) conv_backward_run(k, b, from, to, c, VEC_LANES);
            if (c < end) conv_backward_run(k, b, from, to, c, end - c);
        }
}

/* dbias of 16 channels: the sum over all tokens. */
static void conv_backward_bias(const ConvShape *s, const float *da, float *dbias, int64_t c) {
    const int64_t D = s->heads * s->width, lanes = vec_lanes(c, D);
    Vec sum = vec_load_n(dbias + c, lanes);
    for (int64_t row = 0; row < s->batch * s->tokens; row++)
        sum = vec_add(sum, vec_load_n(da + row * D + c, lanes));
    vec_store_n(dbias + c, sum, lanes);
}

static void conv_backward_rows(ParallelPart part, const ConvShape *s, const float *x, const float *tail,
                               const float *weight, const float *bias, const float *dy, float *da) {
    const int64_t D = s->heads * s->width;
    for (int64_t row = part.begin; row < part.end; row++) {
        const ConvToken token = conv_token(s, x, tail, weight, bias, row);
        for (int64_t h = 0; h < s->heads; h++)
            conv_backward_head(&token, s->l2, dy + row * D, da + row * D, h * s->width, (h + 1) * s->width);
    }
}

static void conv_backward_columns(ParallelPart part, const ConvAdjoint *k, float *dbias) {
    for (int64_t c = part.begin; c < part.end; c += CONV_STRIP)
        conv_backward_strip(k, c, c + CONV_STRIP < part.end ? c + CONV_STRIP : part.end);
    for (int64_t c = part.begin; dbias && c < part.end; c += VEC_LANES)
        conv_backward_bias(k->shape, k->da, dbias, c);
}

static void conv_backward(const ConvShape *s, const float *x, const float *tail, const float *weight,
                          const float *bias, const float *dy, float *dx, float *dtail, float *dweight,
                          float *dbias, float *workspace) {
    const ConvAdjoint k = {s, x, tail, weight, workspace, dx, dtail, dweight};
    PARALLEL_PARTS(conv_threads(s), s->batch * s->tokens, 1,
                   conv_backward_rows(part, s, x, tail, weight, bias, dy, workspace));
    PARALLEL_PARTS(conv_threads(s), s->heads * s->width, CONV_STRIP, conv_backward_columns(part, &k, dbias));
}

const struct conv_kernel KERNEL(conv_kernel) = {conv_forward, conv_shift, conv_backward};
