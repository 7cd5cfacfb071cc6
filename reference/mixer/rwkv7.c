/* RWKV-7's time mixing as a whole layer (2503.14456). The published model mixes the first layer's values into those of
 * the others; a mixer of ours is a layer by itself, the first one, and `rwkv7_layer` has both. */
#pragma once
#include "../delta_layer.h"

/* What the layer computes before the rule, (T x C) each. */
typedef struct Rwkv7 {
    int64_t T, C, H, N;
    real *shifted, *r, *w, *k, *v, *a, *g, *kk, *b;
} Rwkv7;

/* x + (x before - x) mu: x (T x C), before (C) of the first row or NULL (zeros), mu (C). */
static void rwkv7_shift(const Rwkv7 *m, const real *x, const real *before, const real *mu) {
    for (int64_t i = 0; i < m->T * m->C; i++) {
        real previous = i >= m->C ? x[i - m->C] : before ? before[i] : R(0);
        m->shifted[i] = x[i] + (previous - x[i]) * mu[i % m->C];
    }
}

/* shifted W, into y (T x n) */
static void rwkv7_map(const Rwkv7 *m, const Call *c, Projection map, const char *shift, const char *weight,
                      int64_t n, real *y) {
    rwkv7_shift(m, in(c, "x"), in_if(c, "before"), in(c, shift));
    map(m->T, m->C, n, m->shifted, in(c, weight), y);
}

static real real_itself(real x) { return x; }

/* bias + f(shifted W_1) W_2: bias (C) or NULL, y (T x C). */
static void rwkv7_low_rank(const Rwkv7 *m, const Call *c, const char *shift, const char *name,
                           const char *rank, const real *bias, real f(real), real *y) {
    int64_t R_ = dim(c, rank);
    char first[8], second[8];
    real *narrow = R_NEW(m->T * R_);
    snprintf(first, sizeof first, "%s1", name);
    snprintf(second, sizeof second, "%s2", name);
    rwkv7_map(m, c, project_exact, shift, first, R_, narrow);
    for (int64_t i = 0; i < m->T * R_; i++) narrow[i] = f(narrow[i]);
    project_exact(m->T, R_, m->C, narrow, in(c, second), y);
    for (int64_t i = 0; bias && i < m->T * m->C; i++) y[i] = y[i] + bias[i % m->C];
    free(narrow);
}

/* kk = k k_k / max(|k k_k|, 1e-12) per head; b = kk a; k = k (1 + (a - 1) k_a). */
static void rwkv7_keys(const Rwkv7 *m, const Call *c) {
    for (int64_t head = 0; head < m->T * m->H; head++) {
        real squares = 0, *kk = m->kk + head * m->N;
        for (int64_t i = 0; i < m->N; i++) {
            kk[i] = m->k[head * m->N + i] * in(c, "k_k")[head % m->H * m->N + i];
            squares += kk[i] * kk[i];
        }
        real norm = RE(squares) > 1e-24 ? sqrt(squares) : R(1e-12);
        for (int64_t i = 0; i < m->N; i++) kk[i] = kk[i] / norm;
    }
    for (int64_t i = 0; i < m->T * m->C; i++) {
        m->b[i] = m->kk[i] * m->a[i];
        m->kk[i] = -m->kk[i];
        m->k[i] = m->k[i] * (1 + (m->a[i] - 1) * in(c, "k_a")[i % m->C]);
    }
}

/* v + (v_first - v) sigma(v0 + shifted W_1 W_2) in layers behind the first; the first one's own v is v_first. */
static void rwkv7_values(const Rwkv7 *m, const Call *c) {
    int64_t n = m->T * m->C;
    rwkv7_map(m, c, project, "shift_v", "wv", m->C, m->v);
    if (dim_or(c, "layer", 0) > 0) {
        real *mix = R_NEW(n);
        rwkv7_low_rank(m, c, "shift_v", "v", "rank_v", in(c, "v0"), real_itself, mix);
        for (int64_t i = 0; i < n; i++) m->v[i] += (in(c, "v_first")[i] - m->v[i]) * sigmoid(mix[i]);
        free(mix);
    }
    if (out_if(c, "v_first_next"))
        real_copy(n, dim(c, "layer") > 0 ? in(c, "v_first") : m->v, out(c, "v_first_next"));
}

static void rwkv7_inputs(const Rwkv7 *m, const Call *c) {
    int64_t n = m->T * m->C;
    rwkv7_map(m, c, project, "shift_r", "wr", m->C, m->r);
    rwkv7_map(m, c, project, "shift_k", "wk", m->C, m->k);
    rwkv7_values(m, c);
    rwkv7_low_rank(m, c, "shift_w", "w", "rank_w", in(c, "w0"), real_tanh, m->w);
    rwkv7_low_rank(m, c, "shift_a", "a", "rank_a", in(c, "a0"), real_itself, m->a);
    rwkv7_low_rank(m, c, "shift_g", "g", "rank_g", NULL, sigmoid, m->g);
    for (int64_t i = 0; i < n; i++) {
        m->w[i] = R(-0.606531) * sigmoid(m->w[i]);
        m->a[i] = sigmoid(m->a[i]);
    }
    rwkv7_keys(m, c);
}

/* y = (norm(y) ln_w + ln_b + (sum over the head of r k r_k) v) g: y (T x C) in place. */
static void rwkv7_output(const Rwkv7 *m, const Call *c, real *y) {
    group_norm(m->T * m->H, m->N, 1, in(c, "eps")[0], y, y);
    for (int64_t head = 0; head < m->T * m->H; head++) {
        int64_t at = head * m->N, column = head % m->H * m->N;
        real bonus = 0;
        for (int64_t i = 0; i < m->N; i++) bonus += m->r[at + i] * m->k[at + i] * in(c, "r_k")[column + i];
        for (int64_t i = 0; i < m->N; i++)
            y[at + i] =
                (y[at + i] * in(c, "ln_w")[column + i] + in(c, "ln_b")[column + i] + bonus * m->v[at + i]) *
                m->g[at + i];
    }
}

/* Every head's square state the other way round, the package's [value][key] or ours [key][value]: S (H x N x N). */
static void rwkv7_turn(int64_t H, int64_t N, real *S) {
    for (int64_t h = 0; h < H; h++)
        for (int64_t i = 0; i < N; i++)
            for (int64_t j = 0; j < i; j++) {
                real *one = &S[(h * N + i) * N + j], *other = &S[(h * N + j) * N + i], held = *one;
                *one = *other;
                *other = held;
            }
}

static void rwkv7_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), C = dim(c, "width"), H = dim(c, "heads"), N = C / H, n = T * C;
    real *all = R_NEW(9 * n), *y = R_NEW(n), *S = state_begin(c, H * N * N);
    Rwkv7 m = {T,           C,           H,           N,           all,         all + n,    all + 2 * n,
               all + 3 * n, all + 4 * n, all + 5 * n, all + 6 * n, all + 7 * n, all + 8 * n};
    rwkv7_inputs(&m, c);
    DeltaRule rule = {T, H, H, N, N, REMOVE_PAIR, N, 0, m.r, m.k, m.v, m.w, NULL, m.kk, m.b, R(1)};
    rwkv7_turn(H, N, S);
    delta_rule_run(&rule, S, y);
    rwkv7_turn(H, N, S);
    rwkv7_output(&m, c, y);
    project(T, C, C, y, in(c, "wo"), out(c, "o"));
    state_end(c, H * N * N, S);
    free(all);
    free(y);
}

#define OF_WIDTH(name, meaning)                                                                              \
    { name, NULL, "width", NUMBER, meaning }
#define SQUARE_OF(name, meaning)                                                                             \
    { name, NULL, "width width", NUMBER, meaning }
#define RANK_PAIR(first, second, rank, meaning)                                                              \
    {first, NULL, "width " rank, NUMBER, meaning ", first map"}, {                                           \
        second, NULL, rank " width", NUMBER, meaning ", second map"                                          \
    }
#define RWKV7_PARAMETERS                                                                                     \
    LAYER_X, OF_WIDTH("shift_r", "how much of the row before: receptance"),                                  \
        OF_WIDTH("shift_w", "the same: decay"), OF_WIDTH("shift_k", "the same: key"),                        \
        OF_WIDTH("shift_v", "the same: value"), OF_WIDTH("shift_a", "the same: rate"),                       \
        OF_WIDTH("shift_g", "the same: gate"), SQUARE_OF("wr", "receptance, the queries"),                   \
        SQUARE_OF("wk", "keys"), SQUARE_OF("wv", "values"), OF_WIDTH("w0", "decay, added"),                  \
        RANK_PAIR("w1", "w2", "rank_w", "decay"), OF_WIDTH("a0", "rate, added"),                             \
        RANK_PAIR("a1", "a2", "rank_a", "rate"), RANK_PAIR("g1", "g2", "rank_g", "gate"),                    \
        OF_WIDTH("k_k", "factor of the removal key"), OF_WIDTH("k_a", "how much the rate scales the key"),   \
        OF_WIDTH("r_k", "bonus of the current token"),                                                       \
        {"ln_w", NULL, "width", GAIN, "of the output's norm"}, OF_WIDTH("ln_b", "added after it"),           \
        SQUARE_OF("wo", "output map"), {                                                                     \
        "eps", NULL, "1", LIMIT, "added to the variance in the norm of the output", 64e-5                    \
    }

static int64_t head_channels(const Call *c) { return dim(c, "width") / dim(c, "heads"); }
#define RWKV7_SIZES                                                                                          \
    TOKENS, WIDTH, HEADS, SIZE("rank_w", NULL, "columns of the decay's maps"),                               \
        SIZE("rank_a", NULL, "columns of the rate's maps"),                                                  \
        SIZE("rank_g", NULL, "columns of the gate's maps"),                                                  \
        DERIVED("head_channels", NULL, head_channels, "width / heads")
static const Dimension mixer_rwkv7_dims[] = {RWKV7_SIZES, DIMENSION_END};
static const Dimension rwkv7_layer_dims[] = {RWKV7_SIZES,
                                             COUNT("rank_v", NULL, "columns of the values' maps"),
                                             COUNT("layer", NULL, "0: the first"), DIMENSION_END};
static const Argument mixer_rwkv7_in[] = {RWKV7_PARAMETERS, ARGUMENT_END};
static const Argument rwkv7_layer_in[] = {
    RWKV7_PARAMETERS,
    OF_WIDTH("v0", "mixing of values, added"),
    RANK_PAIR("v1", "v2", "rank_v", "mixing of values"),
    {"v_first", NULL, "tokens width", NUMBER, "values of the first layer"},
    OF_WIDTH("before", "the row before the first"),
    {"state0", NULL, "heads head_channels head_channels", NUMBER, "the state before, [value][key]"},
    ARGUMENT_END};
#define RWKV7_FORMULA                                                                                        \
    "x_c = x + (x before - x) shift_c; r, k, v = x_c W; w = exp(-0.606531 sigma(w0 + tanh(x_w w1) w2)),\n"   \
    "a = sigma(a0 + x_a a1 a2), g = sigma(x_g g1) g2; kk = k k_k / max(|k k_k|, 1e-12), k = k (1 + (a - 1) " \
    "k_a);\n"                                                                                                \
    "S = diag(w) S + kk a (-kk S_before)' + k v', y = norm(r S) ln_w + ln_b + (r k r_k) v, norm less the "   \
    "mean;\n"                                                                                                \
    "o = (y g) W_O"
static const Argument rwkv7_layer_out[] = {
    LAYER_O,
    {"state", NULL, "heads head_channels head_channels", NUMBER, "the state after"},
    {"v_first_next", NULL, "tokens width", NUMBER, "for the layers behind"},
    ARGUMENT_END};
static const Equation mixer_rwkv7_equations[] = {
    {"mixer_rwkv7", "RWKV-7 2503.14456, its first layer", RWKV7_FORMULA, mixer_rwkv7_dims, mixer_rwkv7_in,
     layer_out, rwkv7_layer_run, NULL},
    {"rwkv7_layer", "RWKV-7 2503.14456, any layer, with states",
     RWKV7_FORMULA ";\nlayer > 0: v = v + (v_first - v) sigma(v0 + x_v v1 v2)", rwkv7_layer_dims,
     rwkv7_layer_in, rwkv7_layer_out, rwkv7_layer_run, NULL},
    EQUATION_END};
