/* Equations 8-15: the neural long-term memory of one head, token by token.
 * The memory M is an MLP; its weights W_1..W_L, W_l (n_{l-1} x n_l), are concatenated, P numbers in all.
 * Vectors act from the left: H_0 = k, A_l = H_{l-1} W_l, H_l = act(A_l) for l < L, M(k) = A_L. Options:
 * act = GELU instead of SiLU; layer norm of A_L; the residual M(k) = k + ...
 * The gates of a token are alpha (G x K), theta, eta (G): G = 1 set for all layers, or L, one per layer; K =
 * 1 forgetting factor in a set, or n_L, one per output channel. */
#pragma once
#include "layers.c"

typedef struct Network {
    int64_t L, n[5], gelu, residual, norm, per_layer, channelwise;
} Network;

/* What the memory sees of T tokens: k, q (T x n_0), v (T x n_L), alpha (T x G x K), theta, eta (T x G). */
typedef struct Tokens {
    int64_t T;
    const real *k, *v, *q, *alpha, *theta, *eta;
} Tokens;

#define NETWORK_DIMS "L n0 n1 n2 n3 n4 gelu residual norm per_layer channelwise"

/* From the dimensions NETWORK_DIMS. */
static Network network_at(const int64_t *dims) {
    Network net = {dims[0], {dims[1], dims[2], dims[3], dims[4], dims[5]}, dims[6], dims[7], dims[8], dims[9],
                   dims[10]};
    return net;
}

/* Where W_l starts among the weights, l = 1..L+1; the last is P. */
static int64_t network_layer(const Network *net, int64_t l) {
    int64_t at = 0;
    for (int64_t j = 1; j < l; j++) at += net->n[j - 1] * net->n[j];
    return at;
}

static int64_t network_size(const Network *net) { return network_layer(net, net->L + 1); }

/* G and K */
static int64_t gate_sets(const Network *net) { return net->per_layer ? net->L : 1; }
static int64_t gate_channels(const Network *net) { return net->channelwise ? net->n[net->L] : 1; }

/* The set of layer l, l = 1..L, and within a token's alpha the number for column j of W_l: a hidden layer
 * wider than n_L repeats its channels. */
static int64_t gate_set(const Network *net, int64_t l) { return net->per_layer ? l - 1 : 0; }
static int64_t gate_alpha(const Network *net, int64_t l, int64_t j) {
    return gate_set(net, l) * gate_channels(net) + (net->channelwise ? j % net->n[net->L] : 0);
}

/* A buffer for all layers' vectors: layer l's vector starts at l * network_width. */
static int64_t network_width(const Network *net) {
    int64_t width = net->n[0];
    for (int64_t l = 1; l <= net->L; l++)
        if (net->n[l] > width) width = net->n[l];
    return width;
}

/* A_l = H_{l-1} W_l, H_l = act(A_l) for l < L, H_L = [k +] [norm] A_L: k (n_0), A and H as network_width
 * says.
 */
static void network_forward(const Network *net, const real *M, const real *k, real *A, real *H) {
    int64_t width = network_width(net), L = net->L;
    real *y = H + L * width;
    real_copy(net->n[0], k, H);
    for (int64_t l = 1; l <= L; l++) {
        real *a = A + l * width, *h = H + l * width;
        project(1, net->n[l - 1], net->n[l], H + (l - 1) * width, M + network_layer(net, l), a);
        for (int64_t j = 0; l < L && j < net->n[l]; j++) h[j] = net->gelu ? gelu(a[j]) : silu(a[j]);
    }
    if (net->norm)
        layer_norm(net->n[L], A + L * width, y);
    else
        real_copy(net->n[L], A + L * width, y);
    for (int64_t j = 0; net->residual && j < net->n[L]; j++) y[j] = k[j] + y[j];
}

/* silu'(a) = s (1 + a (1 - s)), s = sigma(a) */
static real silu_slope(real a) {
    real s = sigmoid(a);
    return s * (1 + a * (1 - s));
}

/* gelu'(a) = s (1 + a (1 - s) z'), s = sigma(z), z = c (a + 0.044715 a^3), z' = c (1 + 3 0.044715 a^2) */
static real gelu_slope(real a) {
    real c = R(1.5957691216057308), s = sigmoid(c * (a + R(0.044715) * a * a * a));
    return s * (1 + a * (1 - s) * c * (1 + 3 * R(0.044715) * a * a));
}

/* E20: of y = layer_norm(a), from d = dloss/dy to dloss/da = (d - mean d - y mean(d y)) / deviation, in
 * place: a, d (n). */
static void layer_norm_back(int64_t n, const real *a, real *d) {
    real *y = R_NEW(n), deviation = layer_norm(n, a, y), sum_d = 0, sum_dy = 0;
    for (int64_t i = 0; i < n; i++) {
        sum_d += d[i];
        sum_dy += d[i] * y[i];
    }
    for (int64_t i = 0; i < n; i++) d[i] = (d[i] - sum_d / (real)n - y[i] * (sum_dy / (real)n)) / deviation;
    free(y);
}

/* The gradient with respect to the weights, by back-propagation from D_L = dloss/dA_L:
 *      u_l = H_{l-1}' D_l,   D_{l-1} = (D_l W_l') act'(A_{l-1}).
 * M, u (P), A, H, D as network_width says. */
static void network_back(const Network *net, const real *M, const real *A, const real *H, real *D, real *u) {
    int64_t width = network_width(net);
    for (int64_t l = net->L; l >= 1; l--) {
        const real *W = M + network_layer(net, l), *d = D + l * width;
        real *du = u + network_layer(net, l);
        for (int64_t i = 0; i < net->n[l - 1]; i++) {
            real back = 0, a = A[(l - 1) * width + i];
            for (int64_t j = 0; j < net->n[l]; j++) {
                du[i * net->n[l] + j] = H[(l - 1) * width + i] * d[j];
                back += d[j] * W[i * net->n[l] + j];
            }
            if (l > 1) D[(l - 1) * width + i] = back * (net->gelu ? gelu_slope(a) : silu_slope(a));
        }
    }
}

/* (12) loss = || M(k) - v ||^2 and its gradient with respect to the weights: dloss/dM(k) = 2 (M(k) - v)
 * (E1: the 2 stays), through the norm if there is one; the residual has no weights.
 * M, u (P), k (n_0), v (n_L). */
static real surprise(const Network *net, const real *M, const real *k, const real *v, real *u) {
    int64_t width = network_width(net), L = net->L;
    real *A = R_NEW((L + 1) * width), *H = R_NEW((L + 1) * width), *D = R_NEW((L + 1) * width), loss = 0;
    network_forward(net, M, k, A, H);
    for (int64_t j = 0; j < net->n[L]; j++) {
        real error = H[L * width + j] - v[j];
        loss += error * error;
        D[L * width + j] = 2 * error;
    }
    if (net->norm) layer_norm_back(net->n[L], A + L * width, D + L * width);
    network_back(net, M, A, H, D, u);
    free(A);
    free(H);
    free(D);
    return loss;
}

/* (8) M_t = M_{t-1} - theta_t grad l(M_{t-1}; x_t), in place: M (P), theta (G). */
static void momentary_rule(const Network *net, real *M, const real *k, const real *v, const real *theta) {
    real *u = R_NEW(network_size(net));
    surprise(net, M, k, v, u);
    for (int64_t l = 1; l <= net->L; l++)
        for (int64_t p = network_layer(net, l); p < network_layer(net, l + 1); p++)
            M[p] = M[p] - theta[gate_set(net, l)] * u[p];
    free(u);
}

/* (9) M_t = M_{t-1} + S_t   (10) S_t = eta_t S_{t-1} - theta_t grad l(M_{t-1}; x_t), in place: M, S (P),
 * theta, eta (G). */
static void momentum_rule(const Network *net, real *M, real *S, const real *k, const real *v,
                          const real *theta, const real *eta) {
    real *u = R_NEW(network_size(net));
    surprise(net, M, k, v, u);
    for (int64_t l = 1; l <= net->L; l++)
        for (int64_t p = network_layer(net, l); p < network_layer(net, l + 1); p++) {
            S[p] = eta[gate_set(net, l)] * S[p] - theta[gate_set(net, l)] * u[p];
            M[p] = M[p] + S[p];
        }
    free(u);
}

/* (13) M_t = (1 - alpha_t) M_{t-1} + S_t   (14) S_t = eta_t S_{t-1} - theta_t u_t, with the gates of token t
 * of x, in place: M, S, u (P). */
static void full_rule(const Network *net, const Tokens *x, int64_t t, const real *u, real *M, real *S) {
    int64_t G = gate_sets(net), K = gate_channels(net);
    const real *alpha = x->alpha + t * G * K, *theta = x->theta + t * G, *eta = x->eta + t * G;
    for (int64_t l = 1; l <= net->L; l++) {
        int64_t g = gate_set(net, l), first = network_layer(net, l);
        for (int64_t i = 0; i < net->n[l - 1] * net->n[l]; i++) {
            int64_t p = first + i;
            S[p] = eta[g] * S[p] - theta[g] * u[p];
            M[p] = (1 - alpha[gate_alpha(net, l, i % net->n[l])]) * M[p] + S[p];
        }
    }
}

/* (13)-(14) with u_t = grad l(M_{t-1}; x_t), token t of x, in place: M, S (P). */
static void memory_step(const Network *net, const Tokens *x, int64_t t, real *M, real *S) {
    real *u = R_NEW(network_size(net));
    surprise(net, M, x->k + t * net->n[0], x->v + t * net->n[net->L], u);
    full_rule(net, x, t, u, M, S);
    free(u);
}

/* (15) y = M*(q), reading without writing: M (P), q (n_0), y (n_L). */
static void memory_read(const Network *net, const real *M, const real *q, real *y) {
    int64_t width = network_width(net);
    real *A = R_NEW((net->L + 1) * width), *H = R_NEW((net->L + 1) * width);
    network_forward(net, M, q, A, H);
    real_copy(net->n[net->L], H + net->L * width, y);
    free(A);
    free(H);
}

/* (12)-(15) for T tokens, each reading the memory it has just written (E7): M, S (P) in place, y (T x n_L).
 */
static void memory_sequential(const Network *net, const Tokens *x, real *M, real *S, real *y) {
    for (int64_t t = 0; t < x->T; t++) {
        memory_step(net, x, t, M, S);
        memory_read(net, M, x->q + t * net->n[0], y + t * net->n[net->L]);
    }
}

static void surprise_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Network net = network_at(n);
    in[0] = out[1] = network_size(&net);
    in[1] = net.n[0];
    in[2] = net.n[net.L];
    out[0] = 1;
}

static void surprise_run(const int64_t *n, const void *const *in, void *const *out) {
    Network net = network_at(n);
    OUT(0)[0] = surprise(&net, IN(0), IN(1), IN(2), OUT(1));
}

static void momentary_rule_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Network net = network_at(n);
    in[0] = out[0] = network_size(&net);
    in[1] = net.n[0];
    in[2] = net.n[net.L];
    in[3] = gate_sets(&net);
}

static void momentary_rule_run(const int64_t *n, const void *const *in, void *const *out) {
    Network net = network_at(n);
    real_copy(network_size(&net), IN(0), OUT(0));
    momentary_rule(&net, OUT(0), IN(1), IN(2), IN(3));
}

static void momentum_rule_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Network net = network_at(n);
    in[0] = in[1] = out[0] = out[1] = network_size(&net);
    in[2] = net.n[0];
    in[3] = net.n[net.L];
    in[4] = in[5] = gate_sets(&net);
}

static void momentum_rule_run(const int64_t *n, const void *const *in, void *const *out) {
    Network net = network_at(n);
    real_copy(network_size(&net), IN(0), OUT(0));
    real_copy(network_size(&net), IN(1), OUT(1));
    momentum_rule(&net, OUT(0), OUT(1), IN(2), IN(3), IN(4), IN(5));
}

static void memory_step_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Network net = network_at(n);
    momentum_rule_shape(n, in, out);
    in[4] = gate_sets(&net) * gate_channels(&net);
    in[5] = in[6] = gate_sets(&net);
}

static void memory_step_run(const int64_t *n, const void *const *in, void *const *out) {
    Network net = network_at(n);
    Tokens x = {1, IN(2), IN(3), NULL, IN(4), IN(5), IN(6)};
    real_copy(network_size(&net), IN(0), OUT(0));
    real_copy(network_size(&net), IN(1), OUT(1));
    memory_step(&net, &x, 0, OUT(0), OUT(1));
}

static void memory_read_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Network net = network_at(n);
    in[0] = network_size(&net);
    in[1] = net.n[0];
    out[0] = net.n[net.L];
}

static void memory_read_run(const int64_t *n, const void *const *in, void *const *out) {
    Network net = network_at(n);
    memory_read(&net, IN(0), IN(1), OUT(0));
}

/* Sizes of "M0 S0 k v q alpha theta eta -> y M S" for T tokens. */
static void tokens_sizes(int64_t T, const Network *net, int64_t *in, int64_t *out) {
    in[0] = in[1] = out[1] = out[2] = network_size(net);
    in[2] = in[4] = T * net->n[0];
    in[3] = out[0] = T * net->n[net->L];
    in[5] = T * gate_sets(net) * gate_channels(net);
    in[6] = in[7] = T * gate_sets(net);
}

static void memory_sequential_shape(const int64_t *n, int64_t *in, int64_t *out) {
    Network net = network_at(n + 1);
    tokens_sizes(n[0], &net, in, out);
}

static void memory_sequential_run(const int64_t *n, const void *const *in, void *const *out) {
    Network net = network_at(n + 1);
    Tokens x = {n[0], IN(2), IN(3), IN(4), IN(5), IN(6), IN(7)};
    real_copy(network_size(&net), IN(0), OUT(1));
    real_copy(network_size(&net), IN(1), OUT(2));
    memory_sequential(&net, &x, OUT(1), OUT(2), OUT(0));
}

static const Equation memory_equations[] = {
    {"surprise", "eq 12, errata E1 E20", NETWORK_DIMS, "M k v", "loss grad", surprise_shape, surprise_run},
    {"momentary_rule", "eq 8", NETWORK_DIMS, "M k v theta", "M1", momentary_rule_shape, momentary_rule_run},
    {"momentum_rule", "eqs 9-10", NETWORK_DIMS, "M S k v theta eta", "M1 S1", momentum_rule_shape,
     momentum_rule_run},
    {"memory_step", "eqs 13-14", NETWORK_DIMS, "M S k v alpha theta eta", "M1 S1", memory_step_shape,
     memory_step_run},
    {"memory_read", "eq 15", NETWORK_DIMS, "M q", "y", memory_read_shape, memory_read_run},
    {"memory_sequential", "eqs 12-15, erratum E7", "T " NETWORK_DIMS, "M0 S0 k v q alpha theta eta", "y M S",
     memory_sequential_shape, memory_sequential_run},
    EQUATION_END};
