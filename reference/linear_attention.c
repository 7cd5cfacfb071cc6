/* Equations 3-7: attention with a kernel in place of exp, and the recurrent memory it is. Tokens are rows. */
#pragma once
#include "real.h"

/* phi of (3), by kind: 0 the identity; 1 elu(x) + 1, which is x + 1 above 0 and exp(x) below;
 * 2 max(x, 0) + 1/1024, so that (3) never divides by 0. */
static real feature(int64_t kind, real x) {
    if (kind == 0) return x;
    if (kind == 1) return RE(x) > 0 ? x + 1 : exp(x);
    return (RE(x) > 0 ? x : R(0)) + R(0x1p-10);
}

/* (3) y_i = phi(q_i)' sum_{j<=i} phi(k_j) v_j / phi(q_i)' sum_{l<=i} phi(k_l), every pair of tokens by
 * itself: q, k (T x d), v, y (T x m). */
static void linear_attention(int64_t T, int64_t d, int64_t m, int64_t kind, const real *q, const real *k,
                             const real *v, real *y) {
    real *weight = R_NEW(T);
    for (int64_t i = 0; i < T; i++) {
        real total = 0;
        for (int64_t j = 0; j <= i; j++) {
            weight[j] = 0;
            for (int64_t c = 0; c < d; c++)
                weight[j] += feature(kind, q[i * d + c]) * feature(kind, k[j * d + c]);
            total += weight[j];
        }
        for (int64_t c = 0; c < m; c++) {
            real sum = 0;
            for (int64_t j = 0; j <= i; j++) sum += weight[j] * v[j * m + c];
            y[i * m + c] = sum / total;
        }
    }
    free(weight);
}

/* What is written and read: kind of phi, whether (3)'s normaliser is applied, widths. */
typedef struct Linear {
    int64_t d, m, kind, normalised;
} Linear;

/* One token: q, k (d), v (m). */
typedef struct Token {
    const real *q, *k, *v;
} Token;

/* (6) M_t = f(M_{t-1}, x_t), (7) y_t = g(M_t, x_t): a memory in general, its state one array of numbers. */
typedef struct Recurrent {
    void (*write)(const Linear *linear, const Token *x, real *state);
    void (*read)(const Linear *linear, const Token *x, const real *state, real *y);
} Recurrent;

/* (6)-(7) for T tokens: state in place, y (T x m). */
static void recurrent_memory(const Recurrent *memory, const Linear *linear, int64_t T, const Token *x,
                             real *state, real *y) {
    for (int64_t t = 0; t < T; t++) {
        Token token = {x->q + t * linear->d, x->k + t * linear->d, x->v + t * linear->m};
        memory->write(linear, &token, state);
        memory->read(linear, &token, state, y + t * linear->m);
    }
}

/* (4) M_t = M_{t-1} + phi(k_t)' v_t, and for the normaliser z_t = z_{t-1} + phi(k_t).
 * state: M (d x m), z (d). */
static void linear_write(const Linear *linear, const Token *x, real *state) {
    int64_t d = linear->d, m = linear->m;
    for (int64_t i = 0; i < d; i++) {
        real key = feature(linear->kind, x->k[i]);
        for (int64_t j = 0; j < m; j++) state[i * m + j] += key * x->v[j];
        state[d * m + i] += key;
    }
}

/* (5) y_t = phi(q_t) M_t, or (3) y_t = phi(q_t) M_t / phi(q_t).z_t */
static void linear_read(const Linear *linear, const Token *x, const real *state, real *y) {
    int64_t d = linear->d, m = linear->m;
    real total = 0;
    for (int64_t i = 0; i < d; i++) total += feature(linear->kind, x->q[i]) * state[d * m + i];
    for (int64_t j = 0; j < m; j++) {
        real sum = 0;
        for (int64_t i = 0; i < d; i++) sum += feature(linear->kind, x->q[i]) * state[i * m + j];
        y[j] = linear->normalised ? sum / total : sum;
    }
}

static void linear_attention_run(const Call *c) {
    linear_attention(dim(c, "tokens"), dim(c, "key_width"), dim(c, "value_width"), dim(c, "phi"), in(c, "q"),
                     in(c, "k"), in(c, "v"), out(c, "y"));
}

static void linear_memory_run(const Call *c) {
    static const Recurrent memory = {linear_write, linear_read};
    Linear linear = {dim(c, "key_width"), dim(c, "value_width"), dim(c, "phi"), dim(c, "normalised")};
    Token x = {in(c, "q"), in(c, "k"), in(c, "v")};
    int64_t d = linear.d, m = linear.m;
    real *state = R_NEW(d * m + d);
    real_copy(d * m, in(c, "M0"), state);
    real_copy(d, in(c, "z0"), state + d * m);
    recurrent_memory(&memory, &linear, dim(c, "tokens"), &x, state, out(c, "y"));
    real_copy(d * m, state, out(c, "M"));
    real_copy(d, state + d * m, out(c, "z"));
    free(state);
}

#define KEY_WIDTH SIZE("key_width", "d", "width of keys and queries")
#define VALUE_WIDTH SIZE("value_width", "m", "width of values")
#define PHI                                                                                                  \
    {                                                                                                        \
        "phi", NULL, 0, 2, 0, "identity elu_plus_1 relu",                                                    \
            "feature map: x, elu(x) + 1 or max(x, 0) + 1/1024", NULL                                         \
    }
static const Dimension linear_attention_dims[] = {TOKENS, KEY_WIDTH, VALUE_WIDTH, PHI, DIMENSION_END};
static const Dimension linear_memory_dims[] = {
    TOKENS,
    KEY_WIDTH,
    VALUE_WIDTH,
    PHI,
    SWITCH("normalised", NULL, 0, "1: reads are divided by phi(q).z"),
    DIMENSION_END};
#define LINEAR_QKV                                                                                           \
    {"q", NULL, "tokens key_width", NUMBER, "queries"}, {"k", NULL, "tokens key_width", NUMBER, "keys"}, {   \
        "v", NULL, "tokens value_width", NUMBER, "values"                                                    \
    }
static const Argument linear_attention_in[] = {LINEAR_QKV, ARGUMENT_END};
static const Argument linear_attention_out[] = {{"y", NULL, "tokens value_width", NUMBER, "reads"},
                                                ARGUMENT_END};
static const Argument linear_memory_in[] = {
    {"M0", NULL, "key_width value_width", NUMBER, "sum phi(k)' v before"},
    {"z0", NULL, "key_width", NUMBER, "sum phi(k) before"},
    LINEAR_QKV,
    ARGUMENT_END};
static const Argument linear_memory_out[] = {
    {"y", NULL, "tokens value_width", NUMBER, "reads"},
    {"M", NULL, "key_width value_width", NUMBER, "sum phi(k)' v after"},
    {"z", NULL, "key_width", NUMBER, "sum phi(k) after"},
    ARGUMENT_END};

static const Equation linear_attention_equations[] = {
    {"linear_attention", "eq 3", "(3) y_i = sum_{j<=i} phi(q_i).phi(k_j) v_j / sum_{l<=i} phi(q_i).phi(k_l)",
     linear_attention_dims, linear_attention_in, linear_attention_out, linear_attention_run, NULL},
    {"linear_memory", "eqs 4-7",
     "(4) M_t = M_{t-1} + phi(k_t)' v_t, z_t = z_{t-1} + phi(k_t)   (5) y_t = phi(q_t) M_t, normalised: over "
     "phi(q_t).z_t;\n"
     "(6)-(7) every token writes, then reads",
     linear_memory_dims, linear_memory_in, linear_memory_out, linear_memory_run, NULL},
    EQUATION_END};
