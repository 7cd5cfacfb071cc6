/* The memory: a network whose weights are the state. */
#pragma once
#include "oracle/oracle.h"
#include "oracle/quad.h"

/* Widths width[0..layers]; layer l maps row vectors by a matrix [width[l]][width[l + 1]]. */
typedef struct Network {
    int64_t layers, width[6];
    int gelu, residual, norm, per_layer, channelwise;
} Network;

/* Of the dimensions of a memory. */
Network network_of(const OracleCall *call);
int64_t network_weights(const Network *n);
/* Sets of gates, and entries of alpha in a set. */
int64_t network_sets(const Network *n);
int64_t network_channels(const Network *n);

/* M(k), eq 15. */
void network_read(const Network *n, const Quad *M, const Quad *k, Quad *out);
/* The loss of eq 12. */
Quad network_loss(const Network *n, const Quad *M, const Quad *k, const Quad *v);
/* Its gradient with respect to every weight, one forward-mode derivative each. */
void network_surprise(const Network *n, const Quad *M, const Quad *k, const Quad *v, Quad *u);

/* What a memory reads, token by token (k, v: rows; gates: [token][set][channel] and [token][set]), and what
 * becomes of its weights: M and S hold the states after 0, 1, .. tokens. */
typedef struct History {
    const Network *network;
    int64_t tokens, chunk;
    const Quad *k, *v, *alpha, *theta, *eta;
    Quad *M, *S;
} History;

/* Eqs 13-14, one token after another, every gradient at the state before its token. */
void history_by_steps(History *h, const Quad *M0, const Quad *S0);
/* Eqs 16 and 18 as weighted sums over the tokens of a chunk, gradients at the chunk's first state. */
void history_by_chunks(History *h, const Quad *M0, const Quad *S0);
