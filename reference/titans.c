/* The parts that the architectures of section 4 share: attention branch, memory branch, memory layer and
 * gate. H heads of dh channels lie side by side, D = H dh (E11). */
#pragma once
#include "attention.c"
#include "chunk.c"
#include "persistent.c"
#include "position.c"

typedef struct Mixing {
    int64_t T, D, H, dh;
    int64_t w, b, hard; /* convolution taps, 0 for none; chunk; hard gates */
    int64_t per_chunk, forget, momentum;
    int64_t persistent, segment, window, literal;
    int64_t positions, scaling, trained, asked, logs; /* of attention, 0: plain rotary positions */
    Network net;                                      /* of every head */
} Mixing;

/* From a mixer's dimensions; options that it does not have are as if they were off. E12: L layers from dh to dh,
 * hidden width e dh. */
static Mixing mixing_at(const Call *c) {
    int64_t D = dim(c, "width"), H = dim(c, "heads"), dh = D / H, L = dim_or(c, "memory_layers", 0);
    Network net = {L,
                   {dh, 0, 0, 0, 0},
                   dim_or(c, "activation", 0),
                   dim_or(c, "memory_residual", 0),
                   dim_or(c, "memory_norm", 0),
                   dim_or(c, "gates_per_layer", 0),
                   dim_or(c, "channelwise", 0)};
    for (int64_t l = 1; l <= L; l++) net.n[l] = l < L ? dim(c, "expansion") * dh : dh;
    Mixing m = {dim(c, "tokens"),
                D,
                H,
                dh,
                dim_or(c, "taps", 0),
                dim_or(c, "chunk", 1),
                dim_or(c, "gate", 0),
                dim_or(c, "gates_per_chunk", 0),
                dim_or(c, "forget", 1),
                dim_or(c, "momentum", 1),
                dim_or(c, "persistent", 0),
                dim_or(c, "segment", 0),
                dim_or(c, "window", 0),
                dim_or(c, "mask", 0),
                dim_or(c, "positions", PLACES_ROPE),
                dim_or(c, "rope_scaling", STRETCH_NONE),
                dim_or(c, "trained_length", 0),
                dim_or(c, "asked_length", 0),
                dim_or(c, "log_scale", 0),
                net};
    return m;
}

/* The parameter of a branch: "memory." and "wq" make memory.wq. */
static const real *param(const Call *c, const char *branch, const char *name) {
    char full[64];
    snprintf(full, sizeof full, "%s%s", branch, name);
    return in(c, full);
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

/* Attention branch: (1) with positions, the row numbers, then (27): u, y (T x D).
 * Parameters: ATTENTION_PARAMETERS of the branch. */
static void attention_branch(const Mixing *m, const Call *c, const char *branch, int64_t T, int64_t window,
                             int64_t prefix, const real *u, real *y) {
    real *q = R_NEW(T * m->D), *k = R_NEW(T * m->D), *v = R_NEW(T * m->D);
    project(T, m->D, m->D, u, param(c, branch, "wq"), q);
    project(T, m->D, m->D, u, param(c, branch, "wk"), k);
    project(T, m->D, m->D, u, param(c, branch, "wv"), v);
    if (m->positions == PLACES_ROPE) {
        rope_scaled(T, m->H, m->dh, 0, m->scaling, m->trained, m->asked, q, q);
        rope_scaled(T, m->H, m->dh, 0, m->scaling, m->trained, m->asked, k, k);
    }
    if (m->logs) log_scale(T, m->D, 0, m->trained, q, q);
    if (m->positions == PLACES_ALIBI)
        alibi_attention(T, T, m->H, m->dh, window, prefix, q, k, v, y);
    else
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
    return !m->forget ? 0 : m->H * gate_sets(&m->net) * gate_channels(&m->net);
}
static int64_t theta_columns(const Mixing *m) { return m->H * gate_sets(&m->net); }
static int64_t eta_columns(const Mixing *m) { return !m->momentum ? 0 : m->H * gate_sets(&m->net); }
static int64_t gate_columns(const Mixing *m) { return alpha_columns(m) + theta_columns(m) + eta_columns(m); }

/* E10: the gates of z = u W + bias; with per_chunk (section 3.2) every token takes the z of the first token
 * of its chunk; gates that are left out stay 0. u (T x D), W (D x columns), bias (columns), theta_max (1). */
static void memory_gates(const Mixing *m, int64_t T, const real *u, const real *W, const real *bias,
                         const real *theta_max, const MemoryInputs *x) {
    int64_t n = gate_columns(m);
    real *z = R_NEW(T * n);
    project_exact(T, m->D, n, u, W, z);
    for (int64_t i = 0; i < T * n; i++) z[i] = z[i] + bias[i % n];
    for (int64_t t = 0; t < T && m->per_chunk; t++) real_copy(n, z + t / m->b * m->b * n, z + t * n);
    gates(T, alpha_columns(m), theta_columns(m), eta_columns(m), m->hard, z, theta_max, x->alpha, x->theta,
          x->eta);
    free(z);
}

/* From u (T x D); parameters: MEMORY_PARAMETERS of the branch. */
static MemoryInputs memory_inputs_new(const Mixing *m, const Call *c, const char *branch, int64_t T,
                                      const real *u) {
    int64_t G = gate_sets(&m->net), K = gate_channels(&m->net);
    MemoryInputs x = {R_NEW(T * m->D),         R_NEW(T * m->D),     R_NEW(T * m->D),
                      R_NEW(T * m->H * G * K), R_NEW(T * m->H * G), R_NEW(T * m->H * G)};
    memory_input(m, T, 1, u, param(c, branch, "wq"), param(c, branch, "conv_q"), x.q);
    memory_input(m, T, 1, u, param(c, branch, "wk"), param(c, branch, "conv_k"), x.k);
    memory_input(m, T, 0, u, param(c, branch, "wv"), param(c, branch, "conv_v"), x.v);
    memory_gates(m, T, u, param(c, branch, "w_gates"), param(c, branch, "b_gates"), in(c, "theta_max"), &x);
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
 * Parameters: MEMORY_PARAMETERS of the branch. */
static void memory_branch(const Mixing *m, const Call *c, const char *branch, int64_t T, const real *u,
                          real *y) {
    int64_t P = m->H * network_size(&m->net);
    real *M = R_NEW(P), *S = R_NEW(P);
    MemoryInputs x = memory_inputs_new(m, c, branch, T, u);
    real_copy(P, param(c, branch, "m0"), M);
    memory_heads(m, 0, T, &x, M, S, y);
    memory_inputs_free(&x);
    free(M);
    free(S);
}

/* Section 4.4: o = norm_gate(memory branch(u), gain, u W_z) W: u, o (T x D), W (D x D). Parameters: those of the
 * branch, gain, wz. */
static void memory_layer(const Mixing *m, const Call *c, const char *branch, int64_t T, const real *u,
                         const real *W, real *o) {
    real *y = R_NEW(T * m->D), *z = R_NEW(T * m->D);
    memory_branch(m, c, branch, T, u, y);
    project(T, m->D, m->D, u, in(c, "wz"), z);
    norm_gate(T, m->H, m->dh, y, in(c, "gain"), z, y);
    project(T, m->D, m->D, y, W, o);
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

static int64_t mixing_head_width(const Call *c) { return dim(c, "width") / dim(c, "heads"); }
static int64_t mixing_rotary_pairs(const Call *c) { return mixing_head_width(c) / 2; }
static int64_t mixing_gate_columns(const Call *c) {
    Mixing m = mixing_at(c);
    return gate_columns(&m);
}
static int64_t mixing_memory_weights(const Call *c) {
    Mixing m = mixing_at(c);
    return network_size(&m.net);
}

/* memory(u), for descriptions. */
#define MEMORY_FORMULA                                                                                       \
    "memory(u): q = l2_norm(silu(conv(u W_Q))), k = l2_norm(silu(conv(u W_K))), v = silu(conv(u W_V)), "     \
    "norms per head, zeros before the first row of u, taps=0: no convolution; gates(u W_gates + b_gates); "  \
    "every head by "                                                                                         \
    "itself memory_chunk from M0 and S0 = 0, chunks counted from the first row of u"

/* What mixers are made of: dimensions, and the parameters of each branch; the symbols are the published names. */
#define MIXER_SIZES                                                                                          \
    TOKENS, WIDTH, HEADS, DERIVED("head_width", "dh", mixing_head_width, "width / heads, numbers of one head")
#define ROTARY_SIZES                                                                                         \
    MIXER_SIZES,                                                                                             \
        DERIVED("rotary_pairs", NULL, mixing_rotary_pairs, "head_width / 2, pairs that positions turn")
#define PERSISTENT COUNT("persistent", NULL, "persistent tokens before the sequence (eq 19)")
#define POSITIONS                                                                                            \
    {                                                                                                        \
        "positions", NULL, 0, 2, 0, "rope none alibi",                                                       \
            "how attention knows places: rotary, not at all (NoPE), by a bias (ALiBi)", NULL                 \
    }
#define WINDOW COUNT("window", NULL, "sliding window: rows seen, the token's own included; 0: all up to it")
#define CHUNK_MEANING "tokens whose inner gradients are taken at one state; the last chunk may be shorter"
#define EXPANSION_MEANING                                                                                    \
    "hidden width of the memory network over head width; to be given with one layer too, which has none"
#define GATE_COLUMNS_MEANING                                                                                 \
    "all alpha [heads][memory_layers or 1][head_width or 1], then all theta [heads][memory_layers or 1], "   \
    "then all eta, as theta; memory_layers if gates_per_layer, head_width if channelwise; no alpha if "      \
    "forget=0, no eta if momentum=0"
#define MEMORY_WEIGHTS_MEANING                                                                               \
    "of one head: W_1 [head_width][expansion head_width], .., W_L [expansion head_width][head_width], one "  \
    "after another; of one layer: [head_width][head_width]"
#define MEMORY_OPTIONS                                                                                       \
    COUNT("taps", "w", "rows that the causal convolution sees, the token's own included; 0: none"),          \
        SIZE("chunk", "b", CHUNK_MEANING), MEMORY_LAYERS, SIZE("expansion", "e", EXPANSION_MEANING), GATE,   \
        NETWORK_OPTIONS,                                                                                     \
        SWITCH("gates_per_chunk", "per_chunk", 0, "1: gates of a chunk are those of its first token"),       \
        SWITCH("forget", "!no_decay", 1, "0: no decay, alpha = 0"),                                          \
        SWITCH("momentum", "!no_momentum", 1, "0: no momentum, eta = 0"),                                    \
        DERIVED("gate_columns", NULL, mixing_gate_columns, GATE_COLUMNS_MEANING),                            \
        DERIVED("memory_weights", "P", mixing_memory_weights, MEMORY_WEIGHTS_MEANING)
#define MIXER_X                                                                                              \
    { "x", NULL, "tokens width", NUMBER, "rows" }
#define MIXER_O                                                                                              \
    { "o", NULL, "tokens width", NUMBER, "rows" }
#define PERSISTENT_TOKENS                                                                                    \
    { "persistent", "P_tok", "persistent width", NUMBER, "p_1 .. p_Np" }
#define SQUARE(name, symbol, meaning)                                                                        \
    { name, symbol, "width width", NUMBER, meaning }
#define COLUMN_GAIN(name, symbol, meaning)                                                                   \
    { name, symbol, "heads head_width", GAIN, meaning }
#define FILTER(name, symbol)                                                                                 \
    {                                                                                                        \
        name, symbol, "taps width", NUMBER,                                                                  \
            "convolution, row 0 the oldest tap, the last row that of the current token"                      \
    }
#define MIXER_LIMIT                                                                                          \
    { "theta_max", NULL, "1", LIMIT, "largest inner step, theta_max of the gates" }
#define ATTENTION_PARAMETERS(branch, mark)                                                                   \
    SQUARE(branch "wq", "Wq" mark, "W_Q of attention"), SQUARE(branch "wk", "Wk" mark, "W_K of attention"),  \
        SQUARE(branch "wv", "Wv" mark, "W_V of attention")
#define MEMORY_PARAMETERS(branch)                                                                            \
    SQUARE(branch "wq", "Wq", "queries of the memory"), SQUARE(branch "wk", "Wk", "its keys"),               \
        SQUARE(branch "wv", "Wv", "its values"), FILTER(branch "conv_q", "conv_q"),                          \
        FILTER(branch "conv_k", "conv_k"), FILTER(branch "conv_v", "conv_v"),                                \
        {branch "w_gates", "W_gates", "width gate_columns", NUMBER, "gates before their bias"},              \
        {branch "b_gates", "b_gates", "gate_columns", NUMBER, "bias of the gates"}, {                        \
        branch "m0", "M0", "heads memory_weights", NUMBER, "the memory before the first token, head by head" \
    }

static const Argument mixer_out[] = {MIXER_O, ARGUMENT_END};

static void titans_gate_run(const Call *c) {
    titans_gate(dim(c, "tokens"), dim(c, "heads"), dim(c, "head_width"), in(c, "y"), in(c, "m"),
                in(c, "gain_y"), in(c, "gain_m"), out(c, "o"));
}
static const Argument titans_gate_in[] = {{"y", NULL, "tokens heads head_width", NUMBER, "what is gated"},
                                          {"m", NULL, "tokens heads head_width", NUMBER, "what gates"},
                                          {"gain_y", NULL, "heads head_width", GAIN, "gain of y"},
                                          {"gain_m", NULL, "heads head_width", GAIN, "gain of m"},
                                          ARGUMENT_END};

static const Equation titans_equations[] = {
    {"titans_gate", "eqs 25 28, erratum E13",
     "(25), (28) o = rms(y) gain_y sigma(rms(m) gain_m), rms(y) = y / sqrt(sum_i y_i^2 / "
     "head_width + 1e-6) over each head's numbers",
     head_dims, titans_gate_in, o_heads_out, titans_gate_run, NULL},
    EQUATION_END};
