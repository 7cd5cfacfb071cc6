/* Performer's FAVOR+ attention (Choromanski et al. 2009.14794): exp(q.k / sqrt(dh)) as the expectation of a product of
 * positive random features. Published as in performer-pytorch, whose key maximum looks at the whole sequence;
 * and ours, causal: a running maximum for every feature, which cancels. Heads side by side; P (M x dh) for all of
 * them. */
#pragma once
#include "normals.h"
#include "titans.c"

typedef struct Favor {
    int64_t T, d, M; /* tokens, head width, features */
    int64_t relu, causal;
} Favor;

static Favor favor_at(const Call *c, int64_t d, int64_t causal) {
    Favor f = {dim(c, "tokens"), d, dim(c, "random_features"), dim(c, "kernel"), causal};
    return f;
}

/* u_tm = dh^(-1/4) a_t.p_m: a (T x dh), P (M x dh), u (T x M). */
static void favor_scores(const Favor *f, const real *a, const real *P, real *u) {
    real scale = sqrt(sqrt((real)f->d));
    for (int64_t t = 0; t < f->T; t++)
        for (int64_t m = 0; m < f->M; m++) {
            real dot = 0;
            for (int64_t i = 0; i < f->d; i++) dot += a[t * f->d + i] * P[m * f->d + i];
            u[t * f->M + m] = dot / scale;
        }
}

/* |a|^2 / 2 dh^(-1/2): half the squared length of the scaled row. */
static real favor_half_square(int64_t d, const real *a) {
    real sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * a[i];
    return sum / (2 * sqrt((real)d));
}

static real favor_largest(int64_t n, const real *x) {
    real top = x[0];
    for (int64_t i = 1; i < n; i++)
        if (RE(x[i]) > RE(top)) top = x[i];
    return top;
}

/* The package's features of the rows a (T x dh): M^(-1/2) (exp(u_tm - |a_t|^2 / 2 dh^(-1/2) - max) + 1e-4), max over
 * the row's u, or `whole` over those of all rows, held constant; or max(u_tm, 0) + 1e-3. phi (T x M). */
static void favor_features(const Favor *f, int whole, const real *a, const real *P, real *phi) {
    int64_t M = f->M;
    favor_scores(f, a, P, phi);
    real all = real_constant(favor_largest(f->T * M, phi));
    for (int64_t t = 0; t < f->T; t++) {
        real *row = phi + t * M, top = whole ? all : real_constant(favor_largest(M, row));
        real half = favor_half_square(f->d, a + t * f->d);
        for (int64_t m = 0; m < M; m++) {
            if (f->relu)
                row[m] = (RE(row[m]) > 0 ? row[m] : R(0)) + R(1e-3);
            else
                row[m] = (exp(row[m] - half - top) + R(1e-4)) / sqrt((real)M);
        }
    }
}

/* o_t = sum_s phi(q_t).phi(k_s) v_s / phi(q_t).(sum_s phi(k_s) + eps): s <= t and eps = 1e-6 for every feature if
 * causal, else all s and none. qf, kf (T x M), v, o (T x dh). */
static void favor_read(const Favor *f, const real *qf, const real *kf, const real *v, real *o) {
    int64_t M = f->M;
    for (int64_t t = 0; t < f->T; t++) {
        real total = 0;
        for (int64_t m = 0; m < M && f->causal; m++) total += qf[t * M + m] * R(1e-6);
        for (int64_t i = 0; i < f->d; i++) o[t * f->d + i] = 0;
        for (int64_t s = 0; s < (f->causal ? t + 1 : f->T); s++) {
            real weight = 0;
            for (int64_t m = 0; m < M; m++) weight += qf[t * M + m] * kf[s * M + m];
            total += weight;
            for (int64_t i = 0; i < f->d; i++) o[t * f->d + i] += weight * v[s * f->d + i];
        }
        for (int64_t i = 0; i < f->d; i++) o[t * f->d + i] = o[t * f->d + i] / total;
    }
}

/* One head as published: q, k, v, o (T x dh). */
static void favor_published(const Favor *f, const real *q, const real *k, const real *v, const real *P,
                            real *o) {
    real *qf = R_NEW(f->T * f->M), *kf = R_NEW(f->T * f->M);
    favor_features(f, 0, q, P, qf);
    favor_features(f, 1, k, P, kf);
    favor_read(f, qf, kf, v, o);
    free(qf);
    free(kf);
}

/* Ours without any stabiliser, every pair of tokens by itself, for checks in wide arithmetics:
 * o_t = sum_{s<=t} w_ts v_s / sum_{s<=t} w_ts, w_ts = sum_m exp(u_tm + u'_sm - |k_s|^2 / 2 dh^(-1/2)), where |q_t|
 * cancels; or with f = max(u, 0) + 1e-3 for both. */
static void favor_pairs(const Favor *f, const real *q, const real *k, const real *v, const real *P, real *o) {
    int64_t M = f->M;
    real *u = R_NEW(f->T * M), *a = R_NEW(f->T * M);
    favor_scores(f, q, P, u);
    favor_scores(f, k, P, a);
    for (int64_t i = 0; i < f->T * M; i++) {
        real half = favor_half_square(f->d, k + i / M * f->d);
        u[i] = f->relu ? (RE(u[i]) > 0 ? u[i] : R(0)) + R(1e-3) : exp(u[i]);
        a[i] = f->relu ? (RE(a[i]) > 0 ? a[i] : R(0)) + R(1e-3) : exp(a[i] - half);
    }
    for (int64_t t = 0; t < f->T; t++) {
        real total = 0;
        for (int64_t i = 0; i < f->d; i++) o[t * f->d + i] = 0;
        for (int64_t s = 0; s <= t; s++) {
            real weight = 0;
            for (int64_t m = 0; m < M; m++) weight += u[t * M + m] * a[s * M + m];
            total += weight;
            for (int64_t i = 0; i < f->d; i++) o[t * f->d + i] += weight * v[s * f->d + i];
        }
        for (int64_t i = 0; i < f->d; i++) o[t * f->d + i] = o[t * f->d + i] / total;
    }
    free(u);
    free(a);
}

/* What one head carries: sums over keys of exp(a_sm - top_m), S (M x dh) with and z (M) without the value. With relu
 * top stays 0. */
typedef struct FavorState {
    real *S, *z, *top;
} FavorState;

/* Token t writes: a (M) its key's scores, v (dh). */
static void favor_write(const Favor *f, int64_t t, const real *a, real half, const real *v, FavorState *x) {
    for (int64_t m = 0; m < f->M; m++) {
        real key = a[m] - half, keep = 1, fresh = (RE(a[m]) > 0 ? a[m] : R(0)) + R(1e-3);
        if (!f->relu) {
            real top = t == 0 || RE(key) > RE(x->top[m]) ? key : x->top[m];
            keep = t == 0 ? R(0) : exp(x->top[m] - top);
            fresh = exp(key - top);
            x->top[m] = top;
        }
        x->z[m] = keep * x->z[m] + fresh;
        for (int64_t i = 0; i < f->d; i++) x->S[m * f->d + i] = keep * x->S[m * f->d + i] + fresh * v[i];
    }
}

/* o = sum_m w_m S_m / sum_m w_m z_m, w_m = exp(u_m + top_m - max_m (u_m + top_m)), or max(u_m, 0) + 1e-3. u (M). */
static void favor_recall(const Favor *f, const real *u, const FavorState *x, real *o) {
    real total = 0, *w = R_NEW(f->M);
    for (int64_t m = 0; m < f->M; m++)
        w[m] = f->relu ? (RE(u[m]) > 0 ? u[m] : R(0)) + R(1e-3) : u[m] + x->top[m];
    real largest = favor_largest(f->M, w);
    for (int64_t m = 0; m < f->M; m++) {
        if (!f->relu) w[m] = exp(w[m] - largest);
        total += w[m] * x->z[m];
    }
    for (int64_t i = 0; i < f->d; i++) {
        real sum = 0;
        for (int64_t m = 0; m < f->M; m++) sum += w[m] * x->S[m * f->d + i];
        o[i] = sum / total;
    }
    free(w);
}

/* One head, ours: every token writes, then reads. x is zero before and holds what is carried after. */
static void favor_running(const Favor *f, const real *q, const real *k, const real *v, const real *P,
                          FavorState *x, real *o) {
    real *u = R_NEW(f->T * f->M), *a = R_NEW(f->T * f->M);
    favor_scores(f, q, P, u);
    favor_scores(f, k, P, a);
    for (int64_t t = 0; t < f->T; t++) {
        favor_write(f, t, a + t * f->M, favor_half_square(f->d, k + t * f->d), v + t * f->d, x);
        favor_recall(f, u + t * f->M, x, o + t * f->d);
    }
    free(u);
    free(a);
}

/* Which of the three. */
typedef enum FavorForm { FAVOR_PUBLISHED, FAVOR_PAIRS, FAVOR_RUNNING } FavorForm;

/* H heads side by side: q, k, v, o (T x H x dh); states of all heads one after the other, or NULL. */
static void favor_heads(const Favor *f, FavorForm form, int64_t H, const real *q, const real *k,
                        const real *v, const real *P, const FavorState *states, real *o) {
    int64_t T = f->T, d = f->d, M = f->M;
    real *token = R_NEW(4 * T * d), *k_h = token + T * d, *v_h = k_h + T * d, *o_h = v_h + T * d;
    real *state = R_NEW(M * d + 2 * M);
    for (int64_t h = 0; h < H; h++) {
        FavorState x = {state, state + M * d, state + M * d + M};
        for (int64_t i = 0; i < M * d + 2 * M; i++) state[i] = 0;
        head_get(T, H, d, h, q, token);
        head_get(T, H, d, h, k, k_h);
        head_get(T, H, d, h, v, v_h);
        if (form == FAVOR_PUBLISHED) favor_published(f, token, k_h, v_h, P, o_h);
        if (form == FAVOR_PAIRS) favor_pairs(f, token, k_h, v_h, P, o_h);
        if (form == FAVOR_RUNNING) favor_running(f, token, k_h, v_h, P, &x, o_h);
        head_put(T, H, d, h, o_h, o);
        if (!states) continue;
        real_copy(M * d, x.S, states->S + h * M * d);
        real_copy(M, x.z, states->z + h * M);
        real_copy(M, x.top, states->top + h * M);
    }
    free(token);
    free(state);
}

static void favor_run(const Call *c) {
    Favor f = favor_at(c, dim(c, "head_width"), dim(c, "causal"));
    favor_heads(&f, FAVOR_PUBLISHED, dim(c, "heads"), in(c, "q"), in(c, "k"), in(c, "v"), in(c, "projection"),
                NULL, out(c, "o"));
}
static void favor_pairs_run(const Call *c) {
    Favor f = favor_at(c, dim(c, "head_width"), 1);
    favor_heads(&f, FAVOR_PAIRS, dim(c, "heads"), in(c, "q"), in(c, "k"), in(c, "v"), in(c, "projection"),
                NULL, out(c, "o"));
}
static void favor_running_run(const Call *c) {
    Favor f = favor_at(c, dim(c, "head_width"), 1);
    FavorState states = {out(c, "S"), out(c, "z"), out(c, "top")};
    favor_heads(&f, FAVOR_RUNNING, dim(c, "heads"), in(c, "q"), in(c, "k"), in(c, "v"), in(c, "projection"),
                &states, out(c, "o"));
}

#define RANDOM_FEATURES SIZE("random_features", "M", "random features of a head's queries and keys")
#define FAVOR_KERNEL                                                                                         \
    CHOICE("kernel", NULL, "softmax relu",                                                                   \
           "softmax: positive features whose product is exp(q.k / "                                          \
           "sqrt(head_width)) in the mean; relu: max(u, 0) + 1e-3")
#define FAVOR_CAUSAL SWITCH("causal", NULL, 0, "1: a token sees those up to itself; 0: it sees all")
#define FAVOR_PROJECTION                                                                                     \
    { "projection", NULL, "random_features head_width", NUMBER, "rows p_m of the features, for all heads" }
static const Dimension favor_dims[] = {TOKENS,       HEADS,        HEAD_WIDTH,   RANDOM_FEATURES,
                                       FAVOR_KERNEL, FAVOR_CAUSAL, DIMENSION_END};
static const Dimension favor_causal_dims[] = {TOKENS,          HEADS,        HEAD_WIDTH,
                                              RANDOM_FEATURES, FAVOR_KERNEL, DIMENSION_END};
static const Argument favor_in[] = {{"q", NULL, "tokens heads head_width", NUMBER, "queries"},
                                    {"k", NULL, "tokens heads head_width", NUMBER, "keys"},
                                    {"v", NULL, "tokens heads head_width", NUMBER, "values"},
                                    FAVOR_PROJECTION,
                                    ARGUMENT_END};
static const Argument favor_running_out[] = {
    {"o", NULL, "tokens heads head_width", NUMBER, "what each token reads"},
    {"S", NULL, "heads random_features head_width", NUMBER, "sums over keys with their values"},
    {"z", NULL, "heads random_features", NUMBER, "the same without values"},
    {"top", NULL, "heads random_features", NUMBER, "largest exponent of every feature so far; relu: 0"},
    ARGUMENT_END};

/* What all of them have. */
#define FAVOR_FORMULA                                                                                        \
    "u_tm = head_width^(-1/4) q_t.p_m, u'_tm of k_t, half_t = |k_t|^2 / (2 sqrt(head_width)), every head "   \
    "by "                                                                                                    \
    "itself"

static const Equation favor_equations[] = {
    {"favor", "Choromanski et al. 2009.14794, as in performer-pytorch 1.1.4",
     FAVOR_FORMULA
     ";\n"
     "softmax: phi(q)_tm = (exp(u_tm - |q_t|^2 / (2 sqrt(head_width)) - max_m u_tm) + 1e-4) / "
     "sqrt(random_features),\n"
     "phi(k)_tm = (exp(u'_tm - half_t - max_{s,m} u'_sm) + 1e-4) / sqrt(random_features), maxima constant; "
     "the key's over all rows, later ones as well;\n"
     "relu: phi(q) = max(u, 0) + 1e-3, phi(k) = max(u', 0) + 1e-3;\n"
     "causal: o_t = sum_{s<=t} phi(q)_t.phi(k)_s v_s / phi(q)_t.(sum_{s<=t} phi(k)_s + 1e-6); else sums over "
     "all s, without the 1e-6",
     favor_dims, favor_in, o_heads_out, favor_run, NULL},
    {"favor_pairs", "Choromanski et al. 2009.14794 (ours, causal)",
     FAVOR_FORMULA ";\n"
                   "softmax: w_ts = sum_m exp(u_tm) exp(u'_sm - half_s); relu: w_ts = sum_m (max(u_tm, 0) + "
                   "1e-3) (max(u'_sm, 0) + 1e-3);\n"
                   "o_t = sum_{s<=t} w_ts v_s / sum_{s<=t} w_ts",
     favor_causal_dims, favor_in, o_heads_out, favor_pairs_run, NULL},
    {"favor_running", "Choromanski et al. 2009.14794 (ours, causal)",
     FAVOR_FORMULA
     ";\n"
     "favor_pairs with a state: top_m = max_{s<=t} (u'_sm - half_s), S_m = sum_{s<=t} exp(u'_sm "
     "- half_s - top_m) v_s, z_m the same without v_s,\n"
     "both times exp(old top_m - new top_m) where top_m grows; w_m = exp(u_tm + top_m - max_m "
     "(u_tm + top_m)), o_t = sum_m w_m S_m / sum_m w_m z_m;\n"
     "relu: w_m = max(u_tm, 0) + 1e-3, S_m = sum_{s<=t} (max(u'_sm, 0) + 1e-3) v_s, top_m = 0",
     favor_causal_dims, favor_in, favor_running_out, favor_running_run, NULL},
    EQUATION_END};
