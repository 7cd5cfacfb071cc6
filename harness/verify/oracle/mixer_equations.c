/* The mixers, eqs 19 and 21-31, behind the reference's tensors. */
#include "equations.h"
#include "layers.h"
#include "memory.h"

/* The dims of every mixer. */
typedef struct Mixer {
    int64_t T, D, H, w, b, dh, persistent, segment, window;
    int hard, per_chunk, no_decay, no_momentum, literal;
    Network network;
} Mixer;

/* "T D H w b L e kind gelu residual norm per_layer channelwise per_chunk no_decay no_momentum persistent
 * segment window literal". */
static Mixer mixer_of(const int64_t *d) {
    Mixer m = {.T = d[0], .D = d[1], .H = d[2], .w = d[3], .b = d[4], .dh = d[1] / d[2]};
    m.hard = d[7] == 1, m.per_chunk = d[13] != 0, m.no_decay = d[14] != 0, m.no_momentum = d[15] != 0;
    m.persistent = d[16], m.segment = d[17], m.window = d[18], m.literal = d[19] != 0;
    m.network = (Network){.layers = d[5], .gelu = d[8] != 0, .residual = d[9] != 0, .norm = d[10] != 0};
    m.network.per_layer = d[11] != 0, m.network.channelwise = d[12] != 0;
    for (int64_t l = 0; l <= d[5]; l++) m.network.width[l] = l > 0 && l < d[5] ? d[6] * m.dh : m.dh;
    return m;
}

/* One call of a mixer: its inputs are taken in their order. */
typedef struct Inputs {
    const double *const *next;
} Inputs;

static Quad *take(Inputs *in, int64_t n) { return quads_from(*in->next++, n); }
static Quad *take_square(Inputs *in, const Mixer *m) { return take(in, m->D * m->D); }

/* Wq Wk Wv of an attention branch. */
typedef struct Attention {
    const Quad *Wq, *Wk, *Wv;
} Attention;

static Attention take_attention(Inputs *in, const Mixer *m) {
    Attention a;
    a.Wq = take_square(in, m), a.Wk = take_square(in, m), a.Wv = take_square(in, m);
    return a;
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

static Branch take_branch(Inputs *in, const Mixer *m) {
    Branch p = {0};
    p.Wq = take_square(in, m), p.Wk = take_square(in, m), p.Wv = take_square(in, m);
    p.conv_q = take(in, m->w * m->D), p.conv_k = take(in, m->w * m->D), p.conv_v = take(in, m->w * m->D);
    p.W_gates = take(in, m->D * gate_columns(m)), p.b_gates = take(in, gate_columns(m));
    p.M0 = take(in, m->H * network_weights(&m->network));
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

/* Eqs 1-2 with rotary positions, per head, under a mask over all rows. */
static Quad *attention_branch(const Mixer *m, Attention a, const Quad *u, int64_t rows,
                              const int64_t *position, const unsigned char *sees) {
    const Quad *q = rotated(quads_product(u, a.Wq, rows, m->D, m->D), position, rows, m->H, m->dh);
    const Quad *k = rotated(quads_product(u, a.Wk, rows, m->D, m->D), position, rows, m->H, m->dh);
    const Quad *v = quads_product(u, a.Wv, rows, m->D, m->D);
    Quad *y = quads(rows * m->D);
    for (int64_t head = 0; head < m->H; head++)
        head_to(y,
                attended(head_of(q, rows, m->H, m->dh, head), head_of(k, rows, m->H, m->dh, head),
                         head_of(v, rows, m->H, m->dh, head), sees, rows, rows, m->dh),
                rows, m->H, m->dh, head);
    return y;
}

/* Eq 27, and with prefix 0 eq 31. */
static Quad *window_branch(const Mixer *m, Attention a, const Quad *u, int64_t rows, int64_t window,
                           int64_t prefix) {
    return attention_branch(m, a, u, rows, counting(0, rows), window_mask(rows, rows, 0, window, prefix));
}

/* The last T rows of y times Wo. */
static void projected_out(const Mixer *m, const Quad *y, int64_t rows, const Quad *Wo, double *out) {
    const Quad *own = quads_rows(y, rows - m->T, m->T, m->D);
    quads_to(out, quads_product(own, Wo, m->T, m->D, m->D), m->T * m->D);
}

/* Eq 19: takes x and P_tok. */
static Quad *take_prefixed(Inputs *in, const Mixer *m) {
    const Quad *x = take(in, m->T * m->D);
    return quads_join(take(in, m->persistent * m->D), m->persistent, x, m->T, m->D);
}

void oracle_mixer_attention(const int64_t *dims, const double *const *inputs, double *const *out) {
    const Mixer m = mixer_of(dims);
    Inputs in = {inputs};
    const Quad *x = take(&in, m.T * m.D);
    const Attention a = take_attention(&in, &m);
    projected_out(&m, window_branch(&m, a, x, m.T, 0, 0), m.T, take_square(&in, &m), out[0]);
}

/* Eqs 26-27. */
void oracle_mixer_swa(const int64_t *dims, const double *const *inputs, double *const *out) {
    const Mixer m = mixer_of(dims);
    Inputs in = {inputs};
    const int64_t rows = m.persistent + m.T;
    const Quad *x = take_prefixed(&in, &m);
    const Attention a = take_attention(&in, &m);
    projected_out(&m, window_branch(&m, a, x, rows, m.window, m.persistent), rows, take_square(&in, &m),
                  out[0]);
}

/* The memory alone: norm_gated(M(x~), gain, x~ W_z). */
void oracle_mixer_lmm(const int64_t *dims, const double *const *inputs, double *const *out) {
    const Mixer m = mixer_of(dims);
    Inputs in = {inputs};
    const int64_t rows = m.persistent + m.T;
    const Quad *x = take_prefixed(&in, &m);
    Branch p = take_branch(&in, &m);
    const Quad *gain = take(&in, m.D), *z = quads_product(x, take_square(&in, &m), rows, m.D, m.D);
    const Quad *Wo = take_square(&in, &m);
    p.theta_max = *take(&in, 1);
    projected_out(&m, norm_gated(memory_branch(&m, &p, x, rows), gain, z, rows, m.H, m.dh), rows, Wo, out[0]);
}

/* Eqs 26-28. */
void oracle_mixer_mag(const int64_t *dims, const double *const *inputs, double *const *out) {
    const Mixer m = mixer_of(dims);
    Inputs in = {inputs};
    const int64_t rows = m.persistent + m.T;
    const Quad *x = take_prefixed(&in, &m);
    const Attention a = take_attention(&in, &m);
    Branch p = take_branch(&in, &m);
    const Quad *gain_y = take(&in, m.D), *gain_m = take(&in, m.D), *Wo = take_square(&in, &m);
    p.theta_max = *take(&in, 1);
    const Quad *y = window_branch(&m, a, x, rows, m.window, m.persistent);
    const Quad *memory = memory_branch(&m, &p, x, rows);
    projected_out(&m, titans_gated(y, memory, gain_y, gain_m, rows, m.H, m.dh), rows, Wo, out[0]);
}

/* Eqs 29-31: the attention has no prefix, its input is the memory layer's output for every row of x~. */
void oracle_mixer_mal_h3(const int64_t *dims, const double *const *inputs, double *const *out) {
    const Mixer m = mixer_of(dims);
    Inputs in = {inputs};
    const int64_t rows = m.persistent + m.T;
    const Quad *x = take_prefixed(&in, &m);
    Branch p = take_branch(&in, &m);
    const Quad *gain = take(&in, m.D), *z = quads_product(x, take_square(&in, &m), rows, m.D, m.D);
    const Quad *W_m = take_square(&in, &m);
    const Attention a = take_attention(&in, &m);
    const Quad *Wo = take_square(&in, &m);
    p.theta_max = *take(&in, 1);
    const Quad *gated = norm_gated(memory_branch(&m, &p, x, rows), gain, z, rows, m.H, m.dh);
    const Quad *y = quads_product(gated, W_m, rows, m.D, m.D);
    projected_out(&m, window_branch(&m, a, y, rows, m.window, 0), rows, Wo, out[0]);
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
    const Quad *out = attention_branch(m, c->attention, all, rows, position, segment_mask(m, count));
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
void oracle_mixer_mac(const int64_t *dims, const double *const *inputs, double *const *out) {
    const Mixer m = mixer_of(dims);
    Inputs in = {inputs};
    Context c = {.x = take(&in, m.T * m.D)};
    c.P_tok = take(&in, m.persistent * m.D);
    const Quad *Wq_r = take_square(&in, &m), *conv_r = take(&in, m.w * m.D);
    c.r = projected(&m, c.x, m.T, Wq_r, conv_r, 1);
    c.attention = take_attention(&in, &m);
    c.gain_h = take(&in, m.D);
    c.branch = take_branch(&in, &m);
    const Quad *gain_y = take(&in, m.D), *gain_m = take(&in, m.D), *Wo = take_square(&in, &m);
    c.branch.theta_max = *take(&in, 1);
    const Quad *y = context_output(&m, &c), *memory = context_memory(&m, &c.branch, y);
    projected_out(&m, titans_gated(y, memory, gain_y, gain_m, m.T, m.H, m.dh), m.T, Wo, out[0]);
}
