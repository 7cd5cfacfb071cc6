/* MAC: memory as a context (section 4.1, eqs 21-25): segments of C tokens, C a multiple of the chunk b. */
#pragma once
#include "../titans.c"

/* What lasts from segment to segment: q (T x D), the queries of (21); y (T x D), the attention's outputs so
 * far; M, S (H x P), the memory before the segment. */
typedef struct Context {
    real *q, *y, *M, *S;
} Context;

/* (21) h_t = M*_{t-1}(q_t) for the n tokens from `from`, normalised: h = rms(.) gain_h per head, h (n x D).
 */
static void mac_recall(const Mixing *m, const Context *c, int64_t from, int64_t n, const real *gain,
                       real *h) {
    memory_retrieve(m, n, c->M, c->q + from * m->D, h);
    head_norm(n, m->H, m->dh, h, gain, h);
}

/* Rows of S~ = [p] || h || S that token i of a segment of n sees: all p, h_j and S_j for j <= i (E6); the
 * literal mask shows all h. Fills seen, returns how many. */
static int64_t mac_rows(const Mixing *m, int64_t n, int64_t i, int64_t *seen) {
    int64_t Np = m->persistent, contexts = m->literal ? n : i + 1, count = 0;
    for (int64_t j = 0; j < Np + contexts; j++) seen[count++] = j;
    for (int64_t j = 0; j <= i; j++) seen[count++] = Np + n + j;
    return count;
}

/* Rotary positions of S~: the rows' numbers as if the segment were full, so that S_j is at Np + C + j:
 * x ((Np + 2n) x D), in place. */
static void mac_rope(const Mixing *m, int64_t n, real *x) {
    int64_t Np = m->persistent;
    real *segment = x + (Np + n) * m->D;
    rope(Np + n, m->H, m->dh, 0, x, x);
    rope(n, m->H, m->dh, Np + m->segment, segment, segment);
}

/* (23) y = Attn(S~), the rows of S only (E8): S~ ((Np + 2n) x D), y (n x D). */
static void mac_attention(const Mixing *m, const Call *call, int64_t n, const real *context, real *y) {
    int64_t rows = m->persistent + 2 * n, size = rows * m->D, dh = m->dh, *seen = rows_new(rows);
    real *q = R_NEW(size), *k = R_NEW(size), *v = R_NEW(size), *head = R_NEW(3 * rows * dh);
    real *q_h = head, *k_h = q_h + rows * dh, *v_h = k_h + rows * dh;
    project(rows, m->D, m->D, context, in(call, "attention.wq"), q);
    project(rows, m->D, m->D, context, in(call, "attention.wk"), k);
    project(rows, m->D, m->D, context, in(call, "attention.wv"), v);
    mac_rope(m, n, q);
    mac_rope(m, n, k);
    for (int64_t h = 0; h < m->H; h++) {
        head_get(rows, m->H, dh, h, q, q_h);
        head_get(rows, m->H, dh, h, k, k_h);
        head_get(rows, m->H, dh, h, v, v_h);
        for (int64_t i = 0; i < n; i++) {
            int64_t count = mac_rows(m, n, i, seen), row = m->persistent + n + i;
            attend(dh, count, seen, q_h + row * dh, k_h, v_h, y + i * m->D + h * dh);
        }
    }
    free(q);
    free(k);
    free(v);
    free(head);
    free(seen);
}

/* (24) M_t = M_{t-1}(y_t) for the n tokens from `from`; read = M*_t(y_t) of (25): the state right after token
 * t (E7), or literally the segment's last state. The convolutions and chunks run over all of y.
 * read (n x D). */
static void mac_memorise(const Mixing *m, const Call *call, const Context *c, int64_t from, int64_t n,
                         real *read) {
    MemoryInputs x = memory_inputs_new(m, call, "memory.", from + n, c->y);
    memory_heads(m, from, from + n, &x, c->M, c->S, read);
    if (m->literal) memory_retrieve(m, n, c->M, x.q + from * m->D, read);
    memory_inputs_free(&x);
}

/* (22) S~ = [p_1 .. p_Np] || h || S: tokens (Np x D), h, S (n x D), S~ ((Np + 2n) x D). */
static void mac_context(const Mixing *m, int64_t n, const real *tokens, const real *h, const real *segment,
                        real *context) {
    real_copy(m->persistent * m->D, tokens, context);
    real_copy(n * m->D, h, context + m->persistent * m->D);
    real_copy(n * m->D, segment, context + (m->persistent + n) * m->D);
}

/* (21)-(25) for one segment of n tokens: o (n x D), before W_O. */
static void mac_segment(const Mixing *m, const Call *call, const Context *c, int64_t from, int64_t n,
                        real *o) {
    int64_t D = m->D;
    real *context = R_NEW((m->persistent + 2 * n) * D), *h = R_NEW(n * D), *read = R_NEW(n * D);
    mac_recall(m, c, from, n, in(call, "gain_h"), h);
    mac_context(m, n, in(call, "persistent"), h, in(call, "x") + from * D, context);
    mac_attention(m, call, n, context, c->y + from * D);
    mac_memorise(m, call, c, from, n, read);
    titans_gate(n, m->H, m->dh, c->y + from * D, read, in(call, "gain_y"), in(call, "gain_m"), o);
    free(context);
    free(h);
    free(read);
}

/* o = [segment by segment] W_O; r = l2_norm(silu(conv(x W_r))) are the queries of (21): x, o (T x D). */
static void mixer_mac_run(const Call *call) {
    Mixing m = mixing_at(call);
    int64_t n = m.T * m.D, P = m.H * network_size(&m.net);
    Context c = {R_NEW(n), R_NEW(n), R_NEW(P), R_NEW(P)};
    real *o = R_NEW(n);
    memory_input(&m, m.T, 1, in(call, "x"), in(call, "wr"), in(call, "conv_r"), c.q);
    real_copy(P, in(call, "memory.m0"), c.M);
    for (int64_t from = 0; from < m.T; from += m.segment) {
        int64_t left = m.T - from;
        mac_segment(&m, call, &c, from, left < m.segment ? left : m.segment, o + from * m.D);
    }
    project(m.T, m.D, m.D, o, in(call, "wo"), out(call, "o"));
    free(c.q);
    free(c.y);
    free(c.M);
    free(c.S);
    free(o);
}

static const Dimension mixer_mac_dims[] = {
    ROTARY_SIZES,
    MEMORY_OPTIONS,
    PERSISTENT,
    SIZE("segment", NULL, "tokens attended over at a time, whole chunks"),
    CHOICE("mask", "literal", "causal paper",
           "paper: all h_j are seen, and reads are those after the segment, which leaks (E6, E7)"),
    DIMENSION_END};
static const Argument mixer_mac_in[] = {MIXER_X,
                                        PERSISTENT_TOKENS,
                                        SQUARE("wr", "Wq_r", "queries of the retrieval"),
                                        FILTER("conv_r", NULL),
                                        ATTENTION_PARAMETERS("attention.", "_a"),
                                        COLUMN_GAIN("gain_h", NULL, "of the retrieved rows' norm"),
                                        MEMORY_PARAMETERS("memory."),
                                        COLUMN_GAIN("gain_y", NULL, "of attention's norm"),
                                        COLUMN_GAIN("gain_m", NULL, "of the reads' norm"),
                                        SQUARE("wo", "Wo", "output map"),
                                        MIXER_LIMIT,
                                        ARGUMENT_END};
static const Equation mixer_mac_equations[] = {
    {"mixer_mac", "eqs 21-25, errata E6 E7 E8 E13",
     "segment by segment, S its n rows; r = l2_norm(silu(conv(x W_r))) of the whole sequence, norm per "
     "head:\n"
     "(21) h = rms_norm(M(r)) per head with gain_h, M before the segment   (22) S~ = [p_1 .. p_Np] || h || "
     "S\n"
     "(23) y = attention of S~, its last n rows: row i sees all p, and h_j and S_j for j <= i; rotary "
     "positions Np + j of h_j and Np + segment + j of S_j in every segment\n"
     "(24)-(25) o = titans_gate(y, memory(y), gain_y, gain_m) W_O; convolution, gates and M go on from "
     "segment to segment\n" MEMORY_FORMULA,
     mixer_mac_dims, mixer_mac_in, mixer_out, mixer_mac_run, NULL},
    EQUATION_END};
