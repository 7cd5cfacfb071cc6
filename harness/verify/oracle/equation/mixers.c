/* The mixers, eqs 19 and 21-31, behind the reference's tensors. */
#include "oracle/oracle.h"
#include "oracle/layers.h"
#include "oracle/memory.h"
#include "oracle/places.h"

#include <stdio.h>

/* The dims of every mixer. */
typedef struct Mixer {
    int64_t T, D, H, w, b, dh, persistent, segment, window;
    int hard, per_chunk, no_decay, no_momentum, literal;
    Places places;
    Network network;
} Mixer;

static Mixer mixer_of(const OracleCall *c) {
    Mixer m = {.T = size(c, "tokens"), .D = size(c, "width"), .H = size(c, "heads")};
    m.dh = m.D / m.H;
    m.places = places_of(c);
    m.w = size_or(c, "taps", 0), m.b = size_or(c, "chunk", 1);
    m.hard = size_or(c, "gate", 0) == 1, m.per_chunk = size_or(c, "gates_per_chunk", 0) != 0;
    m.no_decay = !size_or(c, "forget", 1), m.no_momentum = !size_or(c, "momentum", 1);
    m.persistent = size_or(c, "persistent", 0), m.segment = size_or(c, "segment", 0);
    m.window = size_or(c, "window", 0), m.literal = size_or(c, "mask", 0) != 0;
    m.network = (Network){.layers = size_or(c, "memory_layers", 1), .gelu = size_or(c, "activation", 0) != 0};
    m.network.residual = size_or(c, "memory_residual", 0) != 0,
    m.network.norm = size_or(c, "memory_norm", 0) != 0;
    m.network.per_layer = size_or(c, "gates_per_layer", 0) != 0;
    m.network.channelwise = size_or(c, "channelwise", 0) != 0;
    for (int64_t l = 0; l <= m.network.layers; l++)
        m.network.width[l] = l > 0 && l < m.network.layers ? size(c, "expansion") * m.dh : m.dh;
    return m;
}

/* An input of n numbers; part: of which branch ("memory."), or "". */
static Quad *take(const OracleCall *c, const char *part, const char *name, int64_t n) {
    char full[64];
    snprintf(full, sizeof full, "%s%s", part, name);
    return quads_from(in(c, full), n);
}
static Quad *take_square(const OracleCall *c, const Mixer *m, const char *part, const char *name) {
    return take(c, part, name, m->D * m->D);
}
static Quad take_limit(const OracleCall *c) { return in(c, "theta_max")[0]; }

/* Wq Wk Wv of an attention branch. */
typedef struct Attention {
    const Quad *Wq, *Wk, *Wv;
} Attention;

static Attention take_attention(const OracleCall *c, const Mixer *m, const char *part) {
    return (Attention){take_square(c, m, part, "wq"), take_square(c, m, part, "wk"),
                       take_square(c, m, part, "wv")};
}

/* The parameters of a memory branch. */
typedef struct Branch {
    const Quad *Wq, *Wk, *Wv, *conv_q, *conv_k, *conv_v, *W_gates, *b_gates, *M0;
    Quad theta_max;
} Branch;

static int64_t alpha_columns(const Mixer *m) {
    return m->no_decay ? 0 : m->H * network_sets(&m->network) * network_channels(&m->network);
}

static int64_t gate_columns(const Mixer *m) {
    return alpha_columns(m) + m->H * network_sets(&m->network) * (m->no_momentum ? 1 : 2);
}

static Branch take_branch(const OracleCall *c, const Mixer *m, const char *part) {
    Branch p = {.theta_max = take_limit(c)};
    p.Wq = take_square(c, m, part, "wq"), p.Wk = take_square(c, m, part, "wk"),
    p.Wv = take_square(c, m, part, "wv");
    p.conv_q = take(c, part, "conv_q", m->w * m->D), p.conv_k = take(c, part, "conv_k", m->w * m->D);
    p.conv_v = take(c, part, "conv_v", m->w * m->D);
    p.W_gates = take(c, part, "w_gates", m->D * gate_columns(m)),
    p.b_gates = take(c, part, "b_gates", gate_columns(m));
    p.M0 = take(c, part, "m0", m->H * network_weights(&m->network));
    return p;
}

/* Eq 11 with section 4.4: projection, convolution, SiLU, and for queries and keys the l2 norm of every head.
 */
static Quad *projected(const Mixer *m, const Quad *u, int64_t rows, const Quad *W, const Quad *conv,
                       int unit) {
    Quad *y = quads_product(u, W, rows, m->D, m->D);
    if (m->w) y = convolution(y, conv, NULL, rows, m->D, m->w);
    apply_silu(y, rows * m->D);
    if (unit) apply_l2_norm(y, rows * m->H, m->dh);
    return y;
}

/* E10: the gates of one head from the columns alpha [h][g][c] | theta [h][g] | eta [h][g] of z; a gate that
 * is absent is 0. */
static void gates_of(const Mixer *m, const Quad *z, const Quad *bias, Quad theta_max, int64_t head,
                     History *h) {
    const int64_t sets = network_sets(&m->network), all = gate_columns(m), alphas = alpha_columns(m) / m->H;
    Quad *alpha = quads(h->tokens * sets * network_channels(&m->network));
    Quad *theta = quads(h->tokens * sets), *eta = quads(h->tokens * sets);
    for (int64_t t = 0; t < h->tokens; t++) {
        const int64_t from = m->per_chunk ? t / m->b * m->b : t;
        const int64_t at_theta = alphas * m->H + head * sets, at_eta = at_theta + m->H * sets;
        for (int64_t c = 0, i = head * alphas; c < alphas; c++, i++)
            alpha[t * alphas + c] = gate_value(z[from * all + i] + bias[i], m->hard);
        for (int64_t g = 0; g < sets; g++) {
            const int64_t i = at_theta + g, j = at_eta + g;
            theta[t * sets + g] = theta_max * gate_value(z[from * all + i] + bias[i], m->hard);
            if (!m->no_momentum) eta[t * sets + g] = gate_value(z[from * all + j] + bias[j], 0);
        }
    }
    h->alpha = alpha, h->theta = theta, h->eta = eta;
}

/* The memories of all heads reading `rows` tokens u, from S_0 = 0 (E12): one history per head. */
static History *remembered(const Mixer *m, const Branch *p, const Quad *u, int64_t rows) {
    History *heads = scratch(m->H * (int64_t)sizeof *heads);
    const int64_t weights = network_weights(&m->network);
    const Quad *k = projected(m, u, rows, p->Wk, p->conv_k, 1),
               *v = projected(m, u, rows, p->Wv, p->conv_v, 0);
    const Quad *z = quads_product(u, p->W_gates, rows, m->D, gate_columns(m));
    for (int64_t head = 0; head < m->H; head++) {
        History *h = heads + head;
        *h = (History){.network = &m->network, .tokens = rows, .chunk = m->b};
        h->k = head_of(k, rows, m->H, m->dh, head), h->v = head_of(v, rows, m->H, m->dh, head);
        gates_of(m, z, p->b_gates, p->theta_max, head, h);
        history_by_chunks(h, p->M0 + head * weights, quads(weights));
    }
    return heads;
}

/* Eqs 15, 21, 25: row i of q is read from the memories as they are after state[i] tokens. */
static Quad *recalled(const Mixer *m, const History *heads, const Quad *q, const int64_t *state,
                      int64_t rows) {
    Quad *y = quads(rows * m->D);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t head = 0; head < m->H; head++)
            network_read(&m->network, heads[head].M + state[i] * network_weights(&m->network),
                         q + i * m->D + head * m->dh, y + i * m->D + head * m->dh);
    return y;
}

static int64_t *counting(int64_t from, int64_t rows) {
    int64_t *x = scratch(rows * (int64_t)sizeof *x);
    for (int64_t i = 0; i < rows; i++) x[i] = from + i;
    return x;
}

/* A memory branch on all its rows: row t reads the state right after token t. */
static Quad *memory_branch(const Mixer *m, const Branch *p, const Quad *u, int64_t rows) {
    const Quad *q = projected(m, u, rows, p->Wq, p->conv_q, 1);
    return recalled(m, remembered(m, p, u, rows), q, counting(1, rows), rows);
}

/* Eqs 1-2 with positions, per head, under a mask over all rows, `prefix` of which are nowhere. */
static Quad *attention_branch(const Mixer *m, Attention a, const Quad *u, int64_t rows,
                              const int64_t *position, const unsigned char *sees, int64_t prefix) {
    const Places *p = &m->places;
    Quad *q = placed(p, quads_product(u, a.Wq, rows, m->D, m->D), position, rows, m->H, m->dh);
    const Quad *k = placed(p, quads_product(u, a.Wk, rows, m->D, m->D), position, rows, m->H, m->dh);
    const Quad *v = quads_product(u, a.Wv, rows, m->D, m->D);
    Quad *y = quads(rows * m->D);
    for (int64_t i = 0; i < rows * m->D && p->logs; i++) q[i] *= place_sharpness(p, i / m->D + 1);
    for (int64_t head = 0; head < m->H; head++)
        head_to(y,
                attended_with(head_of(q, rows, m->H, m->dh, head), head_of(k, rows, m->H, m->dh, head),
                              head_of(v, rows, m->H, m->dh, head), sees,
                              placed_bias(p, m->H, head, rows, rows, 0, prefix), rows, rows, m->dh),
                rows, m->H, m->dh, head);
    return y;
}

/* Eq 27, and with prefix 0 eq 31. */
static Quad *window_branch(const Mixer *m, Attention a, const Quad *u, int64_t rows, int64_t window,
                           int64_t prefix) {
    return attention_branch(m, a, u, rows, counting(0, rows), window_mask(rows, rows, 0, window, prefix),
                            prefix);
}

/* The last T rows of y times Wo. */
static void projected_out(const Mixer *m, const Quad *y, int64_t rows, const Quad *Wo, double *out) {
    const Quad *own = quads_rows(y, rows - m->T, m->T, m->D);
    quads_to(out, quads_product(own, Wo, m->T, m->D, m->D), m->T * m->D);
}

/* Eq 19. */
static Quad *take_prefixed(const OracleCall *c, const Mixer *m) {
    const Quad *x = take(c, "", "x", m->T * m->D);
    return quads_join(take(c, "", "persistent", m->persistent * m->D), m->persistent, x, m->T, m->D);
}

static void mixer_attention(const OracleCall *c) {
    const Mixer m = mixer_of(c);
    const Quad *x = take(c, "", "x", m.T * m.D), *Wo = take_square(c, &m, "", "wo");
    projected_out(&m, window_branch(&m, take_attention(c, &m, ""), x, m.T, 0, 0), m.T, Wo, out(c, "o"));
}

/* Eqs 26-27. */
static void mixer_swa(const OracleCall *c) {
    const Mixer m = mixer_of(c);
    const int64_t rows = m.persistent + m.T;
    const Quad *y =
        window_branch(&m, take_attention(c, &m, ""), take_prefixed(c, &m), rows, m.window, m.persistent);
    projected_out(&m, y, rows, take_square(c, &m, "", "wo"), out(c, "o"));
}

/* norm_gated(M(x), gain, x W_z). */
static Quad *gated_memory(const OracleCall *c, const Mixer *m, const char *part, const Quad *x,
                          int64_t rows) {
    const Branch p = take_branch(c, m, part);
    const Quad *z = quads_product(x, take_square(c, m, "", "wz"), rows, m->D, m->D);
    return norm_gated(memory_branch(m, &p, x, rows), take(c, "", "gain", m->D), z, rows, m->H, m->dh);
}

/* The memory alone. */
static void mixer_lmm(const OracleCall *c) {
    const Mixer m = mixer_of(c);
    const int64_t rows = m.persistent + m.T;
    const Quad *y = gated_memory(c, &m, "", take_prefixed(c, &m), rows);
    projected_out(&m, y, rows, take_square(c, &m, "", "wo"), out(c, "o"));
}

/* Eqs 25, 28: the gate of both branches. */
static Quad *gated_branches(const OracleCall *c, const Mixer *m, const Quad *y, const Quad *memory,
                            int64_t rows) {
    return titans_gated(y, memory, take(c, "", "gain_y", m->D), take(c, "", "gain_m", m->D), rows, m->H,
                        m->dh);
}

/* Eqs 26-28. */
static void mixer_mag(const OracleCall *c) {
    const Mixer m = mixer_of(c);
    const int64_t rows = m.persistent + m.T;
    const Quad *x = take_prefixed(c, &m);
    const Branch p = take_branch(c, &m, "memory.");
    const Quad *y = window_branch(&m, take_attention(c, &m, "attention."), x, rows, m.window, m.persistent);
    const Quad *o = gated_branches(c, &m, y, memory_branch(&m, &p, x, rows), rows);
    projected_out(&m, o, rows, take_square(c, &m, "", "wo"), out(c, "o"));
}

/* Eqs 29-31: the attention has no prefix, its input is the memory layer's output for every row of x~. */
static void mixer_mal_h3(const OracleCall *c) {
    const Mixer m = mixer_of(c);
    const int64_t rows = m.persistent + m.T;
    const Quad *gated = gated_memory(c, &m, "memory.", take_prefixed(c, &m), rows);
    const Quad *y = quads_product(gated, take_square(c, &m, "", "wm"), rows, m.D, m.D);
    const Quad *o = window_branch(&m, take_attention(c, &m, "attention."), y, rows, m.window, 0);
    projected_out(&m, o, rows, take_square(c, &m, "", "wo"), out(c, "o"));
}

/* Memory as a context: what a segment needs. */
typedef struct Context {
    const Quad *x, *P_tok, *r, *gain_h;
    Attention attention;
    Branch branch;
} Context;

/* Eq 22: persistent tokens, h and S of `count` tokens; rows of S see all persistent tokens, S_j for j <= i,
 * and h_j for j <= i (E6) or every h_j (literal). The other rows see nothing and are not used. */
static unsigned char *segment_mask(const Mixer *m, int64_t count) {
    const int64_t Np = m->persistent, rows = Np + 2 * count;
    unsigned char *sees = scratch(rows * rows);
    for (int64_t i = 0; i < count; i++) {
        unsigned char *row = sees + (Np + count + i) * rows;
        for (int64_t j = 0; j < Np; j++) row[j] = 1;
        for (int64_t j = 0; j < count; j++) {
            row[Np + j] = m->literal || j <= i;
            row[Np + count + j] = j <= i;
        }
    }
    return sees;
}

/* Eqs 21-23 and E8: y of the segment that begins at token `start`, whose past is the rows y before it. */
static Quad *segment_output(const Mixer *m, const Context *c, const Quad *y, int64_t start, int64_t count) {
    const int64_t Np = m->persistent, rows = Np + 2 * count, D = m->D;
    int64_t *state = counting(0, count), *position = counting(0, rows);
    for (int64_t i = 0; i < count; i++) {
        state[i] = start;
        position[Np + count + i] = Np + m->segment + i;
    }
    const History *past = remembered(m, &c->branch, y, start);
    const Quad *h = recalled(m, past, quads_rows(c->r, start, count, D), state, count);
    const Quad *S = quads_rows(c->x, start, count, D);
    const Quad *both = quads_join(rms_normed(h, c->gain_h, count, m->H, m->dh), count, S, count, D);
    const Quad *all = quads_join(c->P_tok, Np, both, 2 * count, D);
    const Quad *out = attention_branch(m, c->attention, all, rows, position, segment_mask(m, count), 0);
    return quads_rows(out, Np + count, count, D);
}

/* All y, segment after segment. */
static Quad *context_output(const Mixer *m, const Context *c) {
    Quad *y = quads(0);
    for (int64_t start = 0; start < m->T; start += m->segment) {
        const int64_t count = m->T - start < m->segment ? m->T - start : m->segment;
        y = quads_join(y, start, segment_output(m, c, y, start, count), count, m->D);
    }
    return y;
}

/* Eqs 24-25: token i reads the state right after it (E7), or after its segment's last token (literal). */
static Quad *context_memory(const Mixer *m, const Branch *p, const Quad *y) {
    int64_t *state = counting(1, m->T);
    for (int64_t i = 0; i < m->T && m->literal; i++) {
        const int64_t end = (i / m->segment + 1) * m->segment;
        state[i] = end < m->T ? end : m->T;
    }
    const Quad *q = projected(m, y, m->T, p->Wq, p->conv_q, 1);
    return recalled(m, remembered(m, p, y, m->T), q, state, m->T);
}

/* Eqs 21-25. */
static void mixer_mac(const OracleCall *c) {
    const Mixer m = mixer_of(c);
    const Context context = {.x = take(c, "", "x", m.T * m.D),
                             .P_tok = take(c, "", "persistent", m.persistent * m.D),
                             .r =
                                 projected(&m, take(c, "", "x", m.T * m.D), m.T, take_square(c, &m, "", "wr"),
                                           take(c, "", "conv_r", m.w * m.D), 1),
                             .gain_h = take(c, "", "gain_h", m.D),
                             .attention = take_attention(c, &m, "attention."),
                             .branch = take_branch(c, &m, "memory.")};
    const Quad *y = context_output(&m, &context);
    const Quad *o = gated_branches(c, &m, y, context_memory(&m, &context.branch, y), m.T);
    projected_out(&m, o, m.T, take_square(c, &m, "", "wo"), out(c, "o"));
}

static const OracleEquation equations[] = {{"mixer_attention", mixer_attention},
                                           {"mixer_swa", mixer_swa},
                                           {"mixer_lmm", mixer_lmm},
                                           {"mixer_mag", mixer_mag},
                                           {"mixer_mal_h3", mixer_mal_h3},
                                           {"mixer_mac", mixer_mac},
                                           {0, 0}};
const OracleEquations oracle_equations_mixers = {equations};
