/* The parts that the architectures of section 4 share: attention branch, memory branch, memory layer and
 * gate. H heads of dh channels lie side by side, D = H dh (E11). */
#pragma once
#include "attention.c"
#include "chunk.c"
#include "persistent.c"

#define MIXER_OPTIONS                                                                                        \
    "w b L e kind gelu residual norm per_layer channelwise per_chunk no_decay no_momentum persistent "       \
    "segment window literal"
#define MIXER_DIMS "T D H " MIXER_OPTIONS
enum { MIXER_DIM_W = 3, MIXER_DIM_PERSISTENT = 16, MIXER_DIM_COUNT = 20 };

/* The parameters of a memory branch, in this order. */
#define MEMORY_PARAMS "Wq Wk Wv conv_q conv_k conv_v W_gates b_gates M0"

typedef struct Mixing {
    int64_t T, D, H, dh;
    int64_t w, b, kind; /* convolution taps, 0 for none; chunk; sigmoid or hard gates */
    int64_t per_chunk, no_decay, no_momentum;
    int64_t persistent, segment, window, literal;
    Network net; /* of every head */
} Mixing;

/* From the dimensions MIXER_DIMS. E12: L layers from dh to dh, hidden width e dh. */
static Mixing mixing_at(const int64_t *n) {
    int64_t dh = n[1] / n[2], L = n[5];
    Network net = {L, {dh, 0, 0, 0, 0}, n[8], n[9], n[10], n[11], n[12]};
    for (int64_t l = 1; l <= L; l++) net.n[l] = l < L ? n[6] * dh : dh;
    Mixing m = {n[0], n[1], n[2], dh, n[3], n[4], n[7], n[13], n[14], n[15], n[16], n[17], n[18], n[19], net};
    return m;
}

/* Group h of x (T x H x n) -> y (T x n). */
static void head_get(int64_t T, int64_t H, int64_t n, int64_t h, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++) real_copy(n, x + (t * H + h) * n, y + t * n);
}

/* The reverse: y (T x n) -> group h of x (T x H x n). */
static void head_put(int64_t T, int64_t H, int64_t n, int64_t h, const real *y, real *x) {
    for (int64_t t = 0; t < T; t++) real_copy(n, y + t * n, x + (t * H + h) * n);
}

/* (2), (27) for H heads side by side: q, k, v, y (T x H x dh). */
static void attention_heads(int64_t T, int64_t H, int64_t dh, int64_t window, int64_t prefix, const real *q,
                            const real *k, const real *v, real *y) {
    real *q_h = R_NEW(T * dh), *k_h = R_NEW(T * dh), *v_h = R_NEW(T * dh), *y_h = R_NEW(T * dh);
    for (int64_t h = 0; h < H; h++) {
        head_get(T, H, dh, h, q, q_h);
        head_get(T, H, dh, h, k, k_h);
        head_get(T, H, dh, h, v, v_h);
        window_attention(T, T, dh, window, prefix, q_h, k_h, v_h, y_h);
        head_put(T, H, dh, h, y_h, y);
    }
    free(q_h);
    free(k_h);
    free(v_h);
    free(y_h);
}

/* Attention branch: (1) with rotary positions, the row numbers, then (27): u, y (T x D).
 * in: W_Q, W_K, W_V (D x D). */
static void attention_branch(const Mixing *m, int64_t T, int64_t window, int64_t prefix, const real *u,
                             const void *const *in, real *y) {
    real *q = R_NEW(T * m->D), *k = R_NEW(T * m->D), *v = R_NEW(T * m->D);
    project(T, m->D, m->D, u, IN(0), q);
    project(T, m->D, m->D, u, IN(1), k);
    project(T, m->D, m->D, u, IN(2), v);
    rope(T, m->H, m->dh, 0, q, q);
    rope(T, m->H, m->dh, 0, k, k);
    attention_heads(T, m->H, m->dh, window, prefix, q, k, v, y);
    free(q);
    free(k);
    free(v);
}

/* (11) and section 4.4: l2_norm(silu(conv(u W))), or without the norm; the convolution starts from zeros, and
 * without taps there is none. u, y (T x D), W (D x D), weight (w x D). */
static void memory_input(const Mixing *m, int64_t T, int normed, const real *u, const real *W,
                         const real *weight, real *y) {
    real *projected = R_NEW(T * m->D), *tail = R_NEW((m->w - 1) * m->D);
    project(T, m->D, m->D, u, W, projected);
    if (m->w > 0)
        conv_silu(T, m->D, m->w, projected, weight, tail, y);
    else
        for (int64_t i = 0; i < T * m->D; i++) y[i] = silu(projected[i]);
    if (normed) l2_norm(T * m->H, m->dh, y, y);
    free(projected);
    free(tail);
}

/* What the memories of all heads see of T tokens: q, k, v (T x H x dh), alpha (T x H x G K), theta, eta
 * (T x H x G), G and K as in memory.c. */
typedef struct MemoryInputs {
    real *q, *k, *v, *alpha, *theta, *eta;
} MemoryInputs;

/* Columns z_alpha | z_theta | z_eta of the gates' map, as gates() in layers.c takes them. */
static int64_t alpha_columns(const Mixing *m) {
    return m->no_decay ? 0 : m->H * gate_sets(&m->net) * gate_channels(&m->net);
}
static int64_t theta_columns(const Mixing *m) { return m->H * gate_sets(&m->net); }
static int64_t eta_columns(const Mixing *m) { return m->no_momentum ? 0 : m->H * gate_sets(&m->net); }
static int64_t gate_columns(const Mixing *m) { return alpha_columns(m) + theta_columns(m) + eta_columns(m); }

/* E10: the gates of z = u W + bias; with per_chunk (section 3.2) every token takes the z of the first token
 * of its chunk; gates that are left out stay 0. u (T x D), W (D x columns), bias (columns), theta_max (1). */
static void memory_gates(const Mixing *m, int64_t T, const real *u, const real *W, const real *bias,
                         const real *theta_max, const MemoryInputs *x) {
    int64_t n = gate_columns(m);
    real *z = R_NEW(T * n);
    project(T, m->D, n, u, W, z);
    for (int64_t i = 0; i < T * n; i++) z[i] = z[i] + bias[i % n];
    for (int64_t t = 0; t < T && m->per_chunk; t++) real_copy(n, z + t / m->b * m->b * n, z + t * n);
    gates(T, alpha_columns(m), theta_columns(m), eta_columns(m), m->kind, z, theta_max, x->alpha, x->theta,
          x->eta);
    free(z);
}

/* From u (T x D); in: MEMORY_PARAMS. */
static MemoryInputs memory_inputs_new(const Mixing *m, int64_t T, const real *u, const void *const *in,
                                      const real *theta_max) {
    int64_t G = gate_sets(&m->net), K = gate_channels(&m->net);
    MemoryInputs x = {R_NEW(T * m->D),         R_NEW(T * m->D),     R_NEW(T * m->D),
                      R_NEW(T * m->H * G * K), R_NEW(T * m->H * G), R_NEW(T * m->H * G)};
    memory_input(m, T, 1, u, IN(0), IN(3), x.q);
    memory_input(m, T, 1, u, IN(1), IN(4), x.k);
    memory_input(m, T, 0, u, IN(2), IN(5), x.v);
    memory_gates(m, T, u, IN(6), IN(7), theta_max, &x);
    return x;
}

static void memory_inputs_free(const MemoryInputs *x) {
    free(x->q);
    free(x->k);
    free(x->v);
    free(x->alpha);
    free(x->theta);
    free(x->eta);
}

/* (16)-(18), (15) of one head for the tokens from .. to - 1 of x, from a chunk's start: M, S (P) in place,
 * y ((to - from) x H x dh). */
static void memory_head(const Mixing *m, int64_t h, int64_t from, int64_t to, const MemoryInputs *x, real *M,
                        real *S, real *y) {
    int64_t T = to - from, H = m->H, dh = m->dh, G = gate_sets(&m->net), GK = G * gate_channels(&m->net);
    real *token = R_NEW(4 * T * dh), *k = token, *v = k + T * dh, *q = v + T * dh, *y_h = q + T * dh;
    real *gate = R_NEW(T * (GK + 2 * G)), *alpha = gate, *theta = alpha + T * GK, *eta = theta + T * G;
    Tokens tokens = {T, k, v, q, alpha, theta, eta};
    head_get(T, H, dh, h, x->k + from * H * dh, k);
    head_get(T, H, dh, h, x->v + from * H * dh, v);
    head_get(T, H, dh, h, x->q + from * H * dh, q);
    head_get(T, H, GK, h, x->alpha + from * H * GK, alpha);
    head_get(T, H, G, h, x->theta + from * H * G, theta);
    head_get(T, H, G, h, x->eta + from * H * G, eta);
    memory_chunk(&m->net, m->b, &tokens, M, S, y_h);
    head_put(T, H, dh, h, y_h, y);
    free(token);
    free(gate);
}

/* One memory per head (E11), for the tokens from .. to - 1 of x: M, S (H x P) in place,
 * y ((to - from) x D). */
static void memory_heads(const Mixing *m, int64_t from, int64_t to, const MemoryInputs *x, real *M, real *S,
                         real *y) {
    int64_t P = network_size(&m->net);
    for (int64_t h = 0; h < m->H; h++) memory_head(m, h, from, to, x, M + h * P, S + h * P, y);
}

/* (15), (21) y_t = M*(q_t) with one memory for all T tokens, every head its own: M (H x P), q, y (T x D). */
static void memory_retrieve(const Mixing *m, int64_t T, const real *M, const real *q, real *y) {
    int64_t P = network_size(&m->net);
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < m->H; h++) {
            int64_t at = t * m->D + h * m->dh;
            memory_read(&m->net, M + h * P, q + at, y + at);
        }
}

/* Memory branch: (11)-(18) from M_0 and S_0 = 0 (E12), chunks counted from the first row: u, y (T x D).
 * in: MEMORY_PARAMS. */
static void memory_branch(const Mixing *m, int64_t T, const real *u, const void *const *in,
                          const real *theta_max, real *y) {
    int64_t P = m->H * network_size(&m->net);
    real *M = R_NEW(P), *S = R_NEW(P);
    MemoryInputs x = memory_inputs_new(m, T, u, in, theta_max);
    real_copy(P, IN(8), M);
    memory_heads(m, 0, T, &x, M, S, y);
    memory_inputs_free(&x);
    free(M);
    free(S);
}

/* Section 4.4: o = norm_gate(memory branch(u), gain, u W_z) W_O: u, o (T x D).
 * in: MEMORY_PARAMS, gain (D), W_z, W_O (D x D). */
static void memory_layer(const Mixing *m, int64_t T, const real *u, const void *const *in,
                         const real *theta_max, real *o) {
    real *y = R_NEW(T * m->D), *z = R_NEW(T * m->D);
    memory_branch(m, T, u, in, theta_max, y);
    project(T, m->D, m->D, u, IN(10), z);
    norm_gate(T, m->H, m->dh, y, IN(9), z, y);
    project(T, m->D, m->D, y, IN(11), o);
    free(y);
    free(z);
}

/* rms_norm over each head's dh channels: x, y (T x D), gain (D). */
static void head_norm(int64_t T, int64_t H, int64_t dh, const real *x, const real *gain, real *y) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++) {
            int64_t at = (t * H + h) * dh;
            rms_norm(1, dh, x + at, gain + h * dh, y + at);
        }
}

/* (25), (28) as E13 reads the gate: o = rms(y) gain_y sigma(rms(m) gain_m), rms per head:
 * y, m, o (T x D), gain_y, gain_m (D). */
static void titans_gate(int64_t T, int64_t H, int64_t dh, const real *y, const real *m, const real *gain_y,
                        const real *gain_m, real *o) {
    int64_t n = T * H * dh;
    real *gate = R_NEW(n);
    head_norm(T, H, dh, m, gain_m, gate);
    head_norm(T, H, dh, y, gain_y, o);
    for (int64_t i = 0; i < n; i++) o[i] = o[i] * sigmoid(gate[i]);
    free(gate);
}

/* Sizes of n tensors of one size. */
static void sizes_fill(int64_t n, int64_t size, int64_t *in) {
    for (int64_t i = 0; i < n; i++) in[i] = size;
}

/* Sizes of MEMORY_PARAMS. */
static void memory_sizes(const Mixing *m, int64_t *in) {
    sizes_fill(3, m->D * m->D, in);
    sizes_fill(3, m->w * m->D, in + 3);
    in[6] = m->D * gate_columns(m);
    in[7] = gate_columns(m);
    in[8] = m->H * network_size(&m->net);
}

static void titans_gate_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = in[1] = out[0] = n[0] * n[1] * n[2];
    in[2] = in[3] = n[1] * n[2];
}

static void titans_gate_run(const int64_t *n, const void *const *in, void *const *out) {
    titans_gate(n[0], n[1], n[2], IN(0), IN(1), IN(2), IN(3), OUT(0));
}

static const Equation titans_equations[] = {{"titans_gate", "eqs 25 28, erratum E13", "T H dh",
                                             "y m gain_y gain_m", "o", titans_gate_shape, titans_gate_run},
                                            EQUATION_END};
