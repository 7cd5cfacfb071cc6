/* Eqs 8-18 behind the reference's tensors. */
#include "equations.h"
#include "memory.h"

/* Dims "L n0 .." of one key and value; a network and its tensors. */
typedef struct Single {
    Network n;
    int64_t weights, sets, channels, din, dout;
} Single;

static Single single_of(const int64_t *dims) {
    Single s = {.n = network_of(dims)};
    s.weights = network_weights(&s.n);
    s.sets = network_sets(&s.n), s.channels = network_channels(&s.n);
    s.din = s.n.width[0], s.dout = s.n.width[s.n.layers];
    return s;
}

/* Eq 12 and its gradient. */
void oracle_surprise(const int64_t *dims, const double *const *in, double *const *out) {
    const Single s = single_of(dims);
    const Quad *M = quads_from(in[0], s.weights), *k = quads_from(in[1], s.din),
               *v = quads_from(in[2], s.dout);
    Quad *u = quads(s.weights);
    network_surprise(&s.n, M, k, v, u);
    out[0][0] = (double)network_loss(&s.n, M, k, v);
    quads_to(out[1], u, s.weights);
}

/* One token of eqs 13-14; eqs 9-10 are alpha = 0, eq 8 is S_0 = 0 and eta = 0 as well. Gates that are NULL
 * are 0.
 */
static void one_token(const Single *s, const double *const *in, const double *S, const double *alpha,
                      const double *theta, const double *eta, double *const *out) {
    Quad *none = quads(s->weights + s->sets * s->channels);
    History h = {.network = &s->n, .tokens = 1};
    const int values = S ? 2 : 1;
    h.k = quads_from(in[values], s->din), h.v = quads_from(in[values + 1], s->dout);
    h.alpha = alpha ? quads_from(alpha, s->sets * s->channels) : none;
    h.theta = quads_from(theta, s->sets);
    h.eta = eta ? quads_from(eta, s->sets) : none;
    history_by_steps(&h, quads_from(in[0], s->weights), S ? quads_from(S, s->weights) : none);
    quads_to(out[0], h.M + s->weights, s->weights);
    if (S) quads_to(out[1], h.S + s->weights, s->weights);
}

void oracle_momentary_rule(const int64_t *dims, const double *const *in, double *const *out) {
    const Single s = single_of(dims);
    one_token(&s, in, NULL, NULL, in[3], NULL, out);
}

void oracle_momentum_rule(const int64_t *dims, const double *const *in, double *const *out) {
    const Single s = single_of(dims);
    one_token(&s, in, in[1], NULL, in[4], in[5], out);
}

void oracle_memory_step(const int64_t *dims, const double *const *in, double *const *out) {
    const Single s = single_of(dims);
    one_token(&s, in, in[1], in[4], in[5], in[6], out);
}

/* Eq 15. */
void oracle_memory_read(const int64_t *dims, const double *const *in, double *const *out) {
    const Single s = single_of(dims);
    Quad *y = quads(s.dout);
    network_read(&s.n, quads_from(in[0], s.weights), quads_from(in[1], s.din), y);
    quads_to(out[0], y, s.dout);
}

/* M0 S0 k v q alpha theta eta -> y M S, over T tokens. */
static void sequence(int64_t tokens, int64_t chunk, const int64_t *dims, const double *const *in,
                     double *const *out) {
    const Single s = single_of(dims);
    History h = {.network = &s.n, .tokens = tokens, .chunk = chunk};
    const Quad *M0 = quads_from(in[0], s.weights), *S0 = quads_from(in[1], s.weights);
    h.k = quads_from(in[2], tokens * s.din), h.v = quads_from(in[3], tokens * s.dout);
    const Quad *q = quads_from(in[4], tokens * s.din);
    h.alpha = quads_from(in[5], tokens * s.sets * s.channels);
    h.theta = quads_from(in[6], tokens * s.sets), h.eta = quads_from(in[7], tokens * s.sets);
    if (chunk)
        history_by_chunks(&h, M0, S0);
    else
        history_by_steps(&h, M0, S0);
    Quad *y = quads(tokens * s.dout);
    for (int64_t t = 0; t < tokens; t++) /* E7: the state right after token t */
        network_read(&s.n, h.M + (t + 1) * s.weights, q + t * s.din, y + t * s.dout);
    quads_to(out[0], y, tokens * s.dout);
    quads_to(out[1], h.M + tokens * s.weights, s.weights);
    quads_to(out[2], h.S + tokens * s.weights, s.weights);
}

void oracle_memory_sequential(const int64_t *dims, const double *const *in, double *const *out) {
    sequence(dims[0], 0, dims + 1, in, out);
}

void oracle_memory_chunk(const int64_t *dims, const double *const *in, double *const *out) {
    sequence(dims[0], dims[1], dims + 2, in, out);
}

/* Eq 16: one chunk. */
void oracle_chunk_closed(const int64_t *dims, const double *const *in, double *const *out) {
    sequence(dims[0], dims[0], dims + 1, in, out);
}

/* Eq 17 put right (E1, E4): W_b = beta_b W_0 - 2 K D (K' W_0 - V)', D = diag(theta_i beta_b / beta_i), the
 * ratio being a product of 1 - alpha (E3); in rows, W_b = beta_b W_0 - 2 K' D (K W_0 - V). */
void oracle_chunk_linear(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], n0 = dims[1], n1 = dims[2];
    const Quad *W0 = quads_from(in[0], n0 * n1), *K = quads_from(in[1], T * n0),
               *V = quads_from(in[2], T * n1);
    const Quad *alpha = quads_from(in[3], T), *theta = quads_from(in[4], T);
    Quad *D = quads(T), beta = 1, *transposed = quads(n0 * T);
    for (int64_t i = 0; i < T; i++) {
        D[i] = 2 * theta[i], beta *= 1 - alpha[i];
        for (int64_t j = i + 1; j < T; j++) D[i] *= 1 - alpha[j];
        for (int64_t c = 0; c < n0; c++) transposed[c * T + i] = K[i * n0 + c];
    }
    Quad *error = quads_product(K, W0, T, n0, n1);
    for (int64_t i = 0; i < T; i++)
        for (int64_t c = 0; c < n1; c++) error[i * n1 + c] = D[i] * (error[i * n1 + c] - V[i * n1 + c]);
    Quad *W = quads_product(transposed, error, n0, T, n1);
    for (int64_t i = 0; i < n0 * n1; i++) W[i] = beta * W0[i] - W[i];
    quads_to(out[0], W, n0 * n1);
}

/* Eq 18 solved: S_t = prod eta S_0 - sum_i prod_{j > i} eta_j theta_i u_i. */
void oracle_chunk_momentum(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], n = dims[1];
    const Quad *u = quads_from(in[0], T * n), *theta = quads_from(in[1], T);
    const Quad *eta = quads_from(in[2], T), *S0 = quads_from(in[3], n);
    for (int64_t t = 0; t < T; t++)
        for (int64_t c = 0; c < n; c++) {
            Quad S = 0, power = 1;
            for (int64_t i = t; i >= 0; power *= eta[i--]) S -= power * theta[i] * u[i * n + c];
            out[0][t * n + c] = (double)(S + power * S0[c]);
        }
}
