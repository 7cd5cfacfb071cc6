/* Attention to chosen rows: Longformer, BigBird, Linformer, Transformer-XL, memory tokens; from the papers and
 * the formulas of `titans equation --describe`. */
#include "oracle/oracle.h"
#include "oracle/draw.h"
#include "oracle/layers.h"

/* Rows [tokens][D], D = H dh. */
typedef struct Shape {
    int64_t T, D, H, dh;
} Shape;

static Shape mixer_shape(const OracleCall *c) {
    const int64_t D = size(c, "width"), H = size(c, "heads");
    return (Shape){size(c, "tokens"), D, H, D / H};
}

static Shape heads_shape(const OracleCall *c) {
    const int64_t H = size(c, "heads"), dh = size(c, "head_width");
    return (Shape){size(c, "tokens"), H * dh, H, dh};
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* An input of rows [rows][D], or a map [D][D] where rows is D. */
static Quad *take(const OracleCall *c, const char *name, int64_t rows, int64_t D) {
    return quads_from(in(c, name), rows * D);
}

/* rows x times the map of that name. */
static Quad *mapped(const OracleCall *c, const char *name, const Quad *x, int64_t rows, int64_t D) {
    return quads_product(x, take(c, name, D, D), rows, D, D);
}

/* The numbers first, first + 1, .. */
static int64_t *numbers(int64_t first, int64_t count) {
    int64_t *x = scratch(count * (int64_t)sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = first + i;
    return x;
}

/* The map, then rotary positions. */
static Quad *turned(const OracleCall *c, const char *name, const Quad *x, const int64_t *position,
                    int64_t rows, const Shape *s) {
    return rotated(mapped(c, name, x, rows, s->D), position, rows, s->H, s->dh);
}

/* Eq 2, head by head: queries [queries][D], keys and values [keys][D]. The mask of head h is
 * sees + h * stride, [queries][keys]. */
static Quad *attended_heads(const Shape *s, const Quad *q, const Quad *k, const Quad *v,
                            const unsigned char *sees, int64_t stride, int64_t queries, int64_t keys) {
    Quad *y = quads(queries * s->D);
    for (int64_t h = 0; h < s->H; h++) {
        const Quad *mine = head_of(q, queries, s->H, s->dh, h);
        const Quad *key = head_of(k, keys, s->H, s->dh, h), *value = head_of(v, keys, s->H, s->dh, h);
        head_to(y, attended(mine, key, value, sees + h * stride, queries, keys, s->dh), queries, s->H, s->dh,
                h);
    }
    return y;
}

/* y W_O, to the output o. */
static void finish(const OracleCall *c, const Quad *y, const Shape *s) {
    quads_to(out(c, "o"), mapped(c, "wo", y, s->T, s->D), s->T * s->D);
}

/* Floyd's sample of m of the blocks 1 .. i - 2, added to chosen [blocks]. */
static void sample_blocks(uint64_t seed, int64_t head, int64_t i, int64_t random, unsigned char *chosen) {
    const int64_t m = least(random, i - 2);
    uint64_t s = seed;
    s = draw_bits(&s) ^ (uint64_t)head;
    s = draw_bits(&s) ^ (uint64_t)i;
    s = draw_bits(&s);
    for (int64_t j = i - 2 - m; j < i - 2; j++) {
        const uint64_t fraction = draw_bits(&s) >> 32;
        const int64_t d = 1 + (int64_t)(fraction * (uint64_t)(j + 1) >> 32);
        chosen[chosen[d] ? j + 1 : d] = 1;
    }
}

/* BigBird, causal: [H][T][T]. */
static unsigned char *block_mask(const OracleCall *c, const Shape *s) {
    const int64_t T = s->T, block = size(c, "block");
    unsigned char *sees = scratch(s->H * T * T);
    for (int64_t h = 0; h < s->H; h++)
        for (int64_t t = 0; t < T; t++) {
            const int64_t i = t / block;
            unsigned char *chosen = scratch(i + 1);
            sample_blocks((uint64_t)size(c, "pattern_seed"), h, i, size(c, "random"), chosen);
            chosen[0] = chosen[i ? i - 1 : 0] = chosen[i] = 1;
            for (int64_t j = 0; j <= t; j++) sees[(h * T + t) * T + j] = chosen[j / block];
        }
    return sees;
}

static void block_attention(const OracleCall *c) {
    const Shape s = heads_shape(c);
    const Quad *y = attended_heads(&s, take(c, "q", s.T, s.D), take(c, "k", s.T, s.D), take(c, "v", s.T, s.D),
                                   block_mask(c, &s), s.T * s.T, s.T, s.T);
    quads_to(out(c, "y"), y, s.T * s.D);
}

static void mixer_bigbird(const OracleCall *c) {
    const Shape s = mixer_shape(c);
    const int64_t *place = numbers(0, s.T);
    const Quad *x = take(c, "x", s.T, s.D);
    const Quad *q = turned(c, "wq", x, place, s.T, &s), *k = turned(c, "wk", x, place, s.T, &s);
    finish(c, attended_heads(&s, q, k, mapped(c, "wv", x, s.T, s.D), block_mask(c, &s), s.T * s.T, s.T, s.T),
           &s);
}

/* Local rows read everything through the local maps; global rows everything through their own. */
static void mixer_longformer(const OracleCall *c) {
    const Shape s = mixer_shape(c);
    const int64_t globals = least(size(c, "globals"), s.T), window = size(c, "window");
    const int64_t *place = numbers(0, s.T);
    const Quad *x = take(c, "x", s.T, s.D);
    Quad *y =
        attended_heads(&s, turned(c, "wq", x, place, s.T, &s), turned(c, "wk", x, place, s.T, &s),
                       mapped(c, "wv", x, s.T, s.D), window_mask(s.T, s.T, 0, window, globals), 0, s.T, s.T);
    if (globals) {
        const Quad *all = attended_heads(
            &s, turned(c, "wq_global", x, place, s.T, &s), turned(c, "wk_global", x, place, s.T, &s),
            mapped(c, "wv_global", x, s.T, s.D), window_mask(s.T, s.T, 0, 0, 0), 0, s.T, s.T);
        y = quads_join(all, globals, quads_rows(y, globals, s.T - globals, s.D), s.T - globals, s.D);
    }
    finish(c, y, &s);
}

/* Slots [slots][D] of one segment's rows [segment][D]: weight^T rows, weight [segment][slots]. */
static Quad *compressed(const Quad *rows, const Quad *weight, int64_t segment, int64_t slots, int64_t D) {
    Quad *y = quads(slots * D);
    for (int64_t j = 0; j < slots; j++)
        for (int64_t i = 0; i < segment; i++)
            for (int64_t d = 0; d < D; d++) y[j * D + d] += weight[i * slots + j] * rows[i * D + d];
    return y;
}

/* The slots of all segments before `start`, then the `count` rows from there on. */
static Quad *shortened(const OracleCall *c, const char *weight, const Quad *rows, int64_t start,
                       int64_t count, int64_t D) {
    const int64_t segment = size(c, "segment"), slots = size(c, "slots");
    const Quad *w = take(c, weight, segment, slots);
    Quad *y = quads(0);
    for (int64_t i = 0; i < start / segment; i++)
        y = quads_join(y, i * slots, compressed(rows + i * segment * D, w, segment, slots, D), slots, D);
    return quads_join(y, start / segment * slots, quads_rows(rows, start, count, D), count, D);
}

static void mixer_linformer(const OracleCall *c) {
    const Shape s = mixer_shape(c);
    const int64_t segment = size(c, "segment"), *place = numbers(0, s.T);
    const Quad *x = take(c, "x", s.T, s.D), *q = turned(c, "wq", x, place, s.T, &s);
    const Quad *k = turned(c, "wk", x, place, s.T, &s), *v = mapped(c, "wv", x, s.T, s.D);
    Quad *y = quads(0);
    for (int64_t start = 0; start < s.T; start += segment) {
        const int64_t count = least(segment, s.T - start), past = start / segment * size(c, "slots");
        const Quad *part = attended_heads(
            &s, quads_rows(q, start, count, s.D), shortened(c, "compress_k", k, start, count, s.D),
            shortened(c, "compress_v", v, start, count, s.D), window_mask(count, past + count, past, 0, 0), 0,
            count, past + count);
        y = quads_join(y, start, part, count, s.D);
    }
    finish(c, y, &s);
}

/* Transformer-XL's scores over all keys [keys][D], for the last `tokens` of their rows: q meets k, p meets the
 * row of the distance; r [keys][D] begins with the largest distance. */
static Quad *related(const Shape *s, const Quad *q, const Quad *p, const Quad *k, const Quad *v,
                     const Quad *r, int64_t tokens, int64_t keys) {
    Quad *y = quads(tokens * s->D);
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t h = 0; h < s->H; h++) {
            const int64_t own = keys - tokens + i, at = i * s->D + h * s->dh;
            Quad total = 0;
            for (int64_t j = 0; j <= own; j++) {
                const int64_t key = j * s->D + h * s->dh, far = (keys - 1 - (own - j)) * s->D + h * s->dh;
                Quad score = 0;
                for (int64_t d = 0; d < s->dh; d++) score += q[at + d] * k[key + d] + p[at + d] * r[far + d];
                const Quad weight = quad_exp(score / quad_sqrt(s->dh));
                total += weight;
                for (int64_t d = 0; d < s->dh; d++) y[at + d] += weight * v[key + d];
            }
            for (int64_t d = 0; d < s->dh; d++) y[at + d] /= total;
        }
    return y;
}

static void relative_attention(const OracleCall *c) {
    const Shape s = heads_shape(c);
    const int64_t keys = size(c, "keys");
    const Quad *y = related(&s, take(c, "q", s.T, s.D), take(c, "p", s.T, s.D), take(c, "k", keys, s.D),
                            take(c, "v", keys, s.D), take(c, "r", keys, s.D), s.T, keys);
    quads_to(out(c, "y"), y, s.T * s.D);
}

/* [sin(d f_j) ..; cos(d f_j) ..] for d = rows - 1 .. 0: [rows][D], f_j = 10000^(-2j / D). */
static Quad *sinusoids(int64_t rows, int64_t D) {
    Quad *y = quads(rows * D);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < D / 2; j++) {
            Quad cosine, sine;
            const Quad f = constant(quad_exp(-quad_log(10000) * constant((Quad)(2 * j) / D)));
            quad_turn(constant((rows - 1 - i) * f), &cosine, &sine);
            y[i * D + j] = constant(sine), y[i * D + D / 2 + j] = constant(cosine);
        }
    return y;
}

/* Rows [rows][D] plus one row for all of them. */
static Quad *shifted(const Quad *x, const Quad *row, int64_t rows, int64_t D) {
    Quad *y = quads(rows * D);
    for (int64_t i = 0; i < rows * D; i++) y[i] = x[i] + row[i % D];
    return y;
}

static void mixer_transformer_xl(const OracleCall *c) {
    const Shape s = mixer_shape(c);
    const Quad *x = take(c, "x", s.T, s.D), *u = take(c, "u", 1, s.D), *v_b = take(c, "v_b", 1, s.D);
    Quad *y = quads(0);
    for (int64_t start = 0, count = 0; start < s.T; start += count) {
        count = least(size(c, "segment"), s.T - start);
        const int64_t past = least(size(c, "memory"), start), keys = past + count;
        const Quad *context = quads_rows(x, start - past, keys, s.D);
        const Quad *q = mapped(c, "wq", quads_rows(x, start, count, s.D), count, s.D);
        const Quad *r = mapped(c, "wr", sinusoids(keys, s.D), keys, s.D);
        const Quad *part =
            related(&s, shifted(q, u, count, s.D), shifted(q, v_b, count, s.D),
                    mapped(c, "wk", context, keys, s.D), mapped(c, "wv", context, keys, s.D), r, count, keys);
        y = quads_join(y, start, part, count, s.D);
    }
    finish(c, y, &s);
}

/* Attention of rows [rows][D] to each other, at rotary positions. */
static Quad *own_attention(const OracleCall *c, const Shape *s, const Quad *x, const int64_t *position,
                           const unsigned char *sees, int64_t rows) {
    return attended_heads(s, turned(c, "wq", x, position, rows, s), turned(c, "wk", x, position, rows, s),
                          mapped(c, "wv", x, rows, s->D), sees, 0, rows, rows);
}

static Quad *sum_of(const Quad *a, const Quad *b, int64_t n) {
    Quad *y = quads(n);
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
    return y;
}

/* [rows][rows]: row i sees the first `prefix` rows and those up to itself. */
static unsigned char *prefix_mask(int64_t rows, int64_t prefix) {
    unsigned char *sees = scratch(rows * rows);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++) sees[i * rows + j] = j < prefix || j <= i;
    return sees;
}

static void mixer_memory_transformer(const OracleCall *c) {
    const Shape s = mixer_shape(c);
    const int64_t n = size(c, "persistent"), rows = n + s.T, *place = numbers(0, rows);
    const Quad *p = take(c, "persistent", n, s.D);
    for (int64_t round = 0; round < size(c, "rounds"); round++) {
        const Quad *read = own_attention(c, &s, p, place, prefix_mask(n, n), n);
        p = sum_of(p, mapped(c, "wo", read, n, s.D), n * s.D);
    }
    const Quad *all = quads_join(p, n, take(c, "x", s.T, s.D), s.T, s.D);
    const Quad *y = own_attention(c, &s, all, place, prefix_mask(rows, n), rows);
    finish(c, quads_rows(y, n, s.T, s.D), &s);
}

/* One segment: u = [read + mem; x; write + mem]; returns the tokens' rows and replaces mem [m][D]. */
static Quad *segment_of(const OracleCall *c, const Shape *s, int64_t start, int64_t count, Quad **mem) {
    const int64_t m = size(c, "memory"), rows = m + count + m, D = s->D;
    const Quad *write = take(c, "write", m, D);
    if (size(c, "add_write")) write = sum_of(write, *mem, m * D);
    Quad *u = quads_join(sum_of(take(c, "read", m, D), *mem, m * D), m,
                         quads_rows(take(c, "x", s->T, D), start, count, D), count, D);
    u = quads_join(u, m + count, write, m, D);
    int64_t *place = numbers(0, rows);
    for (int64_t j = 0; j < m; j++) place[m + count + j] = m + size(c, "segment") + j;
    const Quad *y = own_attention(c, s, u, place, prefix_mask(rows, 0), rows);
    const Quad *next = sum_of(u, mapped(c, "wo", y, rows, D), rows * D);
    *mem = rms_normed(quads_rows(next, m + count, m, D), take(c, "gain", 1, D), m, 1, D);
    return quads_rows(y, m, count, D);
}

static void mixer_rmt(const OracleCall *c) {
    const Shape s = mixer_shape(c);
    Quad *mem = quads(size(c, "memory") * s.D), *y = quads(0);
    for (int64_t start = 0, count = 0; start < s.T; start += count) {
        count = least(size(c, "segment"), s.T - start);
        y = quads_join(y, start, segment_of(c, &s, start, count, &mem), count, s.D);
    }
    finish(c, y, &s);
}

static const OracleEquation equations[] = {{"block_attention", block_attention},
                                           {"mixer_bigbird", mixer_bigbird},
                                           {"mixer_longformer", mixer_longformer},
                                           {"mixer_linformer", mixer_linformer},
                                           {"relative_attention", relative_attention},
                                           {"mixer_transformer_xl", mixer_transformer_xl},
                                           {"mixer_memory_transformer", mixer_memory_transformer},
                                           {"mixer_rmt", mixer_rmt},
                                           {0, 0}};
const OracleEquations oracle_equations_windows = {equations};
