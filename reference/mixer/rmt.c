/* Recurrent Memory Transformer, Bulatov et al. 2022: a segment is read between memory rows that bring and memory rows
 * that take. As a sequence mixer whose memory lives in the layer, and as the published model of one layer. */
#pragma once
#include "../blocks.c"
#include "../titans.c"

/* ---- the mixer ---- */

/* Sizes of one segment: M memory rows at both ends of n tokens. */
typedef struct Carried {
    const Mixing *m;
    int64_t M, n;
} Carried;

/* Rotary positions: those of a full segment, so that the last rows keep theirs when a segment is short. */
static void carried_rope(const Carried *s, real *x) {
    const Mixing *m = s->m;
    real *last = x + (s->M + s->n) * m->D;
    rope(s->M + s->n, m->H, m->dh, 0, x, x);
    rope(s->M, m->H, m->dh, s->M + m->segment, last, last);
}

/* o = [causal attention of every head] W_O of u = [read; tokens; write], tokens and write rows seeing all read rows:
 * u ((2 M + n) x D), o the same; its read rows mean nothing. */
static void carried_attention(const Carried *s, const Call *c, const real *u, real *o) {
    const Mixing *m = s->m;
    const int64_t rows = 2 * s->M + s->n, D = m->D;
    real *q = R_NEW(rows * D), *k = R_NEW(rows * D), *v = R_NEW(rows * D), *y = R_NEW(rows * D);
    project(rows, D, D, u, in(c, "wq"), q);
    project(rows, D, D, u, in(c, "wk"), k);
    project(rows, D, D, u, in(c, "wv"), v);
    carried_rope(s, q);
    carried_rope(s, k);
    attention_heads(rows, m->H, m->dh, 0, 0, q, k, v, y);
    project(rows, D, D, y, in(c, "wo"), o);
    free(q);
    free(k);
    free(v);
    free(y);
}

/* u = [read + memory; tokens; write (+ memory)]. */
static void carried_rows(const Carried *s, const Call *c, const real *memory, const real *x, real *u) {
    const int64_t D = s->m->D, size = s->M * D;
    real *write = u + (s->M + s->n) * D;
    for (int64_t i = 0; i < size; i++) u[i] = in(c, "read")[i] + memory[i];
    real_copy(s->n * D, x, u + size);
    for (int64_t i = 0; i < size; i++)
        write[i] = dim(c, "add_write") ? in(c, "write")[i] + memory[i] : in(c, "write")[i];
}

static void mixer_rmt_run(const Call *c) {
    const Mixing m = mixing_at(c);
    const int64_t M = dim(c, "memory"), size = M * m.D, truncate = dim(c, "truncate");
    real *memory = R_NEW(size), *u = R_NEW((2 * M + m.segment) * m.D), *o = R_NEW((2 * M + m.segment) * m.D);
    for (int64_t from = 0, count = 0; from < m.T; from += m.segment, count++) {
        const Carried s = {&m, M, m.T - from < m.segment ? m.T - from : m.segment};
        const real *taken = o + (M + s.n) * m.D;
        for (int64_t i = 0; i < size && truncate > 0 && count % truncate == 0; i++)
            memory[i] = real_constant(memory[i]);
        carried_rows(&s, c, memory, in(c, "x") + from * m.D, u);
        carried_attention(&s, c, u, o);
        real_copy(s.n * m.D, o + size, out(c, "o") + from * m.D);
        for (int64_t i = 0; i < size; i++) memory[i] = u[(M + s.n) * m.D + i] + taken[i];
        rms_norm(M, m.D, memory, in(c, "gain"), memory);
    }
    free(memory);
    free(u);
    free(o);
}

static const Dimension mixer_rmt_dims[] = {
    ROTARY_SIZES,
    SIZE("segment", NULL, "tokens between two memories, counted from the sequence's beginning"),
    COUNT("memory", NULL, "memory rows"),
    COUNT("truncate", NULL, "the memory's gradient ends before every truncate-th segment; 0: nowhere"),
    SWITCH("add_write", NULL, 1, "1: write rows begin from the memory before, 0: from what is learned alone"),
    DIMENSION_END};
#define MEMORY_ROWS(name, meaning)                                                                           \
    { name, NULL, "memory width", NUMBER, meaning }
static const Argument mixer_rmt_in[] = {MIXER_X,
                                        MEMORY_ROWS("read", "what rows that bring the memory begin from"),
                                        MEMORY_ROWS("write", "what rows that take it begin from"),
                                        ATTENTION_PARAMETERS("", ""),
                                        SQUARE("wo", "Wo", "output map"),
                                        {"gain", NULL, "width", GAIN, "of the memory's norm"},
                                        ARGUMENT_END};

/* ---- the published model ---- */

/* Sizes: E columns, inner = H dh, M memory rows, n tokens of the segment. */
typedef struct Rmt {
    int64_t E, H, dh, inner, F, M, n, rows;
    real eps;
} Rmt;

static Rmt rmt_at(const Call *c, int64_t n) {
    const int64_t H = dim(c, "heads"), dh = dim(c, "head_width"), M = dim(c, "memory");
    return (Rmt){dim(c, "width"), H, dh, H * dh, dim(c, "ffn"), M, n, 2 * M + n, in(c, "eps")[0]};
}

/* Read rows see read rows, tokens read rows and the tokens up to themselves, write rows everything; all the null key,
 * which is row 0: key j is row j + 1. */
static int64_t rmt_sight(const Rmt *s, int64_t i, int64_t *seen) {
    const int64_t last = i < s->M ? s->M : i < s->M + s->n ? i + 1 : s->rows;
    for (int64_t j = 0; j <= last; j++) seen[j] = j;
    return last + 1;
}

/* Turns pairs (j, j + dh / 2) of one row's heads by p 32768^(-2j / dh). */
static void rmt_turn(const Rmt *s, int64_t p, real *x) {
    for (int64_t j = 0; j < s->dh / 2; j++) {
        const double angle = (double)p * pow(32768.0, -2.0 * (double)j / (double)s->dh);
        const real cosine = R(cos(angle)), sine = R(sin(angle));
        for (int64_t h = 0; h < s->H; h++) {
            real *first = x + h * s->dh + j, *second = first + s->dh / 2, was = *first;
            *first = was * cosine - *second * sine;
            *second = *second * cosine + was * sine;
        }
    }
}

/* Positions: memory rows 0, token i 10000 + i, the null key 9999. q (rows x inner), k ((1 + rows) x inner). */
static void rmt_positions(const Rmt *s, real *q, real *k) {
    rmt_turn(s, 9999, k);
    for (int64_t i = 0; i < s->n; i++) {
        rmt_turn(s, 10000 + i, q + (s->M + i) * s->inner);
        rmt_turn(s, 10000 + i, k + (1 + s->M + i) * s->inner);
    }
}

/* y + attention(norm(y)), in place: y (rows x E). */
static void rmt_attention(const Rmt *s, const Call *c, real *y) {
    const int64_t n = s->rows, inner = s->inner;
    real *x = R_NEW(n * s->E), *q = R_NEW(n * inner), *k = R_NEW((1 + n) * inner),
         *v = R_NEW((1 + n) * inner);
    real *head = R_NEW((2 + 2 * n) * s->dh), *k_h = head, *v_h = head + (1 + n) * s->dh,
         *read = R_NEW(n * inner);
    int64_t *seen = rows_new(n + 1);
    root_norm(n, s->E, s->eps, y, in(c, "gain"), x);
    project(n, s->E, inner, x, in(c, "wq"), q);
    project(n, s->E, inner, x, in(c, "wk"), k + inner);
    project(n, s->E, inner, x, in(c, "wv"), v + inner);
    real_copy(inner, in(c, "null_k"), k);
    real_copy(inner, in(c, "null_v"), v);
    if (dim(c, "rotary")) rmt_positions(s, q, k);
    for (int64_t h = 0; h < s->H; h++) {
        head_get(1 + n, s->H, s->dh, h, k, k_h);
        head_get(1 + n, s->H, s->dh, h, v, v_h);
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = i * inner + h * s->dh, count = rmt_sight(s, i, seen);
            attend(s->dh, count, seen, q + at, k_h, v_h, read + at);
        }
    }
    project(n, inner, s->E, read, in(c, "wo"), x);
    for (int64_t i = 0; i < n * s->E; i++) y[i] += x[i];
    free(x);
    free(q);
    free(k);
    free(v);
    free(head);
    free(read);
    free(seen);
}

/* y + W_2 (u gelu(w)), u = norm(y) W_u, w = norm(y) W_g, in place: y (rows x E). */
static void rmt_ffn(const Rmt *s, const Call *c, real *y) {
    const int64_t n = s->rows, F = s->F;
    real *x = R_NEW(n * s->E), *u = R_NEW(n * F), *w = R_NEW(n * F);
    root_norm(n, s->E, s->eps, y, in(c, "ffn_gain"), x);
    project(n, s->E, F, x, in(c, "w_u"), u);
    project(n, s->E, F, x, in(c, "w_g"), w);
    for (int64_t i = 0; i < n * F; i++) u[i] = u[i] * gelu_exact(w[i]);
    project(n, F, s->E, u, in(c, "w2"), x);
    for (int64_t i = 0; i < n * s->E; i++) y[i] += x[i];
    free(x);
    free(u);
    free(w);
}

/* [read + memory; embedded tokens from `from` on; write (+ memory)]: y (rows x E). */
static void rmt_rows(const Rmt *s, const Call *c, int64_t from, const real *memory, real *y) {
    const int64_t E = s->E, add = dim(c, "add_write"), stop = dim(c, "stop_grad");
    real *write = y + (s->M + s->n) * E;
    for (int64_t i = 0; i < s->M * E; i++) y[i] = in(c, "read")[i] + memory[i];
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t token = real_index(in(c, "tokens")[from + i]);
        for (int64_t j = 0; j < E; j++)
            y[(s->M + i) * E + j] = in(c, "embedding")[token * E + j] + in(c, "positions")[i * E + j];
    }
    for (int64_t i = 0; i < s->M * E; i++) {
        const real old = stop ? real_constant(memory[i]) : memory[i];
        write[i] = add ? in(c, "write")[i] + old : in(c, "write")[i];
    }
}

static void rmt_layer_run(const Call *c) {
    const int64_t T = dim(c, "tokens"), V = dim(c, "vocab"), segment = dim(c, "segment"), E = dim(c, "width"),
                  size = dim(c, "memory") * E;
    real *memory = R_NEW(size), *y = R_NEW(2 * size + segment * E);
    real_copy(size, in(c, "memories"), memory);
    for (int64_t from = 0; from < T; from += segment) {
        const Rmt s = rmt_at(c, T - from < segment ? T - from : segment);
        rmt_rows(&s, c, from, memory, y);
        rmt_attention(&s, c, y);
        rmt_ffn(&s, c, y);
        root_norm(s.rows, E, s.eps, y, in(c, "final_gain"), y);
        real_copy(size, y + size + s.n * E, memory);
        project_biased(s.n, E, V, y + size, in(c, "head"), in(c, "head_bias"), out(c, "logits") + from * V);
    }
    real_copy(size, memory, out(c, "new_memories"));
    free(memory);
    free(y);
}

static int64_t rmt_inner(const Call *c) { return dim(c, "heads") * dim(c, "head_width"); }
static const Dimension rmt_layer_dims[] = {
    TOKENS,
    SIZE("width", NULL, "numbers in a row"),
    HEADS,
    HEAD_WIDTH,
    CLASSES,
    SIZE("ffn", NULL, "hidden width of the feed-forward layer"),
    SIZE("segment", NULL, "tokens of a segment"),
    COUNT("memory", NULL, "memory rows"),
    SWITCH("rotary", NULL, 0, "1: rotary positions"),
    SWITCH("add_write", NULL, 0, "1: write rows begin from the memory before"),
    SWITCH("stop_grad", NULL, 0, "1: without derivatives"),
    DERIVED("inner", NULL, rmt_inner, "heads head_width"),
    DIMENSION_END};
static const Argument rmt_layer_in[] = {
    {"tokens", NULL, "tokens", INDEX, "classes"},
    MEMORY_ROWS("memories", "the memory before the first segment"),
    MEMORY_ROWS("read", "added to the memory that is read"),
    MEMORY_ROWS("write", "what rows that take the memory begin from"),
    {"embedding", NULL, "vocab width", NUMBER, "row of every class"},
    {"positions", NULL, "segment width", NUMBER, "added to the tokens of every segment"},
    {"null_k", NULL, "heads head_width", NUMBER, "a key that all rows see"},
    {"null_v", NULL, "heads head_width", NUMBER, "its value"},
    {"gain", NULL, "width", GAIN, "of attention's norm"},
    {"wq", NULL, "width inner", NUMBER, "queries"},
    {"wk", NULL, "width inner", NUMBER, "keys"},
    {"wv", NULL, "width inner", NUMBER, "values"},
    {"wo", NULL, "inner width", NUMBER, "output map"},
    {"ffn_gain", NULL, "width", GAIN, "of the feed-forward layer's norm"},
    {"w_u", NULL, "width ffn", NUMBER, "feed-forward layer"},
    {"w_g", NULL, "width ffn", NUMBER, "its gate"},
    {"w2", NULL, "ffn width", NUMBER, "its second map"},
    {"final_gain", NULL, "width", GAIN, "of the last norm"},
    {"head", NULL, "width vocab", NUMBER, "map to logits"},
    {"head_bias", NULL, "vocab", NUMBER, "its bias"},
    NORM_EPS,
    ARGUMENT_END};
static const Argument rmt_layer_out[] = {{"logits", NULL, "tokens vocab", NUMBER, "of every token's row"},
                                         MEMORY_ROWS("new_memories", "the memory after the last segment"),
                                         ARGUMENT_END};

static const Equation mixer_rmt_equations[] = {
    {"mixer_rmt", "Bulatov et al. 2022; ours: a memory for every mixer, normed",
     "segment by segment, mem = 0 before the first: u = [read + mem; x of the segment; write + mem] "
     "(add_write=0: write alone)\n"
     "y = causal attention of u, rotary positions j of its first rows and memory + segment + j of the write "
     "rows; o = the tokens' rows of y W_O\n"
     "mem = rms_norm(write rows of u + y W_O) gain; before every truncate-th segment it is without "
     "derivatives",
     mixer_rmt_dims, mixer_rmt_in, mixer_out, mixer_rmt_run, NULL},
    {"rmt_layer", "Bulatov et al. 2022, as recurrent-memory-transformer-pytorch",
     "segment by segment: y = [read + mem; embedding of the tokens + positions; write (+ mem, if "
     "add_write)]\n"
     "h = norm(y); y = y + attention(h W_Q, null_k || h W_K, null_v || h W_V) W_O: read rows see read rows, "
     "tokens read rows and tokens up to themselves, write rows everything, all the null key\n"
     "rotary: positions 0 of memory rows, 10000 + i of token i of the segment, 9999 of the null key, base "
     "32768\n"
     "y = y + ((norm(y) W_u) gelu_exact(norm(y) W_g)) W_2; y = norm(y); mem = its write rows; logits = its "
     "tokens' rows W + b; norm as rms_norm with this eps and the gains given",
     rmt_layer_dims, rmt_layer_in, rmt_layer_out, rmt_layer_run, NULL},
    EQUATION_END};
