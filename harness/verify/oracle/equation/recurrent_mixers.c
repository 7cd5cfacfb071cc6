/* The relatives' mixers that carry a state, behind the reference's tensors, from their published layers. */
#include "oracle/oracle.h"
#include "oracle/layers.h"
#include "oracle/recurrence.h"

static Quad *take(const OracleCall *c, const char *name, int64_t n) { return quads_from(in(c, name), n); }

/* Sizes of a mixer of heads: rows of E numbers, H heads of V values, HK heads of K keys. */
typedef struct Sizes {
    int64_t T, E, H, HK, K, V, taps;
} Sizes;

static Sizes sizes_of(const OracleCall *c) {
    Sizes s = {.T = size(c, "tokens"), .E = size(c, "width"), .H = size(c, "heads")};
    s.K = size_or(c, "key_width", 0), s.V = size_or(c, "value_width", 0);
    s.HK = size_or(c, "key_heads", 0), s.taps = size_or(c, "taps", 0);
    if (!s.K) s.K = s.E / s.H;
    if (!s.V) s.V = s.E / s.H;
    if (!s.HK) s.HK = s.H;
    return s;
}

/* x W, [T][n]. */
static Quad *mapped(const OracleCall *c, const Sizes *s, const char *weight, int64_t n) {
    return quads_product(take(c, "x", s->T * s->E), take(c, weight, s->E * n), s->T, s->E, n);
}

/* x W1 W2, [T][n]. */
static Quad *mapped_twice(const OracleCall *c, const Sizes *s, const char *first, int64_t rank,
                          const char *second, int64_t n) {
    return quads_product(mapped(c, s, first, rank), take(c, second, rank * n), s->T, rank, n);
}

static Quad *plus(const OracleCall *c, Quad *y, int64_t rows, const char *bias, int64_t n) {
    for (int64_t i = 0; i < rows * n; i++) y[i] += in(c, bias)[i % n];
    return y;
}

/* silu(conv(x W)), [T][n]. */
static Quad *convolved(const OracleCall *c, const Sizes *s, const char *weight, const char *conv, int64_t n) {
    Quad *y = mapped(c, s, weight, n);
    if (s->taps) y = convolution(y, take(c, conv, s->taps * n), NULL, s->T, n, s->taps);
    apply_silu(y, s->T * n);
    return y;
}

static void apply(Quad *x, int64_t n, Quad (*function)(Quad)) {
    for (int64_t i = 0; i < n; i++) x[i] = function(x[i]);
}

/* y / sqrt(mean y^2 + eps) gain, for groups of `width` numbers; gains of one group, or of a whole row, repeat. */
static void apply_norm(const OracleCall *c, Quad *y, int64_t n, int64_t width, int64_t gains) {
    for (int64_t g = 0; g < n; g += width) {
        Quad mean = 0;
        for (int64_t i = g; i < g + width; i++) mean += y[i] * y[i];
        const Quad root = quad_sqrt(mean / width + in(c, "eps")[0]);
        for (int64_t i = g; i < g + width; i++) y[i] *= in(c, "gain")[i % gains] / root;
    }
}

/* y W_O from rows of `width` numbers. */
static void give(const OracleCall *c, const Sizes *s, const Quad *y, int64_t width) {
    const Quad *o = quads_product(y, take(c, "wo", width * s->E), s->T, width, s->E);
    quads_to(out(c, "o"), o, s->T * s->E);
}

/* (norm(o) gain gate) W_O with gates [T][H V] that went through their function already; NULL: none. */
static void give_gated(const OracleCall *c, const Sizes *s, Quad *o, const Quad *gate) {
    const int64_t all = s->H * s->V;
    apply_norm(c, o, s->T * all, s->V, s->V);
    for (int64_t i = 0; i < s->T * all && gate; i++) o[i] *= gate[i];
    give(c, s, o, all);
}

static Quad *silu_gate(const OracleCall *c, const Sizes *s) {
    Quad *z = mapped(c, s, "wz", s->H * s->V);
    apply_silu(z, s->T * s->H * s->V);
    return z;
}

static Heads heads_of(const Sizes *s) {
    return (Heads){.tokens = s->T,
                   .heads = s->H,
                   .key_heads = s->HK,
                   .K = s->K,
                   .V = s->V,
                   .scale = 1 / quad_sqrt(s->K)};
}

static Quad elu1(Quad a) { return a > 0 ? a + 1 : quad_exp(a); }

/* Eq 3 by its weights: those of the feature sum to one in every row. */
static void mixer_linear_attention(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const int64_t all = s.H * s.V, keys = s.H * s.K, normalised = size(c, "feature") == 0;
    Quad *q = mapped(c, &s, "wq", keys), *k = mapped(c, &s, "wk", keys), *v = mapped(c, &s, "wv", all);
    if (normalised) apply(q, s.T * keys, elu1), apply(k, s.T * keys, elu1);
    Quad *y = quads(s.T * all);
    for (int64_t row = 0; row < s.T * s.H; row++) {
        const int64_t t = row / s.H, h = row % s.H;
        Quad total = 0;
        for (int64_t j = 0; j <= t; j++) {
            Quad weight = 0;
            for (int64_t i = 0; i < s.K; i++) weight += q[row * s.K + i] * k[(j * s.H + h) * s.K + i];
            total += weight;
            for (int64_t i = 0; i < s.V; i++) y[row * s.V + i] += weight * v[(j * s.H + h) * s.V + i];
        }
        for (int64_t i = 0; i < s.V; i++) y[row * s.V + i] /= normalised ? total : quad_sqrt(s.K);
    }
    give(c, &s, y, all);
}

static void mixer_retnet(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const int64_t keys = s.H * s.K;
    int64_t *position = scratch(s.T * (int64_t)sizeof *position);
    Quad *gamma = quads(s.T * keys);
    for (int64_t t = 0; t < s.T; t++) position[t] = t;
    for (int64_t i = 0; i < s.T * keys; i++) gamma[i] = 1 - (Quad)1 / ((int64_t)32 << (i / s.K % s.H));
    Heads h = heads_of(&s);
    h.q = rotated(mapped(c, &s, "wq", keys), position, s.T, s.H, s.K);
    h.k = rotated(mapped(c, &s, "wk", keys), position, s.T, s.H, s.K);
    h.v = mapped(c, &s, "wv", s.H * s.V), h.keep = gamma;
    give_gated(c, &s, heads_read(&h, NULL), silu_gate(c, &s));
}

/* sigma(z)^(1/16): what g = log sigma(z) / 16 keeps. */
static Quad root_sigmoid(Quad z) {
    Quad r = quad_sigmoid(z);
    for (int i = 0; i < 4; i++) r = quad_sqrt(r);
    return r;
}

static void mixer_gla(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const int64_t keys = s.H * s.K, all = s.H * s.V, taps = s.taps;
    Heads h = heads_of(&s);
    h.q = taps ? convolved(c, &s, "wq", "conv_q", keys) : mapped(c, &s, "wq", keys);
    h.k = taps ? convolved(c, &s, "wk", "conv_k", keys) : mapped(c, &s, "wk", keys);
    h.v = taps ? convolved(c, &s, "wv", "conv_v", all) : mapped(c, &s, "wv", all);
    Quad *keep = plus(c, mapped_twice(c, &s, "wg1", size(c, "gate_rank"), "wg2", keys), s.T, "bg", keys);
    apply(keep, s.T * keys, root_sigmoid);
    h.keep = keep;
    give_gated(c, &s, heads_read(&h, NULL), silu_gate(c, &s));
}

/* Queries and keys of unit length and values of the delta rules, and beta = sigma(x W_b) if rated. */
static Heads delta_heads(const OracleCall *c, const Sizes *s, int rated) {
    Quad *q = convolved(c, s, "wq", "conv_q", s->HK * s->K),
         *k = convolved(c, s, "wk", "conv_k", s->HK * s->K);
    apply_l2_norm(q, s->T * s->HK, s->K), apply_l2_norm(k, s->T * s->HK, s->K);
    Heads h = heads_of(s);
    h.q = q, h.k = k, h.v = convolved(c, s, "wv", "conv_v", s->H * s->V), h.removes = REMOVES_KEY;
    if (!rated) return h;
    Quad *beta = mapped(c, s, "wb", s->H);
    apply(beta, s->T * s->H, quad_sigmoid);
    h.rate = spread(beta, s->T * s->H, 1, s->V);
    return h;
}

static void mixer_delta_net(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const Heads h = delta_heads(c, &s, 1);
    give_gated(c, &s, heads_read(&h, NULL), size(c, "output_gate") ? silu_gate(c, &s) : NULL);
}

/* exp(-exp(a_log) softplus(z)) = (1 + e^z)^-A for rows of H heads of `columns` numbers; one a_log per head. */
static Quad *kept(const OracleCall *c, const Sizes *s, Quad *z, int64_t columns) {
    for (int64_t i = 0; i < s->T * s->H * columns; i++) {
        const Quad A = quad_exp(in(c, "a_log")[i / columns % s->H]);
        z[i] = 1 / quad_exp(A * quad_softplus(z[i]));
    }
    return z;
}

static void mixer_gated_delta_net(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    Heads h = delta_heads(c, &s, 1);
    Quad *z = plus(c, mapped(c, &s, "wa", s.H), s.T, "dt_bias", s.H);
    h.keep = spread(kept(c, &s, z, 1), s.T * s.H, 1, s.K);
    give_gated(c, &s, heads_read(&h, NULL), silu_gate(c, &s));
}

static void mixer_kda(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const int64_t keys = s.H * s.K, all = s.H * s.V, rank = size(c, "gate_rank");
    Heads h = delta_heads(c, &s, 1);
    h.keep = kept(c, &s, plus(c, mapped_twice(c, &s, "wf1", rank, "wf2", keys), s.T, "dt_bias", keys), s.K);
    Quad *gate = mapped_twice(c, &s, "wz1", rank, "wz2", all);
    apply(gate, s.T * all, quad_sigmoid);
    give_gated(c, &s, heads_read(&h, NULL), gate);
}

/* x W (+ b), [T][n]. */
static Quad *affine(const OracleCall *c, const Sizes *s, const char *weight, const char *bias, int64_t n) {
    Quad *y = mapped(c, s, weight, n);
    return size(c, "bias") ? plus(c, y, s->T, bias, n) : y;
}

/* silu(conv(y) + bias), [T][n]. */
static Quad *convolved_biased(const OracleCall *c, const Sizes *s, Quad *y, const char *conv,
                              const char *bias, int64_t n) {
    if (s->taps) y = convolution(y, take(c, conv, s->taps * n), NULL, s->T, n, s->taps);
    apply_silu(plus(c, y, s->T, bias, n), s->T * n);
    return y;
}

/* As linear attention with queries C, keys B, values X, rates dt and decays exp(dt A). */
static void mixer_mamba2(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const int64_t keys = s.HK * s.K, all = s.H * s.V;
    Heads h = heads_of(&s);
    const Quad *X = convolved_biased(c, &s, affine(c, &s, "wx", "b_x", all), "conv_x", "bias_x", all);
    h.k = convolved_biased(c, &s, affine(c, &s, "wb", "b_b", keys), "conv_b", "bias_b", keys);
    h.q = convolved_biased(c, &s, affine(c, &s, "wc", "b_c", keys), "conv_c", "bias_c", keys);
    Quad *dt = plus(c, affine(c, &s, "wdt", "b_dt", s.H), s.T, "dt_bias", s.H);
    h.keep = spread(kept(c, &s, quads_rows(dt, 0, s.T, s.H), 1), s.T * s.H, 1, s.K);
    apply(dt, s.T * s.H, quad_softplus);
    h.rate = spread(dt, s.T * s.H, 1, s.V), h.v = X, h.scale = 1;
    Quad *y = heads_read(&h, NULL);
    const Quad *z = affine(c, &s, "wz", "b_z", all);
    for (int64_t i = 0; i < s.T * all; i++)
        y[i] = (y[i] + in(c, "skip")[i / s.V % s.H] * X[i]) * quad_silu(z[i]);
    apply_norm(c, y, s.T * all, all / s.HK, all);
    const Quad *o = quads_product(y, take(c, "wo", all * s.E), s.T, all, s.E);
    quads_to(out(c, "o"), size(c, "bias") ? plus(c, quads_rows(o, 0, s.T, s.E), s.T, "b_o", s.E) : o,
             s.T * s.E);
}

/* x + (x before - x) shift times a map, [T][n]. */
static Quad *shifted(const OracleCall *c, const Sizes *s, const char *shift, const char *weight, int64_t n) {
    const Quad *x = take(c, "x", s->T * s->E);
    Quad *y = quads(s->T * s->E);
    for (int64_t i = 0; i < s->T * s->E; i++) {
        const Quad mu = in(c, shift)[i % s->E], before = i < s->E ? 0 : x[i - s->E];
        y[i] = (1 - mu) * x[i] + mu * before;
    }
    return quads_product(y, take(c, weight, s->E * n), s->T, s->E, n);
}

/* w = exp(-0.606531 sigma(w0 + tanh(x_w w1) w2)), [T][D]. */
static Quad *rwkv_decays(const OracleCall *c, const Sizes *s) {
    const int64_t rank = size(c, "rank_w");
    Quad *low = shifted(c, s, "shift_w", "w1", rank);
    apply(low, s->T * rank, quad_tanh);
    Quad *w = plus(c, quads_product(low, take(c, "w2", rank * s->E), s->T, rank, s->E), s->T, "w0", s->E);
    for (int64_t i = 0; i < s->T * s->E; i++)
        w[i] = quad_exp(-constant((Quad)606531 / 1000000) * quad_sigmoid(w[i]));
    return w;
}

/* a = sigma(a0 + x_a a1 a2) and g = sigma(x_g g1) g2, [T][D]. */
static Quad *rwkv_rates(const OracleCall *c, const Sizes *s) {
    const int64_t rank = size(c, "rank_a");
    Quad *a =
        quads_product(shifted(c, s, "shift_a", "a1", rank), take(c, "a2", rank * s->E), s->T, rank, s->E);
    apply(plus(c, a, s->T, "a0", s->E), s->T * s->E, quad_sigmoid);
    return a;
}

static Quad *rwkv_gates(const OracleCall *c, const Sizes *s) {
    const int64_t rank = size(c, "rank_g");
    Quad *low = shifted(c, s, "shift_g", "g1", rank);
    apply(low, s->T * rank, quad_sigmoid);
    return quads_product(low, take(c, "g2", rank * s->E), s->T, rank, s->E);
}

/* kk: k k_k of length one in every head, or over 1e-12 where it is shorter. */
static Quad *removal_keys(const OracleCall *c, const Sizes *s, const Quad *k) {
    const Quad least = constant((Quad)1 / 1000000000000);
    Quad *kk = quads(s->T * s->E);
    for (int64_t g = 0; g < s->T * s->E; g += s->K) {
        Quad square = 0;
        for (int64_t i = g; i < g + s->K; i++) {
            kk[i] = k[i] * in(c, "k_k")[i % s->E];
            square += kk[i] * kk[i];
        }
        const Quad length = quad_sqrt(square);
        for (int64_t i = g; i < g + s->K; i++) kk[i] /= length > least ? length : least;
    }
    return kk;
}

/* A group norm of y with ln_w and ln_b, and (r k r_k) v of the same token and head. */
static void norm_and_bonus(const OracleCall *c, const Heads *h, Quad *y) {
    const int64_t K = h->K, D = h->heads * K;
    for (int64_t g = 0; g < h->tokens * D; g += K) {
        Quad mean = 0, variance = 0, bonus = 0;
        for (int64_t i = g; i < g + K; i++)
            mean += y[i] / K, bonus += h->q[i] * h->k[i] * in(c, "r_k")[i % D];
        for (int64_t i = g; i < g + K; i++) variance += (y[i] - mean) * (y[i] - mean) / K;
        for (int64_t i = g; i < g + K; i++)
            y[i] = (y[i] - mean) / quad_sqrt(variance + in(c, "eps")[0]) * in(c, "ln_w")[i % D] +
                   in(c, "ln_b")[i % D] + bonus * h->v[i];
    }
}

static void mixer_rwkv7(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const int64_t n = s.T * s.E;
    Heads h = heads_of(&s);
    Quad *k = shifted(c, &s, "shift_k", "wk", s.E), *rate = rwkv_rates(c, &s);
    Quad *from = removal_keys(c, &s, k), *to = quads(n);
    for (int64_t i = 0; i < n; i++) {
        to[i] = from[i] * rate[i];
        from[i] = -from[i];
        k[i] *= 1 + (rate[i] - 1) * in(c, "k_a")[i % s.E];
    }
    h.q = shifted(c, &s, "shift_r", "wr", s.E), h.k = k, h.v = shifted(c, &s, "shift_v", "wv", s.E);
    h.keep = rwkv_decays(c, &s), h.removes = REMOVES_PAIR, h.a = from, h.b = to, h.scale = 1;
    Quad *y = heads_read(&h, NULL);
    norm_and_bonus(c, &h, y);
    const Quad *gate = rwkv_gates(c, &s);
    for (int64_t i = 0; i < n; i++) y[i] *= gate[i];
    give(c, &s, y, s.E);
}

/* One number per head and token through sigma: sigma(x W (+ b)), [T][H]. */
static Quad *gate(const OracleCall *c, const Sizes *s, const char *weight, const char *bias) {
    Quad *z = mapped(c, s, weight, s->H);
    if (bias) plus(c, z, s->T, bias, s->H);
    apply(z, s->T * s->H, quad_sigmoid);
    return z;
}

static void mixer_momentum_delta(const OracleCall *c) {
    const Sizes s = sizes_of(c);
    const Heads all = delta_heads(c, &s, 0);
    const Quad *alpha = gate(c, &s, "wa", "ba"), *mu = gate(c, &s, "wm", "bm"),
               *eta = gate(c, &s, "we", NULL);
    Quad *one = quads(s.T), *o = quads(s.T * s.H * s.V);
    for (int64_t t = 0; t < s.T; t++) one[t] = 1;
    for (int64_t h = 0; h < s.H; h++) {
        Momentum head = {.tokens = s.T, .K = s.K, .V = s.V, .beta = one};
        head.alpha = head_of(alpha, s.T, s.H, 1, h), head.mu = head_of(mu, s.T, s.H, 1, h);
        head.eta = head_of(eta, s.T, s.H, 1, h), head.q = head_of(all.q, s.T, s.H, s.K, h);
        head.k = head.p = head_of(all.k, s.T, s.H, s.K, h), head.v = head_of(all.v, s.T, s.H, s.V, h);
        head_to(o, momentum_read(&head, NULL, NULL), s.T, s.H, s.V, h);
    }
    give_gated(c, &s, o, silu_gate(c, &s));
}

/* A block of a scan: rows of E numbers, D channels with N numbers of state each, steps from R numbers. */
typedef struct Block {
    int64_t D, N, R;
    const Quad *u, *selected; /* [T][D], [T][R + 2 N] */
    Quad *step;               /* [T][D], with its bias, before its function */
} Block;

/* Numbers [from, from + n) of every row of `width`. */
static Quad *columns(const Quad *x, int64_t rows, int64_t width, int64_t from, int64_t n) {
    Quad *y = quads(rows * n);
    for (int64_t i = 0; i < rows * n; i++) y[i] = x[i / n * width + from + i % n];
    return y;
}

static Block block_of(const OracleCall *c, const Sizes *s) {
    Block b = {.D = size(c, "inner"), .N = size(c, "state"), .R = size(c, "dt_rank")};
    if (!b.D) b.D = 2 * s->E;
    if (!b.R) b.R = (s->E + 15) / 16;
    const int64_t row = b.R + 2 * b.N;
    b.u = convolved_biased(c, s, mapped(c, s, "wx", b.D), "conv", "b_conv", b.D);
    b.selected = quads_product(b.u, take(c, "w_select", b.D * row), s->T, b.D, row);
    b.step =
        quads_product(columns(b.selected, s->T, row, 0, b.R), take(c, "w_dt", b.R * b.D), s->T, b.R, b.D);
    plus(c, b.step, s->T, "b_dt", b.D);
    return b;
}

/* Channels as heads with values of one number: what they read, skip, gate, W_O. */
static void give_block(const OracleCall *c, const Sizes *s, const Block *b, const Quad *keep, const Quad *k,
                       const Quad *q) {
    const Heads h = {.tokens = s->T,
                     .heads = b->D,
                     .key_heads = 1,
                     .K = b->N,
                     .V = 1,
                     .scale = 1,
                     .q = q,
                     .k = k,
                     .v = b->u,
                     .keep = keep,
                     .rate = b->step};
    Quad *y = heads_read(&h, NULL);
    const Quad *z = mapped(c, s, "wz", b->D);
    for (int64_t i = 0; i < s->T * b->D; i++)
        y[i] = (y[i] + in(c, "skip")[i % b->D] * b->u[i]) * quad_silu(z[i]);
    give(c, s, y, b->D);
}

static void mixer_mamba(const OracleCall *c) {
    const Sizes s = {.T = size(c, "tokens"), .E = size(c, "width"), .taps = size(c, "taps")};
    const Block b = block_of(c, &s);
    const int64_t row = b.R + 2 * b.N;
    Quad *keep = quads(s.T * b.D * b.N);
    apply(b.step, s.T * b.D, quad_softplus);
    for (int64_t i = 0; i < s.T * b.D * b.N; i++) {
        const int64_t d = i / b.N % b.D, n = i % b.N;
        keep[i] = quad_exp(-quad_exp(in(c, "a_log")[n * b.D + d]) * b.step[i / b.N]);
    }
    give_block(c, &s, &b, keep, columns(b.selected, s.T, row, b.R, b.N),
               columns(b.selected, s.T, row, b.R + b.N, b.N));
}

/* The step s solves s (1 / beta + |k|^2) = 1. */
static void mixer_longhorn(const OracleCall *c) {
    const Sizes s = {.T = size(c, "tokens"), .E = size(c, "width"), .taps = size(c, "taps")};
    const Block b = block_of(c, &s);
    const int64_t row = b.R + 2 * b.N, D = b.D, N = b.N;
    const Quad *k = columns(b.selected, s.T, row, b.R, N);
    Quad *keep = quads(s.T * D * N);
    for (int64_t i = 0; i < s.T * D; i++) {
        Quad inverse = 1 / quad_sigmoid(b.step[i]);
        for (int64_t n = 0; n < N; n++) inverse += k[i / D * N + n] * k[i / D * N + n];
        b.step[i] = 1 / inverse;
        for (int64_t n = 0; n < N; n++) keep[i * N + n] = 1 - k[i / D * N + n] * k[i / D * N + n] / inverse;
    }
    give_block(c, &s, &b, keep, k, columns(b.selected, s.T, row, b.R + N, N));
}

static const OracleEquation equations[] = {{"mixer_linear_attention", mixer_linear_attention},
                                           {"mixer_retnet", mixer_retnet},
                                           {"mixer_gla", mixer_gla},
                                           {"mixer_delta_net", mixer_delta_net},
                                           {"mixer_gated_delta_net", mixer_gated_delta_net},
                                           {"mixer_kda", mixer_kda},
                                           {"mixer_mamba2", mixer_mamba2},
                                           {"mixer_rwkv7", mixer_rwkv7},
                                           {"mixer_momentum_delta", mixer_momentum_delta},
                                           {"mixer_mamba", mixer_mamba},
                                           {"mixer_longhorn", mixer_longhorn},
                                           {0, 0}};
const OracleEquations oracle_equations_recurrent_mixers = {equations};
