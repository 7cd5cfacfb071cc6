/* Memory Transformer, Burtsev et al. 2020: learned rows before the sequence take part in its attention. As a causal
 * sequence mixer, and as the published layer with norms and feed-forward map. */
#pragma once
#include "../blocks.c"
#include "../titans.c"

/* Who sees whom, of Np memory rows followed by a sequence. MEMORY_PREFIX: memory rows see each other, tokens see them
 * and what lies not behind themselves. */
typedef enum { MEMORY_ALL, MEMORY_CAUSAL, MEMORY_PREFIX } MemorySight;

static int64_t memory_sight(MemorySight sight, int64_t Np, int64_t n, int64_t i, int64_t *seen) {
    const int64_t last = sight == MEMORY_ALL ? n : sight == MEMORY_PREFIX && i < Np ? Np : i + 1;
    for (int64_t j = 0; j < last; j++) seen[j] = j;
    return last;
}

/* Attention among n rows, the first Np of them memory: q, k, v, y (n x H x dh). */
static void memory_attention(MemorySight sight, int64_t Np, int64_t n, int64_t H, int64_t dh, const real *q,
                             const real *k, const real *v, real *y) {
    int64_t *seen = rows_new(n);
    real *head = R_NEW(4 * n * dh), *q_h = head, *k_h = q_h + n * dh, *v_h = k_h + n * dh,
         *y_h = v_h + n * dh;
    for (int64_t h = 0; h < H; h++) {
        head_get(n, H, dh, h, q, q_h);
        head_get(n, H, dh, h, k, k_h);
        head_get(n, H, dh, h, v, v_h);
        for (int64_t i = 0; i < n; i++) {
            const int64_t count = memory_sight(sight, Np, n, i, seen);
            attend(dh, count, seen, q_h + i * dh, k_h, v_h, y_h + i * dh);
        }
        head_put(n, H, dh, h, y_h, y);
    }
    free(head);
    free(seen);
}

/* ---- the mixer ---- */

/* o = [attention of every head] W_O of the n rows u, rotary positions the rows' numbers: u, o (n x D). */
static void memory_rows(const Mixing *m, const Call *c, int64_t n, const real *u, real *o) {
    real *q = R_NEW(n * m->D), *k = R_NEW(n * m->D), *v = R_NEW(n * m->D), *y = R_NEW(n * m->D);
    project(n, m->D, m->D, u, in(c, "wq"), q);
    project(n, m->D, m->D, u, in(c, "wk"), k);
    project(n, m->D, m->D, u, in(c, "wv"), v);
    rope(n, m->H, m->dh, 0, q, q);
    rope(n, m->H, m->dh, 0, k, k);
    memory_attention(MEMORY_PREFIX, m->persistent, n, m->H, m->dh, q, k, v, y);
    project(n, m->D, m->D, y, in(c, "wo"), o);
    free(q);
    free(k);
    free(v);
    free(y);
}

static void mixer_memory_transformer_run(const Call *c) {
    const Mixing m = mixing_at(c);
    const int64_t Np = m.persistent, n = Np + m.T, rounds = dim(c, "rounds");
    real *u = R_NEW(n * m.D), *o = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, in(c, "persistent"), in(c, "x"), u);
    for (int64_t round = 0; round < rounds; round++) {
        memory_rows(&m, c, Np, u, o);
        for (int64_t i = 0; i < Np * m.D; i++) u[i] += o[i];
    }
    memory_rows(&m, c, n, u, o);
    real_copy(m.T * m.D, o + Np * m.D, out(c, "o"));
    free(u);
    free(o);
}

static const Dimension mixer_memory_transformer_dims[] = {
    ROTARY_SIZES, PERSISTENT,
    COUNT("rounds", NULL, "times that the persistent rows read each other before the tokens read them"),
    DIMENSION_END};
static const Argument mixer_memory_transformer_in[] = {
    MIXER_X, PERSISTENT_TOKENS, ATTENTION_PARAMETERS("", ""), SQUARE("wo", "Wo", "output map"), ARGUMENT_END};

/* ---- the published layer ---- */

/* y + attention of norm(y), in place: y (n x E). */
static void memory_layer_attention(const Call *c, int64_t n, real *y) {
    const int64_t E = dim(c, "width"), H = dim(c, "heads"), dh = dim(c, "head_width"), inner = H * dh;
    const MemorySight sight = dim(c, "causal") ? MEMORY_CAUSAL : MEMORY_ALL;
    real *x = R_NEW(n * E), *q = R_NEW(n * inner), *k = R_NEW(n * inner), *v = R_NEW(n * inner),
         *read = R_NEW(n * inner);
    affine_norm(n, E, in(c, "eps")[0], y, in(c, "gain"), NULL, x);
    project(n, E, inner, x, in(c, "wq"), q);
    project(n, E, inner, x, in(c, "wk"), k);
    project(n, E, inner, x, in(c, "wv"), v);
    memory_attention(sight, dim(c, "persistent"), n, H, dh, q, k, v, read);
    project(n, inner, E, read, in(c, "wo"), x);
    for (int64_t i = 0; i < n * E; i++) y[i] += x[i];
    free(x);
    free(q);
    free(k);
    free(v);
    free(read);
}

/* y + W_2 gelu(W_1 norm(y) + b_1) + b_2, in place: y (n x E). */
static void memory_layer_ffn(const Call *c, int64_t n, real *y) {
    const int64_t E = dim(c, "width"), F = dim(c, "ffn");
    real *x = R_NEW(n * E), *inner = R_NEW(n * F);
    affine_norm(n, E, in(c, "eps")[0], y, in(c, "ffn_gain"), NULL, x);
    project_biased(n, E, F, x, in(c, "w1"), in(c, "b1"), inner);
    for (int64_t i = 0; i < n * F; i++) inner[i] = gelu_exact(inner[i]);
    project_biased(n, F, E, inner, in(c, "w2"), in(c, "b2"), x);
    for (int64_t i = 0; i < n * E; i++) y[i] += x[i];
    free(x);
    free(inner);
}

static void memory_transformer_layer_run(const Call *c) {
    const int64_t Np = dim(c, "persistent"), T = dim(c, "tokens"), E = dim(c, "width"), n = Np + T;
    real *y = R_NEW(n * E);
    persistent_prefix(Np, T, E, in(c, "persistent"), in(c, "x"), y);
    memory_layer_attention(c, n, y);
    memory_layer_ffn(c, n, y);
    affine_norm(n, E, in(c, "eps")[0], y, in(c, "final_gain"), NULL, y);
    real_copy(Np * E, y, out(c, "memory"));
    real_copy(T * E, y + Np * E, out(c, "o"));
    free(y);
}

static int64_t memory_layer_inner(const Call *c) { return dim(c, "heads") * dim(c, "head_width"); }
static const Dimension memory_transformer_layer_dims[] = {
    TOKENS,
    SIZE("width", NULL, "numbers in a row"),
    HEADS,
    HEAD_WIDTH,
    SIZE("ffn", NULL, "hidden width of the feed-forward layer"),
    PERSISTENT,
    SWITCH("causal", NULL, 0, "1: every row, memory too, sees the rows up to itself; 0: all see all"),
    DERIVED("inner", NULL, memory_layer_inner, "heads head_width"),
    DIMENSION_END};
static const Argument memory_transformer_layer_in[] = {
    MIXER_X,
    PERSISTENT_TOKENS,
    {"gain", NULL, "width", GAIN, "of attention's norm"},
    {"wq", NULL, "width inner", NUMBER, "queries"},
    {"wk", NULL, "width inner", NUMBER, "keys"},
    {"wv", NULL, "width inner", NUMBER, "values"},
    {"wo", NULL, "inner width", NUMBER, "output map"},
    {"ffn_gain", NULL, "width", GAIN, "of the feed-forward layer's norm"},
    {"w1", NULL, "width ffn", NUMBER, "feed-forward layer"},
    {"b1", NULL, "ffn", NUMBER, "its bias"},
    {"w2", NULL, "ffn width", NUMBER, "its second map"},
    {"b2", NULL, "width", NUMBER, "its bias"},
    {"final_gain", NULL, "width", GAIN, "of the last norm"},
    NORM_EPS,
    ARGUMENT_END};
static const Argument memory_transformer_layer_out[] = {
    MIXER_O, {"memory", NULL, "persistent width", NUMBER, "the memory rows"}, ARGUMENT_END};

static const Equation mixer_memory_transformer_equations[] = {
    {"mixer_memory_transformer", "Burtsev et al. 2020; ours, causal: every mixer has memory rows of its own",
     "rounds times p = p + attention(p) W_O, all rows of p seen;\n"
     "o = the last rows of attention([p_1 .. p_Np] || x) W_O: token t sees all p and the tokens up to "
     "itself;\n"
     "rotary positions are the rows' numbers",
     mixer_memory_transformer_dims, mixer_memory_transformer_in, mixer_out, mixer_memory_transformer_run,
     NULL},
    {"memory_transformer_layer", "Burtsev et al. 2020",
     "y = [p_1 .. p_Np] || x; y = y + attention(norm(y) W_Q, norm(y) W_K, norm(y) W_V) W_O, no positions;\n"
     "y = y + W_2 gelu_exact(W_1 norm(y) + b_1) + b_2; y = norm(y); norm as affine_norm, without bias, with "
     "the gains given\n"
     "memory, o = first Np rows, the others",
     memory_transformer_layer_dims, memory_transformer_layer_in, memory_transformer_layer_out,
     memory_transformer_layer_run, NULL},
    EQUATION_END};
