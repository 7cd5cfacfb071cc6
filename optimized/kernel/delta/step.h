/* Tokens forward: what they write, read and ask for. */
#pragma once
#include "kernel/delta/token.h"

/* w of 16 columns from column j of the tile on, `lanes` of which exist, of a token that has read u; zero behind them. */
INLINE Vec delta_writes(const DeltaTask *t, int64_t row, int64_t j, int64_t lanes, Vec u) {
    const DeltaShape *s = t->shape;
    Vec v = vec_load_n(t->in->v + row * s->values + t->c + j, lanes);
    if (s->removal == DELTA_KEY) v = vec_sub(v, u);
    return vec_first(vec_mul(delta_rate(t, row, t->c + j, lanes), v), lanes);
}
static void delta_written(const DeltaTask *t, int64_t row, const float *u, float *w) {
#define WRITTEN(j, lanes) vec_store(w + (j), delta_writes(t, row, j, lanes, vec_load(u + (j))))
    DELTA_VECTORS(t->columns, WRITTEN);
#undef WRITTEN
}

/* The u of a token that no other has read for, of N vectors of columns; rows of S lie `ld` floats apart. */
INLINE void delta_read(const DeltaTask *t, const float *reading, const float *S, int64_t ld, int N, Vec *u) {
    for (int n = 0; n < N; n++) u[n] = vec_zero();
    for (int64_t i = 0; i < t->shape->keys && t->shape->removal != DELTA_NONE; i++)
        for (int n = 0; n < N; n++) u[n] = vec_fma(vec_set1(reading[i]), vec_load(S + i * ld + 16 * n), u[n]);
}

/* What the compiler knows of a rule; tokens: that pass the state at once, two where the second reads nothing of the first. */
typedef struct {
    DeltaRemoval removal;
    int decays; /* 0, 1 for all rows, 2: each its own */
    int tokens, asks;
} DeltaPass;

/* Tokens x turn S into `after`, which may be S; meanwhile they ask for their outputs, and the token behind them reads its u:
 * one load and one store of the state for all of that. */
typedef struct {
    int64_t keys, ld; /* of rows of S, floats */
    const DeltaToken *x;
    const float *reading, *S;
    float *after;
} DeltaStep;

/* For N vectors of columns; w, u: of each token; output: of each, and read: of the token behind them. */
INLINE void delta_step(const DeltaStep *y, int N, DeltaPass pass, Vec (*w)[4], const Vec *u, Vec (*output)[4],
                       Vec *read) {
    const DeltaToken *x = y->x, *last = x + pass.tokens - 1;
    const Vec all[2] = {vec_set1(pass.decays ? x->decay[0] : 1.0f),
                        vec_set1(pass.decays ? last->decay[0] : 1.0f)};
    const int64_t keys = y->keys, ld = y->ld;
    for (int n = 0; n < N; n++) output[0][n] = output[pass.tokens - 1][n] = read[n] = vec_zero();
    for (int64_t i = 0; i < keys; i++) {
        Vec state[4];
        for (int n = 0; n < N; n++) state[n] = vec_load(y->S + i * ld + 16 * n);
        for (int t = 0; t < pass.tokens; t++) {
            const Vec factor = pass.decays > 1 ? vec_set1(x[t].decay[i]) : all[t], key = vec_set1(x[t].k[i]);
            const Vec ask = vec_set1(pass.asks ? x[t].q[i] : 0.0f),
                      other = vec_set1(pass.removal == DELTA_PAIR ? x[t].b[i] : 0.0f);
            for (int n = 0; n < N; n++) {
                if (pass.decays) state[n] = vec_mul(factor, state[n]);
                state[n] = vec_fma(key, w[t][n], state[n]);
                if (pass.removal == DELTA_PAIR) state[n] = vec_fma(other, u[n], state[n]);
                if (pass.asks) output[t][n] = vec_fma(ask, state[n], output[t][n]);
            }
        }
        const Vec reads = vec_set1(pass.removal == DELTA_NONE ? 0.0f : y->reading[i]);
        for (int n = 0; n < N; n++) {
            if (pass.removal != DELTA_NONE) read[n] = vec_fma(reads, state[n], read[n]);
            vec_store(y->after + i * ld + 16 * n, state[n]);
        }
    }
}

/* Vectors that are passed at a time where `left` columns are, at most `most`. */
INLINE int delta_at_once(int64_t left, int most) {
    return most >= 4 && left > 48 ? 4 : most >= 2 && left > 16 ? 2 : 1;
}

/* what(N, removal, decays) with the numbers of the case, which the compiler then knows. */
#define DELTA_BY_RULE(s, N, what)                                                                            \
    do {                                                                                                     \
        const int n_ = (N), decays_ = (s)->decays > 1 ? 2 : (int)(s)->decays;                                \
        DELTA_BY_DECAYS(s, DELTA_NONE, what);                                                                \
        DELTA_BY_DECAYS(s, DELTA_KEY, what);                                                                 \
        DELTA_BY_DECAYS(s, DELTA_PAIR, what);                                                                \
    } while (0)
#define DELTA_BY_DECAYS(s, rule, what)                                                                       \
    if ((s)->removal == (rule)) {                                                                            \
        DELTA_BY_VECTORS(rule, 0, what);                                                                     \
        DELTA_BY_VECTORS(rule, 1, what);                                                                     \
        DELTA_BY_VECTORS(rule, 2, what);                                                                     \
    }
#define DELTA_BY_VECTORS(rule, some, what)                                                                   \
    if (decays_ == (some)) {                                                                                 \
        if (n_ == 4) what(4, rule, some);                                                                    \
        if (n_ == 2) what(2, rule, some);                                                                    \
        if (n_ == 1) what(1, rule, some);                                                                    \
    }

/* A token whose states stay apart, with w and u, and u of the token behind it, in memory. */
INLINE void delta_step_apart(const DeltaStep *y, int N, DeltaPass pass, const float *values, const float *own,
                             float *next) {
    Vec w[1][4], u[4], output[1][4], read[4];
    for (int n = 0; n < N; n++) w[0][n] = vec_load(values + 16 * n), u[n] = vec_load(own + 16 * n);
    delta_step(y, N, pass, w, u, output, read);
    for (int n = 0; n < N; n++) vec_store(next + 16 * n, read[n]);
}

enum { DELTA_WALK = 64 }; /* columns that go back token by token at once, and what their rows lie apart */

static void delta_token_apart(const DeltaTask *t, const DeltaToken *x, const float *S, const float *w,
                              const float *u, float *after, float *next) {
    int N;
    for (int64_t j = 0; j < t->columns; j += 16 * N) {
        const DeltaStep y = {t->shape->keys, DELTA_WALK, x, x[1].reading, S + j, after + j};
#define APART(N, rule, some) delta_step_apart(&y, N, (DeltaPass){rule, some, 1, 0}, w + j, u + j, next + j)
        N = delta_at_once(t->columns - j, DELTA_VECS);
        DELTA_BY_RULE(t->shape, N, APART);
#undef APART
    }
}
