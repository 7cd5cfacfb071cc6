/* Recurrent layers of heads without a state: whatever a memory holds is a list of writes, each a key and a value,
 * and reading is a sum over them, with every decay since multiplied out. */
#pragma once
#include "oracle/quad.h"

enum { REMOVES_NOTHING, REMOVES_KEY, REMOVES_PAIR };

/* Per head S [K][V], rows of all heads side by side; head h has the queries and keys of head h key_heads / heads.
 * NULL: keep and rate are ones, state0 is zeros. */
typedef struct Heads {
    int64_t tokens, heads, key_heads, K, V;
    int removes;           /* a token writes k (rate (v - what k reads after the decay)), or k (rate v), */
    const Quad *a, *b;     /* [T][H K], REMOVES_PAIR: and on b what a reads before the decay */
    const Quad *q, *k, *v; /* [T][key_heads K] twice, [T][H V] */
    const Quad *keep;      /* [T][H K], what every key channel keeps when the token comes */
    const Quad *rate;      /* [T][H V] */
    const Quad *state0;    /* [H][K][V] */
    Quad scale;            /* of what is read */
} Heads;

/* What is read, [T][H V]; state, if any, takes S after the last token, [H][K][V]. */
Quad *heads_read(const Heads *heads, Quad *state);

/* The delta rule with momentum: M_t = mu_t M_{t-1} + k_t (eta_t (p_t S_{t-1} - v_t))', S_t = alpha_t S_{t-1} -
 * beta_t M_t. Arrays of one head, as above: q, k, p [T][K], v [T][V], alpha, mu, beta, eta [T], S0, M0 [K][V]. */
typedef struct Momentum {
    int64_t tokens, K, V;
    const Quad *q, *k, *p, *v, *alpha, *mu, *beta, *eta, *S0, *M0;
} Momentum;

/* What is read, [T][V]; S and M, if any, take both after the last token, [K][V]. */
Quad *momentum_read(const Momentum *head, Quad *S, Quad *M);

/* Numbers with `columns` per row, 0, 1 or width, as width per row; 0 columns: NULL. */
const Quad *spread(const Quad *x, int64_t rows, int64_t columns, int64_t width);
/* x [rows][columns] as [columns][rows]. */
Quad *transposed(const Quad *x, int64_t rows, int64_t columns);

Quad quad_softplus(Quad a);
Quad quad_tanh(Quad a);
