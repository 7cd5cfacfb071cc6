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

/* The rule of a token whose gradient is taken at the state `at`, and M(k), for descriptions. */
#define FULL_RULE(at)                                                                                        \
    "(13) M_t = (1 - alpha_t) M_{t-1} + S_t   (14) S_t = eta_t S_{t-1} - theta_t grad l(" at "; k_t, v_t), " \
    "(12) l = |M(k) - v|^2   (15) y_t = M_t(q_t)"
#define NETWORK_FORMULA                                                                                      \
    "M(k) = A_L, A_l = H_{l-1} W_l, H_0 = k, H_l = activation(A_l) for l < L = memory_layers; memory_norm: " \
    "A_L becomes (A_L - mean) / sqrt(variance + 1e-6), no gain; memory_residual: k is added last"
#define NORM_MEANING                                                                                         \
    "1: layer norm of the last layer's output; where that has 2 numbers float32 loses its slope "            \
    "(docs/numerics.md)"

/* What a memory can be; its widths are given one by one, or follow from others (titans.c). */
#define NETWORK_OPTIONS                                                                                      \
    CHOICE("activation", "gelu", "silu gelu",                                                                \
           "between layers; gelu is x sigma(2 sqrt(2 / pi) (x + 0.044715 x^3))"),                            \
        SWITCH("memory_residual", "residual", 0, "1: M(k) = k + .."),                                        \
        SWITCH("memory_norm", "norm", 0, NORM_MEANING),                                                      \
        SWITCH("gates_per_layer", "per_layer", 0, "1: every layer has its own alpha, theta, eta"),           \
        SWITCH("channelwise", NULL, 0, "1: an alpha for every output channel")
#define MEMORY_LAYERS                                                                                        \
    { "memory_layers", "L", 1, 4, 0, NULL, "layers of the memory network, L_M", NULL }
#define NETWORK                                                                                              \
    MEMORY_LAYERS, SIZE("n0", NULL, "width of keys and queries"),                                            \
        SIZE("n1", NULL, "width of the first layer's output"), COUNT("n2", NULL, "of the second's"),         \
        COUNT("n3", NULL, "of the third's"), COUNT("n4", NULL, "of the fourth's"), NETWORK_OPTIONS,          \
        DERIVED("values", NULL, network_values, "width of the last layer, n1 to n4"),                        \
        DERIVED("weights", "P", network_weights,                                                             \
                "n0 n1 + n1 n2 + ..: W_1 [n0][n1], then W_2 [n1][n2], .. of all layers"),                    \
        DERIVED("sets", "G", network_sets, "gates_per_layer: memory_layers, else 1"),                        \
        DERIVED("channels", "K", network_channels, "channelwise: values, else 1")

/* From the dimensions NETWORK. */
static Network network_at(const Call *c) {
    Network net = {
        dim(c, "memory_layers"), {dim(c, "n0"), dim(c, "n1"), dim(c, "n2"), dim(c, "n3"), dim(c, "n4")},
        dim(c, "activation"),    dim(c, "memory_residual"),
        dim(c, "memory_norm"),   dim(c, "gates_per_layer"),
        dim(c, "channelwise")};
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
        project_exact(1, net->n[l - 1], net->n[l], H + (l - 1) * width, M + network_layer(net, l), a);
        for (int64_t j = 0; l < L && j < net->n[l]; j++) h[j] = net->gelu ? gelu(a[j]) : silu(a[j]);
    }
    if (net->norm)
        layer_norm(net->n[L], R(1e-6), A + L * width, y);
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
    real *y = R_NEW(n), deviation = layer_norm(n, R(1e-6), a, y), sum_d = 0, sum_dy = 0;
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

static int64_t network_values(const Call *c) {
    Network net = network_at(c);
    return net.n[net.L];
}
static int64_t network_weights(const Call *c) {
    Network net = network_at(c);
    return network_size(&net);
}
static int64_t network_sets(const Call *c) {
    Network net = network_at(c);
    return gate_sets(&net);
}
static int64_t network_channels(const Call *c) {
    Network net = network_at(c);
    return gate_channels(&net);
}

static void surprise_run(const Call *c) {
    Network net = network_at(c);
    out(c, "loss")[0] = surprise(&net, in(c, "M"), in(c, "k"), in(c, "v"), out(c, "grad"));
}

static void momentary_rule_run(const Call *c) {
    Network net = network_at(c);
    real_copy(network_size(&net), in(c, "M"), out(c, "M1"));
    momentary_rule(&net, out(c, "M1"), in(c, "k"), in(c, "v"), in(c, "theta"));
}

static void momentum_rule_run(const Call *c) {
    Network net = network_at(c);
    real_copy(network_size(&net), in(c, "M"), out(c, "M1"));
    real_copy(network_size(&net), in(c, "S"), out(c, "S1"));
    momentum_rule(&net, out(c, "M1"), out(c, "S1"), in(c, "k"), in(c, "v"), in(c, "theta"), in(c, "eta"));
}

static void memory_step_run(const Call *c) {
    Network net = network_at(c);
    Tokens x = {1, in(c, "k"), in(c, "v"), NULL, in(c, "alpha"), in(c, "theta"), in(c, "eta")};
    real_copy(network_size(&net), in(c, "M"), out(c, "M1"));
    real_copy(network_size(&net), in(c, "S"), out(c, "S1"));
    memory_step(&net, &x, 0, out(c, "M1"), out(c, "S1"));
}

static void memory_read_run(const Call *c) {
    Network net = network_at(c);
    memory_read(&net, in(c, "M"), in(c, "q"), out(c, "y"));
}

/* "M0 S0 k v q alpha theta eta -> y M S": M and S start from M0 and S0. */
static Tokens tokens_at(const Call *c) {
    Network net = network_at(c);
    Tokens x = {dim(c, "tokens"), in(c, "k"),     in(c, "v"),  in(c, "q"),
                in(c, "alpha"),   in(c, "theta"), in(c, "eta")};
    real_copy(network_size(&net), in(c, "M0"), out(c, "M"));
    real_copy(network_size(&net), in(c, "S0"), out(c, "S"));
    return x;
}

static void memory_sequential_run(const Call *c) {
    Network net = network_at(c);
    Tokens x = tokens_at(c);
    memory_sequential(&net, &x, out(c, "M"), out(c, "S"), out(c, "y"));
}

static const Dimension network_dims[] = {NETWORK, DIMENSION_END};
static const Dimension memory_sequential_dims[] = {TOKENS, NETWORK, DIMENSION_END};
#define MEMORY_M                                                                                             \
    { "M", NULL, "weights", NUMBER, "the memory's weights" }
#define MEMORY_S                                                                                             \
    { "S", NULL, "weights", NUMBER, "its momentum" }
#define ONE_TOKEN                                                                                            \
    {"k", NULL, "n0", NUMBER, "key"}, { "v", NULL, "values", NUMBER, "value" }
#define ONE_ALPHA                                                                                            \
    {                                                                                                        \
        "alpha", NULL, "sets channels", DECAY,                                                               \
            "what is forgotten; channel j of K acts on columns j, j + K, .. of every W_l"                    \
    }
#define ONE_THETA                                                                                            \
    { "theta", NULL, "sets", STEP, "the step" }
#define ONE_ETA                                                                                              \
    { "eta", NULL, "sets", CARRY, "what is kept of the momentum" }
#define MEMORY_M1                                                                                            \
    { "M1", NULL, "weights", NUMBER, "the weights after the token" }
#define MEMORY_S1                                                                                            \
    { "S1", NULL, "weights", NUMBER, "the momentum after it" }
static const Argument surprise_in[] = {MEMORY_M, ONE_TOKEN, ARGUMENT_END};
static const Argument surprise_out[] = {{"loss", NULL, "1", NUMBER, "|M(k) - v|^2"},
                                        {"grad", NULL, "weights", NUMBER, "its gradient with respect to M"},
                                        ARGUMENT_END};
static const Argument momentary_rule_in[] = {MEMORY_M, ONE_TOKEN, ONE_THETA, ARGUMENT_END};
static const Argument momentary_rule_out[] = {MEMORY_M1, ARGUMENT_END};
static const Argument momentum_rule_in[] = {MEMORY_M, MEMORY_S, ONE_TOKEN, ONE_THETA, ONE_ETA, ARGUMENT_END};
static const Argument momentum_rule_out[] = {MEMORY_M1, MEMORY_S1, ARGUMENT_END};
static const Argument memory_step_in[] = {MEMORY_M,  MEMORY_S, ONE_TOKEN,   ONE_ALPHA,
                                          ONE_THETA, ONE_ETA,  ARGUMENT_END};
static const Argument memory_read_in[] = {MEMORY_M, {"q", NULL, "n0", NUMBER, "query"}, ARGUMENT_END};
static const Argument memory_read_out[] = {{"y", NULL, "values", NUMBER, "M(q)"}, ARGUMENT_END};
static const Argument memory_tokens_in[] = {
    {"M0", NULL, "weights", NUMBER, "the memory's weights before the first token"},
    {"S0", NULL, "weights", NUMBER, "its momentum"},
    {"k", NULL, "tokens n0", NUMBER, "keys"},
    {"v", NULL, "tokens values", NUMBER, "values"},
    {"q", NULL, "tokens n0", NUMBER, "queries"},
    {"alpha", NULL, "tokens sets channels", DECAY,
     "what is forgotten; channel j of K acts on columns j, j + K, .. of every W_l"},
    {"theta", NULL, "tokens sets", STEP, "the step"},
    {"eta", NULL, "tokens sets", CARRY, "what is kept of the momentum"},
    ARGUMENT_END};
static const Argument memory_tokens_out[] = {
    {"y", NULL, "tokens values", NUMBER, "what each query reads right after its token's write"},
    {"M", NULL, "weights", NUMBER, "the weights after the last token"},
    {"S", NULL, "weights", NUMBER, "the momentum after it"},
    ARGUMENT_END};

static const Equation memory_equations[] = {
    {"surprise", "eq 12, errata E1 E20", "(12) loss = |M(k) - v|^2, grad = dloss / dM\n" NETWORK_FORMULA,
     network_dims, surprise_in, surprise_out, surprise_run, NULL},
    {"momentary_rule", "eq 8", "(8) M1 = M - theta grad l(M; k, v), l = |M(k) - v|^2\n" NETWORK_FORMULA,
     network_dims, momentary_rule_in, momentary_rule_out, momentary_rule_run, NULL},
    {"momentum_rule", "eqs 9-10",
     "(9) M1 = M + S1   (10) S1 = eta S - theta grad l(M; k, v), l = |M(k) - v|^2\n" NETWORK_FORMULA,
     network_dims, momentum_rule_in, momentum_rule_out, momentum_rule_run, NULL},
    {"memory_step", "eqs 13-14",
     "(13) M1 = (1 - alpha) M + S1   (14) S1 = eta S - theta grad l(M; k, v), l = |M(k) - "
     "v|^2\n" NETWORK_FORMULA,
     network_dims, memory_step_in, momentum_rule_out, memory_step_run, NULL},
    {"memory_read", "eq 15", "(15) y = M(q)\n" NETWORK_FORMULA, network_dims, memory_read_in, memory_read_out,
     memory_read_run, NULL},
    {"memory_sequential", "eqs 12-15, erratum E7", FULL_RULE("M_{t-1}") "\n" NETWORK_FORMULA,
     memory_sequential_dims, memory_tokens_in, memory_tokens_out, memory_sequential_run, NULL},
    EQUATION_END};
