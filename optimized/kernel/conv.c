#include "kernel/conv.h"
#include "base/parallel.h"
#include "vec/rows.h"

#define L2_EPS 1e-6f
/* Taps whose weights and sums stay in registers; tokens and channels of a block that stays in the first cache; numbers of a
 * head whose convolution is kept between two passes. */
enum { CONV_TAPS = 4, CONV_RUN = 64, CONV_STRIP = 4 * VEC_LANES, CONV_HELD = 256 };

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

/* Tap j of n vectors of channels from c on, of rows that begin at `rows`. */
INLINE void conv_tap(const ConvToken k, const int n, const float *rows, int64_t j, int64_t c, int64_t lanes,
                     Vec *sum) {
    const float *row = rows + j * k.D + c, *weight = k.weight + j * k.D + c;
    VEC_EACH_SIDE (v, n)
        sum[v] = vec_fma(vec_load_n(weight + v * VEC_LANES, lanes), vec_load_n(row + v * VEC_LANES, lanes),
                         sum[v]);
}

/* n vectors of the convolution from channel c on. */
INLINE void conv_sums(const ConvToken k, const int n, int64_t c, int64_t lanes, Vec *sum) {
    VEC_EACH_SIDE (v, n) sum[v] = k.bias ? vec_load_n(k.bias + c + v * VEC_LANES, lanes) : vec_zero();
    for (int64_t j = 0; k.tail && j < k.lead; j++) conv_tap(k, n, k.tail, j, c, lanes, sum);
    for (int64_t j = k.lead; j < k.taps; j++) conv_tap(k, n, k.x + k.at, j, c, lanes, sum);
}

/* Heads whose squares, lane by lane, wait to be summed together. */
typedef struct {
    int64_t count;
    float *y[VEC_LANES], square[VEC_LANES * VEC_LANES];
} ConvHeads;

/* y /= |y| for the heads that wait. */
static void conv_normalise(ConvHeads *heads, int64_t width) {
    float inverse[VEC_LANES];
    memset(heads->square + heads->count * VEC_LANES, 0,
           (size_t)((VEC_LANES - heads->count) * VEC_LANES) * sizeof(float));
    vec_store(inverse, vec_inverse_root(vec_add(vec_sums(heads->square), vec_set1(L2_EPS))));
    for (int64_t h = 0; h < heads->count; h++) {
        float *y = heads->y[h];
        const Vec scale = vec_set1(inverse[h]);
        EACH_VECTOR(c, lanes, 0, width, vec_store_n(y + c, vec_mul(scale, vec_load_n(y + c, lanes)), lanes));
    }
    heads->count = 0;
}

INLINE Vec conv_silu(const ConvToken k, const int n, int64_t c, int64_t lanes, float *y, Vec square) {
    Vec a[VEC_SIDE], sigma[VEC_SIDE];
    conv_sums(k, n, c, lanes, a);
    vecs_sigmoid(n, a, sigma);
    VEC_EACH_SIDE (v, n) {
        const Vec u = vec_mul(a[v], sigma[v]);
        vec_store_n(y + c + v * VEC_LANES, u, lanes);
        square = vec_fma(u, u, square);
    }
    return square;
}

static void conv_forward_rows(ParallelPart part, const ConvShape *s, const float *x, const float *tail,
                              const float *weight, const float *bias, float *y) {
    const int64_t width = s->width;
    ConvHeads heads;
    heads.count = 0;
    for (int64_t row = part.begin; row < part.end; row++) {
        const ConvToken k = conv_token(s, x, tail, weight, bias, row);
        for (int64_t first = 0; first < k.D; first += width) {
            Vec square = vec_zero();
            EACH_VECTORS(c, n, lanes, first, first + width,
                         square = conv_silu(k, n, c, lanes, y + row * k.D, square));
            if (!s->l2) continue;
            heads.y[heads.count] = y + row * k.D + first;
            vec_store(heads.square + heads.count++ * VEC_LANES, square);
            if (heads.count == VEC_LANES) conv_normalise(&heads, width);
        }
    }
    conv_normalise(&heads, width);
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

/* Heads on the way back: their channels, what they read, their convolutions a (NULL where they do not fit), and lane by lane
 * the sums of u^2 and u dy, u = silu(a). */
typedef struct {
    int64_t count, first[VEC_LANES];
    ConvToken token[VEC_LANES];
    const float *dy[VEC_LANES];
    float *da[VEC_LANES], a[VEC_LANES * CONV_HELD];
    float square[VEC_LANES * VEC_LANES], inner[VEC_LANES * VEC_LANES];
} ConvBack;

typedef struct {
    Vec square, inner;
} ConvSums;

/* da keeps sigmoid(a). */
INLINE ConvSums conv_backward_sums(const ConvToken k, const int n, int64_t c, int64_t lanes, const float *dy,
                                   float *da, float *held, ConvSums sums) {
    Vec a[VEC_SIDE], sigma[VEC_SIDE];
    conv_sums(k, n, c, lanes, a);
    vecs_sigmoid(n, a, sigma);
    VEC_EACH_SIDE (v, n) {
        const int64_t at = v * VEC_LANES;
        const Vec u = vec_mul(a[v], sigma[v]);
        vec_store_n(da + at, sigma[v], lanes);
        if (held) vec_store_n(held + at, a[v], lanes);
        sums.square = vec_fma(u, u, sums.square);
        sums.inner = vec_fma(u, vec_load_n(dy + at, lanes), sums.inner);
    }
    return sums;
}

INLINE void conv_backward_silu(Vec a, const float *dy, float *da, int64_t lanes, Vec inverse, Vec along) {
    const Vec sigma = vec_load_n(da, lanes);
    const Vec du = vec_mul(inverse, vec_fnma(vec_mul(a, sigma), along, vec_load_n(dy, lanes)));
    vec_store_n(da, vec_mul(du, vec_silu_d1(a, sigma)), lanes);
}

INLINE Vec conv_backward_again(const ConvToken k, int64_t c, int64_t lanes, const float *held, int64_t at) {
    if (held) return vec_load_n(held + at, lanes);
    Vec a;
    conv_sums(k, 1, c, lanes, &a);
    return a;
}

/* dl/da of the heads that wait, a the convolution's output. */
static void conv_backward_heads(ConvBack *b, int64_t width, int l2) {
    const Vec one = vec_set1(1.0f);
    const int64_t rest = (VEC_LANES - b->count) * VEC_LANES;
    float inverse[VEC_LANES], along[VEC_LANES];
    memset(b->square + b->count * VEC_LANES, 0, (size_t)rest * sizeof(float));
    memset(b->inner + b->count * VEC_LANES, 0, (size_t)rest * sizeof(float));
    const Vec root = l2 ? vec_inverse_root(vec_add(vec_sums(b->square), vec_set1(L2_EPS))) : one;
    vec_store(inverse, root);
    vec_store(along, l2 ? vec_mul(vec_mul(vec_sums(b->inner), root), root) : vec_zero());
    for (int64_t h = 0; h < b->count; h++) {
        const ConvToken k = b->token[h];
        const float *dy = b->dy[h], *held = width <= CONV_HELD ? b->a + h * width : 0;
        float *da = b->da[h];
        const int64_t first = b->first[h];
        const Vec scale = vec_set1(inverse[h]), drop = vec_set1(along[h]);
        EACH_VECTOR(c, lanes, 0, width,
                    conv_backward_silu(conv_backward_again(k, first + c, lanes, held, c), dy + c, da + c,
                                       lanes, scale, drop));
    }
    b->count = 0;
}

/* What the adjoint of the convolution reads and adds to. */
typedef struct {
    const ConvShape *shape;
    const float *x, *tail, *weight, *da;
    float *dx, *dtail, *dweight;
} ConvAdjoint;

/* Taps from tap `first` on of the channels from c on, in registers. */
typedef struct {
    int64_t first, c;
    Vec weight[CONV_TAPS], sum[CONV_TAPS];
} ConvTaps;

/* One token, x and dx at its channels: dx gets the transposed filter, the nearest token's da first, the sums their part of the
 * correlation. da: what the first of the taps reads; the next one reads D before it. */
INLINE void conv_backward_token(ConvTaps *taps, const int count, int64_t D, int64_t lanes, const float *x,
                                const float *da, float *dx) {
    const Vec own = vec_load_n(x, lanes);
    Vec sum = vec_load_n(dx, lanes);
    for (int j = count - 1; j >= 0; j--) {
        const Vec d = vec_load_n(da - j * D, lanes);
        sum = vec_fma(taps->weight[j], d, sum);
        taps->sum[j] = vec_fma(d, own, taps->sum[j]);
    }
    vec_store_n(dx, sum, lanes);
}

/* Token t of sequence b at its beginning or end, where some taps read nothing. */
INLINE void conv_backward_edge(const ConvAdjoint *k, ConvTaps *taps, const int count, int64_t lanes,
                               int64_t b, int64_t t) {
    const ConvShape *s = k->shape;
    const int64_t D = s->heads * s->width, back = s->taps - 1, ahead = t + back - taps->first;
    const int64_t low = ahead - s->tokens + 1, high = ahead + 1;
    const float *x = conv_row(s, k->x, k->tail, b, t);
    float *tail = k->dtail ? k->dtail + (b * back + back + t) * D + taps->c : 0;
    float *dx = t >= 0 ? k->dx + (b * s->tokens + t) * D + taps->c : tail;
    for (int j = count - 1; j >= 0; j--)
        if (j >= low && j < high) {
            const float *da = k->da + (b * s->tokens + ahead - j) * D + taps->c;
            const Vec d = vec_load_n(da, lanes);
            if (dx) vec_add_to(taps->weight[j], d, dx, lanes);
            if (x) taps->sum[j] = vec_fma(d, vec_load_n(x + taps->c, lanes), taps->sum[j]);
        }
}

/* The tokens from .. to of sequence b. dweight is summed from the first token to the last. */
INLINE void conv_backward_taps(const ConvAdjoint *k, int64_t b, int64_t from, int64_t to, int64_t first,
                               const int count, int64_t c, int64_t lanes) {
    const ConvShape *s = k->shape;
    const int64_t D = s->heads * s->width, inner = s->tokens - s->taps + 1, row = b * s->tokens;
    const int64_t whole = to < inner ? to : inner, start = from > 0 ? from : 0;
    const int64_t ahead = (s->taps - 1 - first) * D;
    const float *x = k->x, *da = k->da;
    float *dx = k->dx;
    ConvTaps taps = {.first = first, .c = c};
    for (int j = 0; j < count; j++) {
        taps.sum[j] = vec_load_n(k->dweight + (first + j) * D + c, lanes);
        taps.weight[j] = vec_load_n(k->weight + (first + j) * D + c, lanes);
    }
    for (int64_t t = from; t < 0; t++) conv_backward_edge(k, &taps, count, lanes, b, t);
    for (int64_t t = start, at = (row + start) * D + c; t < whole; t++, at += D)
        conv_backward_token(&taps, count, D, lanes, x + at, da + at + ahead, dx + at);
    for (int64_t t = whole > start ? whole : start; t < to; t++)
        conv_backward_edge(k, &taps, count, lanes, b, t);
    for (int j = 0; j < count; j++) vec_store_n(k->dweight + (first + j) * D + c, taps.sum[j], lanes);
}

/* All taps, the last ones first, while what they read is in cache. */
INLINE void conv_backward_run(const ConvAdjoint *k, int64_t b, int64_t from, int64_t to, int64_t c,
                              int64_t lanes) {
    int64_t taps = k->shape->taps;
    for (; taps % CONV_TAPS; taps--) conv_backward_taps(k, b, from, to, taps - 1, 1, c, lanes);
    for (; taps; taps -= CONV_TAPS) conv_backward_taps(k, b, from, to, taps - CONV_TAPS, CONV_TAPS, c, lanes);
}

/* The channels from .. end of all tokens, and of those before them where there are. */
static void conv_backward_strip(const ConvAdjoint *k, int64_t first, int64_t end) {
    const int64_t tokens = k->shape->tokens, before = k->tail || k->dtail ? k->shape->taps - 1 : 0;
    for (int64_t b = 0; b < k->shape->batch; b++)
        for (int64_t t = 0; t < tokens; t += CONV_RUN) {
            const int64_t from = t ? t : -before, to = t + CONV_RUN < tokens ? t + CONV_RUN : tokens;
            EACH_VECTOR(c, lanes, first, end, conv_backward_run(k, b, from, to, c, lanes));
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
    const int64_t width = s->width;
    ConvBack heads;
    heads.count = 0;
    for (int64_t row = part.begin; row < part.end; row++) {
        const ConvToken k = conv_token(s, x, tail, weight, bias, row);
        for (int64_t first = 0; first < k.D; first += width) {
            const int64_t h = heads.count++;
            const float *dy_h = dy + row * k.D + first;
            float *da_h = da + row * k.D + first, *held = width <= CONV_HELD ? heads.a + h * width : 0;
            ConvSums sums = {vec_zero(), vec_zero()};
            EACH_VECTORS(c, n, lanes, 0, width,
                         sums = conv_backward_sums(k, n, first + c, lanes, dy_h + c, da_h + c,
                                                   held ? held + c : 0, sums));
            heads.token[h] = k, heads.first[h] = first, heads.dy[h] = dy_h, heads.da[h] = da_h;
            vec_store(heads.square + h * VEC_LANES, sums.square);
            vec_store(heads.inner + h * VEC_LANES, sums.inner);
            if (heads.count == VEC_LANES) conv_backward_heads(&heads, width, s->l2);
        }
    }
    conv_backward_heads(&heads, width, s->l2);
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
