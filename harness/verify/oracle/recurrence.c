#include "oracle/recurrence.h"
#include "oracle/layers.h"

#include <stddef.h>

/* log(1 + e^a). */
Quad quad_softplus(Quad a) { return quad_log(1 + quad_exp(a)); }

Quad quad_tanh(Quad a) { return (quad_exp(2 * a) - 1) / (quad_exp(2 * a) + 1); }

const Quad *spread(const Quad *x, int64_t rows, int64_t columns, int64_t width) {
    Quad *y = quads(rows * width);
    for (int64_t i = 0; i < rows * width && columns; i++) y[i] = x[columns == width ? i : i / width];
    return columns ? y : NULL;
}

Quad *transposed(const Quad *x, int64_t rows, int64_t columns) {
    Quad *y = quads(rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) y[i % columns * rows + i / columns] = x[i];
    return y;
}

/* Writes of one memory: write w put value[w] [V] at key[w] [K] when token when[w] came; tokens count from 1. */
typedef struct Writes {
    int64_t count, K, V;
    int64_t *when;
    Quad *key, *value;
} Writes;

static Writes writes(int64_t most, int64_t K, int64_t V) {
    return (Writes){0, K, V, scratch(most * (int64_t)sizeof(int64_t)), quads(most * K), quads(most * V)};
}

static void add_write(Writes *w, int64_t when, const Quad *key, const Quad *value) {
    for (int64_t i = 0; i < w->K; i++) w->key[w->count * w->K + i] = key[i];
    for (int64_t c = 0; c < w->V; c++) w->value[w->count * w->V + c] = value[c];
    w->when[w->count++] = when;
}

static Quad *unit(int64_t K, int64_t i) {
    Quad *x = quads(K);
    x[i] = 1;
    return x;
}

/* A matrix [K][V] that was there before the first token: a write per row. */
static void add_matrix(Writes *w, const Quad *matrix) {
    for (int64_t i = 0; i < w->K && matrix; i++) add_write(w, 0, unit(w->K, i), matrix + i * w->V);
}

/* What is left at token `now` of channel i of something written at token `then`; keep [T][K] or NULL. */
static Quad left(const Quad *keep, int64_t K, int64_t i, int64_t then, int64_t now) {
    Quad product = 1;
    for (int64_t t = then + 1; t <= now && keep; t++) product *= keep[(t - 1) * K + i];
    return product;
}

/* x S for what the first `tokens` tokens wrote, decayed up to token `now`. */
static Quad *recalled(const Writes *w, const Quad *keep, const Quad *x, int64_t tokens, int64_t now) {
    Quad *y = quads(w->V);
    for (int64_t n = 0; n < w->count; n++) {
        if (w->when[n] > tokens) continue;
        Quad weight = 0;
        for (int64_t i = 0; i < w->K; i++)
            weight += x[i] * w->key[n * w->K + i] * left(keep, w->K, i, w->when[n], now);
        for (int64_t c = 0; c < w->V; c++) y[c] += weight * w->value[n * w->V + c];
    }
    return y;
}

/* One head of Heads: key_heads = heads = 1. */
static void token_writes(const Heads *h, Writes *w, int64_t t) {
    const Quad *k = h->k + (t - 1) * h->K, *v = h->v + (t - 1) * h->V;
    const Quad *old = h->removes == REMOVES_KEY ? recalled(w, h->keep, k, t - 1, t) : quads(h->V);
    const Quad *moved =
        h->removes == REMOVES_PAIR ? recalled(w, h->keep, h->a + (t - 1) * h->K, t - 1, t - 1) : NULL;
    Quad *value = quads(h->V);
    for (int64_t c = 0; c < h->V; c++)
        value[c] = (v[c] - old[c]) * (h->rate ? h->rate[(t - 1) * h->V + c] : 1);
    add_write(w, t, k, value);
    if (moved) add_write(w, t, h->b + (t - 1) * h->K, moved);
}

static Quad *head_read(const Heads *h, Quad *state) {
    Writes w = writes(h->K + 2 * h->tokens, h->K, h->V);
    Quad *o = quads(h->tokens * h->V);
    add_matrix(&w, h->state0);
    for (int64_t t = 1; t <= h->tokens; t++) token_writes(h, &w, t);
    for (int64_t t = 1; t <= h->tokens; t++) {
        const Quad *y = recalled(&w, h->keep, h->q + (t - 1) * h->K, t, t);
        for (int64_t c = 0; c < h->V; c++) o[(t - 1) * h->V + c] = y[c] * h->scale;
    }
    for (int64_t i = 0; i < h->K && state; i++) {
        const Quad *row = recalled(&w, h->keep, unit(h->K, i), h->tokens, h->tokens);
        for (int64_t c = 0; c < h->V; c++) state[i * h->V + c] = row[c];
    }
    return o;
}

static const Quad *part(const Quad *x, const Heads *all, int64_t of, int64_t width, int64_t head) {
    return x ? head_of(x, all->tokens, of, width, head) : NULL;
}

Quad *heads_read(const Heads *all, Quad *state) {
    const int64_t H = all->heads, K = all->K, V = all->V;
    Quad *o = quads(all->tokens * H * V);
    for (int64_t head = 0; head < H; head++) {
        const int64_t of = head / (H / all->key_heads);
        Heads h = *all;
        h.q = part(all->q, all, all->key_heads, K, of), h.k = part(all->k, all, all->key_heads, K, of);
        h.v = part(all->v, all, H, V, head), h.rate = part(all->rate, all, H, V, head);
        h.a = part(all->a, all, H, K, head), h.b = part(all->b, all, H, K, head);
        h.keep = part(all->keep, all, H, K, head);
        h.state0 = all->state0 ? all->state0 + head * K * V : NULL;
        head_to(o, head_read(&h, state ? state + head * K * V : NULL), all->tokens, H, V, head);
    }
    return o;
}

/* How much of what entered the momentum at token `then` is in -S at token `now`: the momentum carries it to every
 * token r, which takes beta_r of it off the state, of which alpha keeps its part. What was in the momentum before
 * the first token (then = 0) is taken off from token 1 on. */
static Quad taken_off(const Momentum *m, int64_t then, int64_t now) {
    Quad sum = 0;
    for (int64_t r = then > 0 ? then : 1; r <= now; r++)
        sum += m->beta[r - 1] * left(m->mu, 1, 0, then, r) * left(m->alpha, 1, 0, r, now);
    return sum;
}

/* x S_now: S0 and the writes into the momentum of tokens up to `now`. */
static Quad *momentum_recalled(const Momentum *m, const Writes *w, const Quad *x, int64_t now) {
    Quad *y = quads(m->V);
    for (int64_t i = 0; i < m->K && m->S0; i++)
        for (int64_t c = 0; c < m->V; c++) y[c] += x[i] * left(m->alpha, 1, 0, 0, now) * m->S0[i * m->V + c];
    for (int64_t n = 0; n < w->count; n++) {
        if (w->when[n] > now) continue;
        Quad dot = 0;
        for (int64_t i = 0; i < m->K; i++) dot += x[i] * w->key[n * m->K + i];
        for (int64_t c = 0; c < m->V; c++)
            y[c] -= dot * taken_off(m, w->when[n], now) * w->value[n * m->V + c];
    }
    return y;
}

/* The errors of all tokens, each taken from the state before its token. */
static Writes momentum_writes(const Momentum *m) {
    Writes w = writes(m->K + m->tokens, m->K, m->V);
    add_matrix(&w, m->M0);
    for (int64_t t = 1; t <= m->tokens; t++) {
        Quad *error = momentum_recalled(m, &w, m->p + (t - 1) * m->K, t - 1);
        for (int64_t c = 0; c < m->V; c++) {
            error[c] -= m->v[(t - 1) * m->V + c];
            error[c] *= m->eta[t - 1];
        }
        add_write(&w, t, m->k + (t - 1) * m->K, error);
    }
    return w;
}

Quad *momentum_read(const Momentum *m, Quad *S, Quad *M) {
    const int64_t T = m->tokens, V = m->V;
    const Writes w = momentum_writes(m);
    const Quad *mu = spread(m->mu, T, 1, m->K);
    Quad *o = quads(T * V);
    for (int64_t t = 1; t <= T; t++) {
        const Quad *y = momentum_recalled(m, &w, m->q + (t - 1) * m->K, t);
        for (int64_t c = 0; c < V; c++) o[(t - 1) * V + c] = y[c];
    }
    for (int64_t i = 0; i < m->K && S && M; i++) {
        const Quad *s = momentum_recalled(m, &w, unit(m->K, i), T),
                   *r = recalled(&w, mu, unit(m->K, i), T, T);
        for (int64_t c = 0; c < V; c++) S[i * V + c] = s[c], M[i * V + c] = r[c];
    }
    return o;
}
