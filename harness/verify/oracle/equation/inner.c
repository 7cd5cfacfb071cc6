/* Test-time training of Sun et al., arXiv 2407.04620, from the paper and the formulas of `titans equation
 * --describe`. Gradients are forward-mode derivatives, one weight after another. */
#include "oracle/oracle.h"
#include "oracle/layers.h"

/* The model of one head: its weights w are W [dh][dh] | b [dh], or with a hidden layer W1 [dh][hidden] |
 * b1 [hidden] | W2 [hidden][dh] | b2 [dh]. Its norm: gain, bias [dh]. */
typedef struct Inner {
    int64_t dh, hidden, batch;
    int own;
    const Quad *gain, *bias;
    Quad eps, scale;
} Inner;

static int64_t weights_of(const Inner *n) {
    return n->hidden ? n->hidden * (2 * n->dh + 1) + n->dh : n->dh * (n->dh + 1);
}

static Dual *duals(int64_t count) { return scratch(count * (int64_t)sizeof(Dual)); }

static Dual *duals_of(const Quad *x, int64_t count) {
    Dual *y = duals(count);
    for (int64_t i = 0; i < count; i++) y[i] = dual(x[i]);
    return y;
}

/* x W + b: weights [in][out], and after them the bias. */
static Dual *affine(const Dual *x, const Dual *w, int64_t in, int64_t out) {
    Dual *y = duals(out);
    for (int64_t j = 0; j < out; j++) {
        y[j] = w[in * out + j];
        for (int64_t i = 0; i < in; i++) y[j] = dual_add(y[j], dual_mul(x[i], w[i * out + j]));
    }
    return y;
}

/* GELU in its tanh form: x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))). */
static Dual gelu(Dual x) {
    const Dual cube = dual_mul(dual(constant((Quad)44715 / 1000000)), dual_mul(x, dual_mul(x, x)));
    const Dual slope = dual(constant(2 * quad_sqrt(2 / quad_pi())));
    const Dual e = dual_exp(dual_sub(dual(0), dual_mul(slope, dual_add(x, cube))));
    return dual_div(x, dual_add(dual(1), e));
}

/* z(x) */
static Dual *inner_read(const Inner *n, const Dual *w, const Dual *x) {
    if (!n->hidden) return affine(x, w, n->dh, n->dh);
    Dual *a = affine(x, w, n->dh, n->hidden);
    for (int64_t i = 0; i < n->hidden; i++) a[i] = gelu(a[i]);
    return affine(a, w + n->hidden * (n->dh + 1), n->hidden, n->dh);
}

/* gain (z - mean) / sqrt(variance + eps) + bias */
static Dual *normed(const Dual *z, int64_t width, const Quad *gain, const Quad *bias, Quad eps) {
    Dual mean = dual(0), variance = dual(0), *y = duals(width);
    for (int64_t i = 0; i < width; i++) mean = dual_add(mean, dual_div(z[i], dual(width)));
    for (int64_t i = 0; i < width; i++) {
        y[i] = dual_sub(z[i], mean);
        variance = dual_add(variance, dual_div(dual_mul(y[i], y[i]), dual(width)));
    }
    const Dual root = dual_sqrt(dual_add(variance, dual(eps)));
    for (int64_t i = 0; i < width; i++)
        y[i] = dual_add(dual_mul(dual(gain[i]), dual_div(y[i], root)), dual(bias[i]));
    return y;
}

/* |LN(z(k)) - (v - k)|^2 / 2 */
static Dual inner_loss(const Inner *n, const Dual *w, const Quad *k, const Quad *v) {
    const Dual *y = normed(inner_read(n, w, duals_of(k, n->dh)), n->dh, n->gain, n->bias, n->eps);
    Dual sum = dual(0);
    for (int64_t i = 0; i < n->dh; i++) {
        const Dual e = dual_sub(y[i], dual(v[i] - k[i]));
        sum = dual_add(sum, dual_div(dual_mul(e, e), dual(2)));
    }
    return sum;
}

/* sum += rate dl/dw at the weights w */
static void add_gradient(const Inner *n, const Quad *w, const Quad *k, const Quad *v, Quad rate, Quad *sum) {
    Dual *at = duals_of(w, weights_of(n));
    for (int64_t i = 0; i < weights_of(n); i++) {
        at[i].t = 1;
        sum[i] += rate * inner_loss(n, at, k, v).t;
        at[i].t = 0;
    }
}

/* residual + LN(z(scale q)) */
static void inner_output(const Inner *n, const Quad *w, const Quad *q, Quad *o) {
    Dual *x = duals_of(q, n->dh);
    for (int64_t i = 0; i < n->dh; i++) x[i].v *= n->scale;
    const Dual *z = inner_read(n, duals_of(w, weights_of(n)), x);
    const Dual *y = normed(z, n->dh, n->gain, n->bias, n->eps);
    for (int64_t i = 0; i < n->dh; i++) o[i] = (n->own ? z[i].v : x[i].v) + y[i].v;
}

/* Tokens of one head: q, k, v, o [T][dh], reader and rate [T]; w: the weights before the first token, at the end
 * those after the last. */
typedef struct Tokens {
    int64_t T;
    const Quad *q, *k, *v, *reader, *rate;
    Quad *w, *o;
} Tokens;

static void train(const Inner *n, const Tokens *s) {
    const int64_t weights = weights_of(n), dh = n->dh;
    Quad *first = quads(weights), *sum = quads(weights);
    for (int64_t t = 0; t < s->T; t++) {
        for (int64_t i = 0; i < weights && t % n->batch == 0; i++) first[i] = s->w[i], sum[i] = 0;
        add_gradient(n, first, s->k + t * dh, s->v + t * dh, s->rate[t], sum);
        for (int64_t i = 0; i < weights; i++) s->w[i] = first[i] - s->reader[t] * sum[i];
        inner_output(n, s->w, s->q + t * dh, s->o + t * dh);
    }
}

/* The weights of head h of all heads, out of the inputs of those names, which end with NULL. */
static Quad *gathered(const OracleCall *c, const Inner *n, const char *const *names, const int64_t *sizes,
                      int64_t h) {
    Quad *w = quads(weights_of(n));
    for (int64_t at = 0; *names; at += *sizes++, names++)
        for (int64_t i = 0; i < *sizes; i++) w[at + i] = in(c, *names)[h * *sizes + i];
    return w;
}

/* And the weights afterwards to the outputs of those names. */
static void scattered(const OracleCall *c, const Quad *w, const char *const *names, const int64_t *sizes,
                      int64_t h) {
    for (; *names; w += *sizes++, names++) quads_to(out(c, *names) + h * *sizes, w, *sizes);
}

/* What a head's parts have in numbers: W, b or W1, b1, W2, b2. */
static void part_sizes(const Inner *n, int64_t *sizes) {
    sizes[0] = n->dh * (n->hidden ? n->hidden : n->dh), sizes[1] = n->hidden ? n->hidden : n->dh;
    sizes[2] = n->hidden * n->dh, sizes[3] = n->dh;
}

/* All heads of q, k, v [T][H][dh], reader and rate [T][H]: o [T][H][dh]. names, ends: of the weights. */
static Quad *trained(const OracleCall *c, Inner n, const Tokens *all, int64_t H, const char *const *names,
                     const char *const *ends) {
    const int64_t T = all->T, dh = n.dh;
    int64_t sizes[4];
    Quad *o = quads(T * H * dh);
    part_sizes(&n, sizes);
    for (int64_t h = 0; h < H; h++) {
        const Tokens s = {.T = T,
                          .q = head_of(all->q, T, H, dh, h),
                          .k = head_of(all->k, T, H, dh, h),
                          .v = head_of(all->v, T, H, dh, h),
                          .reader = head_of(all->reader, T, H, 1, h),
                          .rate = head_of(all->rate, T, H, 1, h),
                          .w = gathered(c, &n, names, sizes, h),
                          .o = quads(T * dh)};
        n.gain = quads_from(in(c, "ln_gain") + h * dh, dh),
        n.bias = quads_from(in(c, "ln_bias") + h * dh, dh);
        train(&n, &s);
        head_to(o, s.o, T, H, dh, h);
        if (ends) scattered(c, s.w, ends, sizes, h);
    }
    return o;
}

static void chunk(const OracleCall *c, int64_t hidden, const char *const *names, const char *const *ends) {
    const int64_t T = size(c, "tokens"), H = size(c, "heads"), dh = size(c, "head_width"), rows = T * H * dh;
    const Inner n = {.dh = dh,
                     .hidden = hidden,
                     .batch = size(c, "mini_batch"),
                     .own = size(c, "residual") == 1,
                     .eps = in(c, "eps")[0],
                     .scale = in(c, "scale")[0]};
    const Tokens s = {.T = T,
                      .q = quads_from(in(c, "q"), rows),
                      .k = quads_from(in(c, "k"), rows),
                      .v = quads_from(in(c, "v"), rows),
                      .reader = quads_from(in(c, "reader"), T * H),
                      .rate = quads_from(in(c, "rate"), T * H)};
    quads_to(out(c, "o"), trained(c, n, &s, H, names, ends), rows);
}

static void ttt_linear_chunk(const OracleCall *c) {
    static const char *const names[] = {"W", "b", 0}, *const ends[] = {"W_end", "b_end", 0};
    chunk(c, 0, names, ends);
}

static void ttt_mlp_chunk(const OracleCall *c) {
    static const char *const names[] = {"W1", "b1", "W2", "b2", 0};
    static const char *const ends[] = {"W1_end", "b1_end", "W2_end", "b2_end", 0};
    chunk(c, size(c, "hidden"), names, ends);
}

/* x [T][D] times the map of that name, [D][columns]. */
static Quad *mapped(const OracleCall *c, const char *name, const Quad *x, int64_t D, int64_t columns) {
    return quads_product(x, quads_from(in(c, name), D * columns), size(c, "tokens"), D, columns);
}

/* Rotary positions that begin at 0 in every mini-batch. */
static Quad *turned(const OracleCall *c, const Quad *x, int64_t H, int64_t dh) {
    const int64_t T = size(c, "tokens");
    int64_t *place = scratch(T * (int64_t)sizeof *place);
    for (int64_t t = 0; t < T; t++) place[t] = t % size(c, "mini_batch");
    return rotated(x, place, T, H, dh);
}

/* max(0, 1 / p + learn_t), p the place from 1 on, for every head: [T][H]. */
static Quad *readers(const OracleCall *c, int64_t H) {
    const int64_t T = size(c, "tokens"), batch = size(c, "mini_batch");
    Quad *y = quads(T * H);
    for (int64_t i = 0; i < T * H; i++) {
        const int64_t p = i / H % batch;
        const Quad sum = (Quad)1 / (p + 1) + in(c, "learn_t")[p];
        y[i] = sum > 0 ? sum : 0;
    }
    return y;
}

/* base_rate sigma(x w_rate + b_rate) / dh: [T][H] */
static Quad *rates(const OracleCall *c, const Quad *x, int64_t D, int64_t H) {
    Quad *y = mapped(c, "w_rate", x, D, H);
    for (int64_t i = 0; i < size(c, "tokens") * H; i++)
        y[i] = in(c, "base_rate")[0] * quad_sigmoid(y[i] + in(c, "b_rate")[i % H]) * H / D;
    return y;
}

/* The post-norm over whole rows y [T][D], then the output gate and map. */
static void finish(const OracleCall *c, const Quad *x, const Quad *y, int64_t D) {
    const int64_t T = size(c, "tokens");
    const Quad *gain = quads_from(in(c, "gain"), D), *bias = quads_from(in(c, "bias"), D);
    const Quad *gate = size(c, "output_gate") ? mapped(c, "wz", x, D, D) : NULL;
    Quad *o = quads(T * D);
    for (int64_t t = 0; t < T; t++) {
        const Dual *row = normed(duals_of(y + t * D, D), D, gain, bias, in(c, "eps")[0]);
        for (int64_t i = 0; i < D; i++) o[t * D + i] = row[i].v * (gate ? gelu(dual(gate[t * D + i])).v : 1);
    }
    quads_to(out(c, "o"), mapped(c, "wo", o, D, D), T * D);
}

static void mixer(const OracleCall *c, int64_t expansion, const char *const *names) {
    const int64_t T = size(c, "tokens"), D = size(c, "width"), H = size(c, "heads"), dh = D / H;
    const Inner n = {.dh = dh,
                     .hidden = expansion * dh,
                     .batch = size(c, "mini_batch"),
                     .eps = in(c, "eps")[0],
                     .scale = 1};
    const Quad *x = quads_from(in(c, "x"), T * D);
    const Tokens s = {.T = T,
                      .q = turned(c, mapped(c, "wq", x, D, D), H, dh),
                      .k = turned(c, mapped(c, "wk", x, D, D), H, dh),
                      .v = mapped(c, "wv", x, D, D),
                      .reader = readers(c, H),
                      .rate = rates(c, x, D, H)};
    finish(c, x, trained(c, n, &s, H, names, NULL), D);
}

static void mixer_ttt_linear(const OracleCall *c) {
    static const char *const names[] = {"w1", "b1", 0};
    mixer(c, 0, names);
}

static void mixer_ttt_mlp(const OracleCall *c) {
    static const char *const names[] = {"w1", "b1", "w2", "b2", 0};
    mixer(c, size(c, "expansion"), names);
}

static const OracleEquation equations[] = {{"ttt_linear_chunk", ttt_linear_chunk},
                                           {"ttt_mlp_chunk", ttt_mlp_chunk},
                                           {"mixer_ttt_linear", mixer_ttt_linear},
                                           {"mixer_ttt_mlp", mixer_ttt_mlp},
                                           {0, 0}};
const OracleEquations oracle_equations_inner = {equations};
