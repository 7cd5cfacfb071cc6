/* Eqs 8-18 behind the reference's tensors. */
#include "oracle/oracle.h"
#include "oracle/memory.h"

/* A network and the sizes of its tensors. */
typedef struct Single {
    Network n;
    int64_t weights, sets, channels, din, dout;
} Single;

static Single single_of(const OracleCall *call) {
    Single s = {.n = network_of(call)};
    s.weights = network_weights(&s.n);
    s.sets = network_sets(&s.n), s.channels = network_channels(&s.n);
    s.din = s.n.width[0], s.dout = s.n.width[s.n.layers];
    return s;
}

/* Eq 12 and its gradient. */
static void surprise(const OracleCall *call) {
    const Single s = single_of(call);
    const Quad *M = quads_from(in(call, "M"), s.weights), *k = quads_from(in(call, "k"), s.din),
               *v = quads_from(in(call, "v"), s.dout);
    Quad *u = quads(s.weights);
    network_surprise(&s.n, M, k, v, u);
    out(call, "loss")[0] = (double)network_loss(&s.n, M, k, v);
    quads_to(out(call, "grad"), u, s.weights);
}

/* One token of eqs 13-14; eqs 9-10 are alpha = 0, eq 8 is S_0 = 0 and eta = 0 as well. Gates that are NULL
 * are 0. */
static void one_token(const OracleCall *call, const double *S, const double *alpha, const double *eta) {
    const Single s = single_of(call);
    Quad *none = quads(s.weights + s.sets * s.channels);
    History h = {.network = &s.n, .tokens = 1};
    h.k = quads_from(in(call, "k"), s.din), h.v = quads_from(in(call, "v"), s.dout);
    h.alpha = alpha ? quads_from(alpha, s.sets * s.channels) : none;
    h.theta = quads_from(in(call, "theta"), s.sets);
    h.eta = eta ? quads_from(eta, s.sets) : none;
    history_by_steps(&h, quads_from(in(call, "M"), s.weights), S ? quads_from(S, s.weights) : none);
    quads_to(out(call, "M1"), h.M + s.weights, s.weights);
    if (S) quads_to(out(call, "S1"), h.S + s.weights, s.weights);
}

static void momentary_rule(const OracleCall *call) { one_token(call, NULL, NULL, NULL); }
static void momentum_rule(const OracleCall *call) { one_token(call, in(call, "S"), NULL, in(call, "eta")); }
static void memory_step(const OracleCall *call) {
    one_token(call, in(call, "S"), in(call, "alpha"), in(call, "eta"));
}

/* Eq 15. */
static void memory_read(const OracleCall *call) {
    const Single s = single_of(call);
    Quad *y = quads(s.dout);
    network_read(&s.n, quads_from(in(call, "M"), s.weights), quads_from(in(call, "q"), s.din), y);
    quads_to(out(call, "y"), y, s.dout);
}

/* M0 S0 k v q alpha theta eta -> y M S, over T tokens. */
static void sequence(const OracleCall *call, int64_t chunk) {
    const Single s = single_of(call);
    const int64_t tokens = size(call, "tokens");
    History h = {.network = &s.n, .tokens = tokens, .chunk = chunk};
    const Quad *M0 = quads_from(in(call, "M0"), s.weights), *S0 = quads_from(in(call, "S0"), s.weights);
    h.k = quads_from(in(call, "k"), tokens * s.din), h.v = quads_from(in(call, "v"), tokens * s.dout);
    const Quad *q = quads_from(in(call, "q"), tokens * s.din);
    h.alpha = quads_from(in(call, "alpha"), tokens * s.sets * s.channels);
    h.theta = quads_from(in(call, "theta"), tokens * s.sets),
    h.eta = quads_from(in(call, "eta"), tokens * s.sets);
    if (chunk)
        history_by_chunks(&h, M0, S0);
    else
        history_by_steps(&h, M0, S0);
    Quad *y = quads(tokens * s.dout);
    for (int64_t t = 0; t < tokens; t++) /* E7: the state right after token t */
        network_read(&s.n, h.M + (t + 1) * s.weights, q + t * s.din, y + t * s.dout);
    quads_to(out(call, "y"), y, tokens * s.dout);
    quads_to(out(call, "M"), h.M + tokens * s.weights, s.weights);
    quads_to(out(call, "S"), h.S + tokens * s.weights, s.weights);
}

static void memory_sequential(const OracleCall *call) { sequence(call, 0); }

static void memory_chunk(const OracleCall *call) { sequence(call, size(call, "chunk")); }

/* Eq 16: one chunk. */
static void chunk_closed(const OracleCall *call) { sequence(call, size(call, "tokens")); }

/* Eq 17 put right (E1, E4): W_b = beta_b W_0 - 2 K D (K' W_0 - V)', D = diag(theta_i beta_b / beta_i), the
 * ratio being a product of 1 - alpha (E3); in rows, W_b = beta_b W_0 - 2 K' D (K W_0 - V). */
static void chunk_linear(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), n0 = size(call, "n0"), n1 = size(call, "n1");
    const Quad *W0 = quads_from(in(call, "W0"), n0 * n1), *K = quads_from(in(call, "k"), T * n0),
               *V = quads_from(in(call, "v"), T * n1);
    const Quad *alpha = quads_from(in(call, "alpha"), T), *theta = quads_from(in(call, "theta"), T);
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
    quads_to(out(call, "W"), W, n0 * n1);
}

/* Eq 18 solved: S_t = prod eta S_0 - sum_i prod_{j > i} eta_j theta_i u_i. */
static void chunk_momentum(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), n = size(call, "n");
    const Quad *u = quads_from(in(call, "u"), T * n), *theta = quads_from(in(call, "theta"), T);
    const Quad *eta = quads_from(in(call, "eta"), T), *S0 = quads_from(in(call, "S0"), n);
    for (int64_t t = 0; t < T; t++)
        for (int64_t c = 0; c < n; c++) {
            Quad S = 0, power = 1;
            for (int64_t i = t; i >= 0; power *= eta[i--]) S -= power * theta[i] * u[i * n + c];
            out(call, "S")[t * n + c] = (double)(S + power * S0[c]);
        }
}

static const OracleEquation equations[] = {{"surprise", surprise},
                                           {"momentary_rule", momentary_rule},
                                           {"momentum_rule", momentum_rule},
                                           {"memory_step", memory_step},
                                           {"memory_read", memory_read},
                                           {"memory_sequential", memory_sequential},
                                           {"memory_chunk", memory_chunk},
                                           {"chunk_closed", chunk_closed},
                                           {"chunk_linear", chunk_linear},
                                           {"chunk_momentum", chunk_momentum},
                                           {0, 0}};
const OracleEquations oracle_equations_memory = {equations};
