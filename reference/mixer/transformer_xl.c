/* Transformer-XL, Dai et al. 2019: attention over a segment and the rows before it, with relative positions. As a
 * sequence mixer, and as the published stack of layers over segments. */
#pragma once
#include "../blocks.c"
#include "../relative.c"
#include "../titans.c"

/* Sizes of one layer's attention: E columns of a row, H heads of dh; distances count up to clamp (0: all). */
typedef struct Recurrence {
    int64_t E, H, dh, clamp;
} Recurrence;

/* W_q, W_k, W_v, W_r (E x H dh), u, v_b (H x dh), W_o (H dh x E). */
typedef struct RecurrenceWeights {
    const real *wq, *wk, *wv, *wr, *u, *v_b, *wo;
} RecurrenceWeights;

static void recurrence_bias(int64_t T, int64_t n, const real *q, const real *bias, real *y) {
    for (int64_t i = 0; i < T * n; i++) y[i] = q[i] + bias[i % n];
}

/* o = attention of the last n of the m + n rows c, query i to the rows j > i - shift up to its own: c ((m + n) x E),
 * o (n x E). */
static void recurrence_attention(const Recurrence *s, const RecurrenceWeights *w, int64_t m, int64_t n,
                                 int64_t shift, const real *c, real *o) {
    const int64_t S = m + n, inner = s->H * s->dh;
    const Distances sizes = {n, S, s->H, s->dh, shift};
    real *q = R_NEW(n * inner), *content = R_NEW(n * inner), *position = R_NEW(n * inner),
         *y = R_NEW(n * inner);
    real *k = R_NEW(S * inner), *v = R_NEW(S * inner), *r = R_NEW(S * inner), *waves = R_NEW(S * s->E);
    project(n, s->E, inner, c + m * s->E, w->wq, q);
    project(S, s->E, inner, c, w->wk, k);
    project(S, s->E, inner, c, w->wv, v);
    relative_positions(S, s->E, s->clamp, waves);
    project(S, s->E, inner, waves, w->wr, r);
    recurrence_bias(n, inner, q, w->u, content);
    recurrence_bias(n, inner, q, w->v_b, position);
    relative_attention(&sizes, content, position, k, v, r, y);
    project(n, inner, s->E, y, w->wo, o);
    free(q);
    free(content);
    free(position);
    free(y);
    free(k);
    free(v);
    free(r);
    free(waves);
}

/* ---- the mixer ---- */

/* The rows from .. to - 1 of x; those before `cut` are constant. */
static void recurrence_rows(int64_t D, int64_t from, int64_t to, int64_t cut, const real *x, real *c) {
    for (int64_t t = from; t < to; t++)
        for (int64_t i = 0; i < D; i++)
            c[(t - from) * D + i] = t < cut ? real_constant(x[t * D + i]) : x[t * D + i];
}

static void mixer_transformer_xl_run(const Call *call) {
    const Mixing m = mixing_at(call);
    const int64_t memory = dim(call, "memory"), open = dim(call, "truncate") * m.segment;
    const Recurrence s = {m.D, m.H, m.dh, 0};
    const RecurrenceWeights w = {in(call, "wq"), in(call, "wk"),  in(call, "wv"), in(call, "wr"),
                                 in(call, "u"),  in(call, "v_b"), in(call, "wo")};
    real *c = R_NEW((memory + m.segment) * m.D);
    for (int64_t from = 0; from < m.T; from += m.segment) {
        const int64_t n = m.T - from < m.segment ? m.T - from : m.segment;
        const int64_t kept = from < memory ? from : memory;
        recurrence_rows(m.D, from - kept, from + n, from - open, in(call, "x"), c);
        recurrence_attention(&s, &w, kept, n, n, c, out(call, "o") + from * m.D);
    }
    free(c);
}

#define SEGMENT_ROWS SIZE("segment", NULL, "rows of a segment, counted from the sequence's beginning")
#define TRUNCATE(meaning) COUNT("truncate", NULL, meaning)
static const Dimension mixer_transformer_xl_dims[] = {
    MIXER_SIZES, SEGMENT_ROWS, COUNT("memory", NULL, "rows before the segment that it sees"),
    TRUNCATE("segments before its own into whose rows the gradient goes; 0: none, as published"),
    DIMENSION_END};
static const Argument mixer_transformer_xl_in[] = {
    MIXER_X,
    SQUARE("wq", NULL, "queries"),
    SQUARE("wk", NULL, "keys"),
    SQUARE("wv", NULL, "values"),
    SQUARE("wr", NULL, "distances"),
    {"u", NULL, "heads head_width", NUMBER, "added to queries that meet keys"},
    {"v_b", NULL, "heads head_width", NUMBER, "added to queries that meet distances"},
    SQUARE("wo", NULL, "output map"),
    ARGUMENT_END};

/* ---- the published layers ---- */

typedef struct RecurrenceLayers {
    Recurrence s;
    int64_t F, layers, memory, same_length, pre_norm;
    real eps;
} RecurrenceLayers;

/* What is kept of one layer: m rows of its input. */
typedef struct Kept {
    int64_t m;
    real *rows;
} Kept;

/* The layer's part of a parameter: layers x n. */
static const real *layer_part(const Call *c, const char *name, int64_t layer, int64_t n) {
    return in(c, name) + layer * n;
}

/* y + the feed-forward layer of it, in place: y (n x E). */
static void recurrence_ffn(const RecurrenceLayers *s, const Call *c, int64_t layer, int64_t n, real *y) {
    const int64_t E = s->s.E, F = s->F;
    const real *gain = layer_part(c, "ffn_gain", layer, E), *bias = layer_part(c, "ffn_bias", layer, E);
    real *x = R_NEW(n * E), *inner = R_NEW(n * F), *z = R_NEW(n * E);
    real_copy(n * E, y, x);
    if (s->pre_norm) affine_norm(n, E, s->eps, y, gain, bias, x);
    project_biased(n, E, F, x, layer_part(c, "w1", layer, E * F), layer_part(c, "b1", layer, F), inner);
    for (int64_t i = 0; i < n * F; i++) inner[i] = RE(inner[i]) > 0 ? inner[i] : R(0);
    project_biased(n, F, E, inner, layer_part(c, "w2", layer, F * E), layer_part(c, "b2", layer, E), z);
    for (int64_t i = 0; i < n * E; i++) y[i] += z[i];
    if (!s->pre_norm) affine_norm(n, E, s->eps, y, gain, bias, y);
    free(x);
    free(inner);
    free(z);
}

/* One layer over one segment, in place: y (n x E). */
static void recurrence_layer(const RecurrenceLayers *s, const Call *call, int64_t layer, const Kept *kept,
                             int64_t n, real *y) {
    const int64_t E = s->s.E, inner = s->s.H * s->s.dh, m = kept->m, all = m + n;
    const RecurrenceWeights w = {
        layer_part(call, "wq", layer, E * inner), layer_part(call, "wk", layer, E * inner),
        layer_part(call, "wv", layer, E * inner), layer_part(call, "wr", layer, E * inner),
        layer_part(call, "u", layer, inner),      layer_part(call, "v_b", layer, inner),
        layer_part(call, "wo", layer, inner * E)};
    const real *gain = layer_part(call, "gain", layer, E), *bias = layer_part(call, "bias", layer, E);
    const int64_t shift = s->same_length && all > s->memory ? n - (all - s->memory) : n;
    real *c = R_NEW(all * E), *o = R_NEW(n * E);
    real_copy(m * E, kept->rows, c);
    real_copy(n * E, y, c + m * E);
    if (s->pre_norm) affine_norm(all, E, s->eps, c, gain, bias, c);
    recurrence_attention(&s->s, &w, m, n, s->same_length ? shift : all, c, o);
    for (int64_t i = 0; i < n * E; i++) y[i] += o[i];
    if (!s->pre_norm) affine_norm(n, E, s->eps, y, gain, bias, y);
    recurrence_ffn(s, call, layer, n, y);
    free(c);
    free(o);
}

/* The last `memory` rows of [kept; y], without derivatives: y (n x E). */
static void recurrence_keep(const RecurrenceLayers *s, int64_t n, const real *y, Kept *kept) {
    const int64_t E = s->s.E, all = kept->m + n, m = all < s->memory ? all : s->memory;
    real *rows = R_NEW(m * E);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < E; j++) {
            const int64_t row = all - m + i;
            rows[i * E + j] =
                real_constant(row < kept->m ? kept->rows[row * E + j] : y[(row - kept->m) * E + j]);
        }
    free(kept->rows);
    *kept = (Kept){m, rows};
}

/* The end of the segment that begins at row `from`. */
static int64_t segment_end(const Call *c, int64_t from) {
    const int64_t T = dim(c, "tokens"), segment = dim(c, "segment");
    int64_t end = segment > 0 ? from + segment : T;
    for (int64_t i = dim(c, "cuts") - 1; i >= 0 && segment == 0; i--) {
        const int64_t cut = real_index(in(c, "ends")[i]);
        if (cut > from && cut < end) end = cut;
    }
    return end < T ? end : T;
}

static void transformer_xl_layer_run(const Call *call) {
    const int64_t T = dim(call, "tokens"), E = dim(call, "width"), count = dim(call, "layers"),
                  given = dim(call, "given");
    const RecurrenceLayers s = {
        {E, dim(call, "heads"), dim(call, "head_width"), real_index(in(call, "clamp")[0])},
        dim(call, "ffn"),
        count,
        dim(call, "memory"),
        dim(call, "same_length"),
        dim(call, "pre_norm"),
        in(call, "eps")[0]};
    Kept *kept = (Kept *)calloc((size_t)count, sizeof(Kept));
    if (!kept) abort();
    for (int64_t l = 0; l < count; l++) {
        kept[l] = (Kept){given, R_NEW(given * E)};
        real_copy(given * E, in(call, "mems") + l * given * E, kept[l].rows);
    }
    real_copy(T * E, in(call, "x"), out(call, "y"));
    for (int64_t from = 0, end; from < T; from = end) {
        end = segment_end(call, from);
        real *y = out(call, "y") + from * E, *input = R_NEW((end - from) * E);
        for (int64_t l = 0; l < count; l++) {
            real_copy((end - from) * E, y, input);
            recurrence_layer(&s, call, l, &kept[l], end - from, y);
            recurrence_keep(&s, end - from, input, &kept[l]);
        }
        free(input);
    }
    for (int64_t l = 0; l < count; l++) {
        real_copy(kept[l].m * E, kept[l].rows, out(call, "new_mems") + l * kept[l].m * E);
        free(kept[l].rows);
    }
    free(kept);
}

static int64_t inner_width(const Call *c) { return dim(c, "heads") * dim(c, "head_width"); }
static int64_t recurrence_kept(const Call *c) {
    const int64_t all = dim(c, "given") + dim(c, "tokens"), memory = dim(c, "memory");
    return all < memory ? all : memory;
}
#define INNER_WIDTH DERIVED("inner", NULL, inner_width, "heads head_width")
#define FFN_WIDTH SIZE("ffn", NULL, "hidden width of the feed-forward layer")
#define OF_LAYERS(name, shape, role, meaning)                                                                \
    { name, NULL, "layers " shape, role, meaning }
static const Dimension transformer_xl_layer_dims[] = {
    TOKENS,
    SIZE("width", NULL, "numbers in a row"),
    HEADS,
    HEAD_WIDTH,
    FFN_WIDTH,
    SIZE("layers", NULL, "layers"),
    COUNT("memory", NULL, "rows of a layer's input that are kept"),
    COUNT("given", NULL, "rows kept before the first segment"),
    COUNT("segment", NULL, "rows of a segment; 0: as the ends say"),
    COUNT("cuts", NULL, "ends of segments that are given"),
    SWITCH("same_length", NULL, 0, "1: every query sees as many keys"),
    SWITCH("pre_norm", NULL, 0, "1: norms before attention and feed-forward layer, 0: after them"),
    INNER_WIDTH,
    DERIVED("kept", NULL, recurrence_kept, "rows kept after the last segment"),
    DIMENSION_END};
static const Argument transformer_xl_layer_in[] = {
    {"x", NULL, "tokens width", NUMBER, "rows"},
    {"ends", NULL, "cuts", NUMBER, "rows before which segments end, if segment is 0; whole numbers"},
    OF_LAYERS("mems", "given width", NUMBER, "what is kept before the first segment"),
    OF_LAYERS("wq", "width inner", NUMBER, "queries"),
    OF_LAYERS("wk", "width inner", NUMBER, "keys"),
    OF_LAYERS("wv", "width inner", NUMBER, "values"),
    OF_LAYERS("wr", "width inner", NUMBER, "distances"),
    OF_LAYERS("u", "inner", NUMBER, "added to queries that meet keys"),
    OF_LAYERS("v_b", "inner", NUMBER, "added to queries that meet distances"),
    OF_LAYERS("wo", "inner width", NUMBER, "output map"),
    OF_LAYERS("gain", "width", GAIN, "of attention's norm"),
    OF_LAYERS("bias", "width", NUMBER, "of attention's norm"),
    OF_LAYERS("w1", "width ffn", NUMBER, "feed-forward layer"),
    OF_LAYERS("b1", "ffn", NUMBER, "its bias"),
    OF_LAYERS("w2", "ffn width", NUMBER, "its second map"),
    OF_LAYERS("b2", "width", NUMBER, "its bias"),
    OF_LAYERS("ffn_gain", "width", GAIN, "of its norm"),
    OF_LAYERS("ffn_bias", "width", NUMBER, "of its norm"),
    NORM_EPS,
    {"clamp", NULL, "1", LIMIT, "the largest distance, a whole number; below 1: none"},
    ARGUMENT_END};
static const Argument transformer_xl_layer_out[] = {
    {"y", NULL, "tokens width", NUMBER, "rows behind the last layer"},
    {"new_mems", NULL, "layers kept width", NUMBER, "what is kept after the last segment"},
    ARGUMENT_END};

static const Equation mixer_transformer_xl_equations[] = {
    {"mixer_transformer_xl", "Dai et al. 2019; ours: truncate above 0",
     "segment by segment, m = min(memory, rows before it), c = [the m rows of x before the segment, without "
     "derivatives; x of the segment]:\n"
     "q = x W_Q, k = c W_K, v = c W_V; r(d) = [sin(d f_j) ..; cos(d f_j) ..] W_R, f_j = 10000^(-2j / width), "
     "j < width / 2\n"
     "o_i = [sum_j a_ij v_j of every head] W_O, a_i = softmax over j up to the row itself of\n"
     "((q_i + u).k_j + (q_i + v_b).r(distance of j)) / sqrt(head_width)",
     mixer_transformer_xl_dims, mixer_transformer_xl_in, mixer_out, mixer_transformer_xl_run, NULL},
    {"transformer_xl_layer", "Dai et al. 2019",
     "for every segment and layer: c = [mems of the layer; y], y the layer before's (first: x)\n"
     "y = norm(y + attention(c)), as mixer_transformer_xl, distances at most clamp; y = norm(y + W_2 "
     "relu(W_1 "
     "y + b_1) + b_2)\n"
     "pre_norm: y = y + attention(norm(c)); y = y + W_2 relu(W_1 norm(y) + b_1) + b_2; norm as affine_norm\n"
     "same_length: row i of n sees rows j > i - s of c only, s = n - max(rows of c - memory, 0)\n"
     "mems = the last `memory` rows of c before its norm, without derivatives",
     transformer_xl_layer_dims, transformer_xl_layer_in, transformer_xl_layer_out, transformer_xl_layer_run,
     NULL},
    EQUATION_END};
