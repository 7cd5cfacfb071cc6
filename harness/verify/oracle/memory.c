#include "oracle/memory.h"

Network network_of(const OracleCall *c) {
    static const char *const width[] = {"n0", "n1", "n2", "n3", "n4"};
    Network n = {.layers = size(c, "memory_layers"), .gelu = size(c, "activation") != 0};
    for (int i = 0; i < 5; i++) n.width[i] = size(c, width[i]);
    n.residual = size(c, "memory_residual") != 0, n.norm = size(c, "memory_norm") != 0;
    n.per_layer = size(c, "gates_per_layer") != 0, n.channelwise = size(c, "channelwise") != 0;
    return n;
}

int64_t network_weights(const Network *n) {
    int64_t sum = 0;
    for (int64_t l = 0; l < n->layers; l++) sum += n->width[l] * n->width[l + 1];
    return sum;
}

int64_t network_sets(const Network *n) { return n->per_layer ? n->layers : 1; }
int64_t network_channels(const Network *n) { return n->channelwise ? n->width[n->layers] : 1; }

/* a / (1 + exp(-x)). */
static Dual gated(Dual a, Dual x) { return dual_div(a, dual_add(dual(1), dual_exp(dual_sub(dual(0), x)))); }

/* SiLU (E12), or the tanh form of GELU: (x / 2)(1 + tanh z) = x sigma(2 z), z = sqrt(2 / pi) (x + 0.044715
 * x^3).
 */
static Dual activation(const Network *n, Dual x) {
    if (!n->gelu) return gated(x, x);
    const Dual cube = dual_mul(dual_mul(x, x), x);
    const Dual sum = dual_add(x, dual_mul(dual(constant((Quad)44715 / 1000000)), cube));
    return gated(x, dual_mul(dual(constant(2 * quad_sqrt(2 / quad_pi()))), sum));
}

/* E20: (a - mean a) / sqrt(mean (a - mean a)^2 + 1e-6). */
static void layer_norm(Dual *a, int64_t n) {
    Dual mean = dual(0), variance = dual(constant((Quad)1 / 1000000));
    for (int64_t i = 0; i < n; i++) mean = dual_add(mean, dual_div(a[i], dual(n)));
    for (int64_t i = 0; i < n; i++) {
        a[i] = dual_sub(a[i], mean);
        variance = dual_add(variance, dual_div(dual_mul(a[i], a[i]), dual(n)));
    }
    for (int64_t i = 0; i < n; i++) a[i] = dual_div(a[i], dual_sqrt(variance));
}

/* M(k) = residual k + LN(A_L), A_l = H_{l-1} W_l, H_l = act(A_l), H_0 = k. */
static void network_forward(const Network *n, const Dual *W, const Quad *k, Dual *out) {
    const int64_t dout = n->width[n->layers];
    Dual *h = scratch(n->width[0] * (int64_t)sizeof(Dual));
    for (int64_t i = 0; i < n->width[0]; i++) h[i] = dual(k[i]);
    for (int64_t l = 0; l < n->layers; l++) {
        const int64_t rows = n->width[l], columns = n->width[l + 1];
        Dual *a = scratch(columns * (int64_t)sizeof(Dual));
        for (int64_t j = 0; j < columns; j++) {
            for (int64_t i = 0; i < rows; i++) a[j] = dual_add(a[j], dual_mul(h[i], W[i * columns + j]));
            if (l + 1 < n->layers) a[j] = activation(n, a[j]);
        }
        W += rows * columns;
        h = a;
    }
    if (n->norm) layer_norm(h, dout);
    for (int64_t j = 0; j < dout; j++) out[j] = n->residual ? dual_add(h[j], dual(k[j])) : h[j];
}

static Dual *weights_of(const Network *n, const Quad *M) {
    const int64_t weights = network_weights(n);
    Dual *W = scratch(weights * (int64_t)sizeof(Dual));
    for (int64_t p = 0; p < weights; p++) W[p] = dual(M[p]);
    return W;
}

void network_read(const Network *n, const Quad *M, const Quad *k, Quad *out) {
    const int64_t dout = n->width[n->layers];
    Dual *y = scratch(dout * (int64_t)sizeof(Dual));
    network_forward(n, weights_of(n, M), k, y);
    for (int64_t j = 0; j < dout; j++) out[j] = y[j].v;
}

/* Eq 12: || M(k) - v ||^2, without a factor 1/2 (E1). */
static Dual loss_of(const Network *n, const Dual *W, const Quad *k, const Quad *v) {
    const int64_t dout = n->width[n->layers];
    Dual *y = scratch(dout * (int64_t)sizeof(Dual)), sum = dual(0);
    network_forward(n, W, k, y);
    for (int64_t j = 0; j < dout; j++) {
        const Dual error = dual_sub(y[j], dual(v[j]));
        sum = dual_add(sum, dual_mul(error, error));
    }
    return sum;
}

Quad network_loss(const Network *n, const Quad *M, const Quad *k, const Quad *v) {
    return loss_of(n, weights_of(n, M), k, v).v;
}

void network_surprise(const Network *n, const Quad *M, const Quad *k, const Quad *v, Quad *u) {
    Dual *W = weights_of(n, M);
    for (int64_t p = 0; p < network_weights(n); p++) {
        W[p].t = 1;
        u[p] = loss_of(n, W, k, v).t;
        W[p].t = 0;
    }
}

/* Where the gates of weight p are: its layer's set, and its output channel's entry of alpha (column j of a
 * layer takes entry j mod n_L). */
static void gate_of(const Network *n, int64_t p, int64_t *set, int64_t *channel) {
    int64_t l = 0;
    for (; p >= n->width[l] * n->width[l + 1]; l++) p -= n->width[l] * n->width[l + 1];
    *set = n->per_layer ? l : 0;
    *channel = p % n->width[l + 1] % network_channels(n);
}

static Quad kept(const History *h, int64_t t, int64_t set, int64_t channel) {
    const int64_t sets = network_sets(h->network), channels = network_channels(h->network);
    return 1 - h->alpha[(t * sets + set) * channels + channel];
}

static void history_open(History *h, const Quad *M0, const Quad *S0) {
    const int64_t weights = network_weights(h->network);
    h->M = quads((h->tokens + 1) * weights);
    h->S = quads((h->tokens + 1) * weights);
    for (int64_t p = 0; p < weights; p++) h->M[p] = M0[p], h->S[p] = S0[p];
}

void history_by_steps(History *h, const Quad *M0, const Quad *S0) {
    const Network *n = h->network;
    const int64_t weights = network_weights(n), sets = network_sets(n);
    history_open(h, M0, S0);
    Quad *u = quads(weights);
    for (int64_t t = 0; t < h->tokens; t++) {
        const Quad *M = h->M + t * weights, *S = h->S + t * weights;
        network_surprise(n, M, h->k + t * n->width[0], h->v + t * n->width[n->layers], u);
        for (int64_t p = 0; p < weights; p++) {
            int64_t set, channel;
            gate_of(n, p, &set, &channel);
            const Quad surprise = h->eta[t * sets + set] * S[p] - h->theta[t * sets + set] * u[p];
            h->S[(t + 1) * weights + p] = surprise;
            h->M[(t + 1) * weights + p] = kept(h, t, set, channel) * M[p] + surprise;
        }
    }
}

/* Product of 1 - alpha over tokens [from, to). */
static Quad decay(const History *h, int64_t from, int64_t to, int64_t set, int64_t channel) {
    Quad product = 1;
    for (int64_t t = from; t < to; t++) product *= kept(h, t, set, channel);
    return product;
}

/* Product of eta over tokens [from, to). */
static Quad momentum(const History *h, int64_t from, int64_t to, int64_t set) {
    Quad product = 1;
    for (int64_t t = from; t < to; t++) product *= h->eta[t * network_sets(h->network) + set];
    return product;
}

/* E5, solved: what enters S after `from` tokens rides on S to some token s <= t and decays in M from there,
 * so its weight in M after t tokens is the sum over s of prod eta (from .. s) prod (1 - alpha) (s .. t). An
 * entry at token i counts from its own token on, which is s = i with an empty product of eta. */
static Quad ride(const History *h, int64_t from, int64_t first, int64_t t, int64_t set, int64_t channel) {
    Quad sum = 0;
    for (int64_t s = first; s <= t; s++) sum += momentum(h, from, s, set) * decay(h, s, t, set, channel);
    return sum;
}

/* Eqs 16 and 18 with E5: adds to weights of one set and channel the closed sums after t tokens, the chunk
 * having begun at `start`; u holds the gradients of the chunk's tokens. */
static void chunk_state(History *h, int64_t start, int64_t t, const Quad *u, int64_t set, int64_t channel) {
    const Network *n = h->network;
    const int64_t weights = network_weights(n), sets = network_sets(n), count = t - start;
    const Quad beta = decay(h, start, t, set, channel), a = ride(h, start, start + 1, t, set, channel);
    const Quad power = momentum(h, start, t, set);
    Quad *c = quads(count), *e = quads(count);
    for (int64_t i = 0; i < count; i++) {
        const Quad theta = h->theta[(start + i) * sets + set];
        c[i] = theta * ride(h, start + i + 1, start + i + 1, t, set, channel);
        e[i] = theta * momentum(h, start + i + 1, t, set);
    }
    for (int64_t p = 0; p < weights; p++) {
        int64_t own_set, own_channel;
        gate_of(n, p, &own_set, &own_channel);
        if (own_set != set || own_channel != channel) continue;
        Quad M = beta * h->M[start * weights + p] + a * h->S[start * weights + p];
        Quad S = power * h->S[start * weights + p];
        for (int64_t i = 0; i < count; i++) M -= c[i] * u[i * weights + p], S -= e[i] * u[i * weights + p];
        h->M[t * weights + p] = M, h->S[t * weights + p] = S;
    }
}

void history_by_chunks(History *h, const Quad *M0, const Quad *S0) {
    const Network *n = h->network;
    const int64_t weights = network_weights(n), b = h->chunk;
    history_open(h, M0, S0);
    Quad *u = quads(b * weights);
    for (int64_t t = 1; t <= h->tokens; t++) {
        const int64_t start = b * ((t - 1) / b); /* E2 */
        network_surprise(n, h->M + start * weights, h->k + (t - 1) * n->width[0],
                         h->v + (t - 1) * n->width[n->layers], u + (t - 1 - start) * weights);
        for (int64_t set = 0; set < network_sets(n); set++)
            for (int64_t channel = 0; channel < network_channels(n); channel++)
                chunk_state(h, start, t, u, set, channel);
    }
}
