#pragma once
/* A chunk's states again from its snapshot, then its tokens in reverse. */
#include "kernel/scan/step.c"

/* Scratch of one thread: for every vector of the group a, the gradients of the state and of a; of one vector the states
 * before and after every token of a chunk, and what scan_next keeps; sums over vectors of the gradients of b, c and (Longhorn) the
 * squares' sum, one vector of lanes each. */
typedef struct {
    float *a, *dh, *da, *h, *kept, *db, *dc, *dsum;
    float *u, *s, *rise, *dy, *du,
        *dstep; /* of a chunk, vector by vector: rows that lie a page apart share cache sets */
} ScanScratch;

/* States in whole vectors: sums of lanes go 16 at a time. */
static int64_t scan_padded(const ScanShape *s) { return padded(s->states) * VEC_LANES; }

static int64_t scan_scratch(const ScanShape *s, float *base, ScanScratch *x) {
    const int64_t state = s->states * VEC_LANES;
    int64_t used = 0;
    x->a = rows_part(base, &used, SCAN_GROUP * state);
    x->dh = rows_part(base, &used, SCAN_GROUP * state);
    x->da = rows_part(base, &used, SCAN_GROUP * state);
    x->h = rows_part(base, &used, (SCAN_CHUNK + 1) * state);
    x->kept = rows_part(base, &used, SCAN_CHUNK * state);
    x->db = rows_part(base, &used, SCAN_CHUNK * scan_padded(s));
    x->dc = rows_part(base, &used, SCAN_CHUNK * scan_padded(s));
    x->dsum = rows_part(base, &used, SCAN_CHUNK * VEC_LANES);
    float **const rows[] = {&x->u, &x->s, &x->rise, &x->dy, &x->du, &x->dstep};
    for (int i = 0; i < 6; i++) *rows[i] = rows_part(base, &used, SCAN_GROUP * SCAN_CHUNK * VEC_LANES);
    return used;
}

/* What is summed afterwards: over groups b's and c's rows, over sequences a's and skip's. */
typedef struct {
    float *rows, *channels; /* batch x groups x tokens x 2 states; batch x (states + 1) x channels */
} ScanSums;

static int64_t scan_sums(const ScanShape *s, float *base, ScanSums *x) {
    int64_t used = 0;
    x->rows = rows_part(base, &used, s->batch * scan_groups(s) * s->tokens * 2 * s->states);
    x->channels = rows_part(base, &used, s->batch * (s->states + 1) * s->channels);
    return used;
}

/* One group of one sequence. */
typedef struct {
    const ScanShape *shape;
    const ScanInput *in;
    const float *snapshots, *dy;
    const ScanGradient *d;
    int64_t batch, group, first;
    float *dskip; /* of the group's channels */
    ScanScratch x;
} ScanGroup;

INLINE void add_lanes(float *to, Vec x, int64_t lanes) {
    vec_store_n(to, vec_add(vec_load_n(to, lanes), x), lanes);
}

/* Where token i of the chunk lies in the scratch of vector v. */
INLINE int64_t scan_place(int64_t v, int64_t i) { return (v * SCAN_CHUNK + i) * VEC_LANES; }

/* A chunk's rows of u, s and dy into the scratch. */
INLINE void scan_rows_take(const ScanKind kind, const ScanGroup *g, int64_t vectors, int64_t from,
                           int64_t count) {
    const ScanShape *s = g->shape;
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = g->batch * s->tokens + from + i;
        const float keys = kind == SCAN_LONGHORN ? scan_keys(s->states, g->in->b + row * s->stride) : 0.0f;
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t lanes = scan_lanes(s, g->first, v), to = scan_place(v, i),
                          at = row * s->channels + g->first + v * VEC_LANES;
            const Vec step = vec_load_n(g->in->step + at, lanes);
            const Vec rise = kind == SCAN_LONGHORN ? scan_rise(step) : vec_zero();
            vec_store(g->x.u + to, vec_load_n(g->in->u + at, lanes));
            vec_store(g->x.dy + to, vec_load_n(g->dy + at, lanes));
            vec_store(g->x.rise + to, rise);
            vec_store(g->x.s + to, kind == SCAN_LONGHORN ? scan_width(keys, rise) : step);
        }
    }
}

/* Its gradients of u and step out of the scratch. */
static void scan_rows_give(const ScanGroup *g, int64_t vectors, int64_t from, int64_t count) {
    const ScanShape *s = g->shape;
    for (int64_t i = 0; i < count; i++)
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t lanes = scan_lanes(s, g->first, v), to = scan_place(v, i),
                          at = (g->batch * s->tokens + from + i) * s->channels + g->first + v * VEC_LANES;
            add_lanes(g->d->u + at, vec_load(g->x.du + to), lanes);
            add_lanes(g->d->step + at, vec_load(g->x.dstep + to), lanes);
        }
}

/* A token of a vector: its rows of b and c, and what is made of u and step. */
typedef struct {
    const float *b, *c;
    Vec u, s, written, dy;
} ScanAt;

INLINE ScanAt scan_at(const ScanGroup *g, int64_t v, int64_t from, int64_t i) {
    const int64_t row = (g->batch * g->shape->tokens + from + i) * g->shape->stride, at = scan_place(v, i);
    const Vec u = vec_load(g->x.u + at), s = vec_load(g->x.s + at);
    return (ScanAt){g->in->b + row, g->in->c + row, u, s, vec_mul(s, u), vec_load(g->x.dy + at)};
}

/* The states of `count` tokens from `from` on, of vector v: row i of h is before token from + i. */
INLINE void scan_again(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t from, int64_t count) {
    const ScanShape *s = g->shape;
    const int64_t state = s->states * VEC_LANES, at = g->first + v * VEC_LANES;
    const float *snapshot =
        g->snapshots + (g->batch * scan_chunks(s) + from / SCAN_CHUNK) * s->states * s->channels + at;
    scan_take(s->states, snapshot, s->channels, scan_lanes(s, g->first, v), g->x.h);
    for (int64_t i = 0; i < count; i++) {
        const ScanAt x = scan_at(g, v, from, i);
        const float *a = g->x.a + v * state;
        float *h = g->x.h + i * state;
        for (int64_t n = 0; n < state; n += VEC_LANES) {
            Vec kept;
            vec_store(h + state + n, scan_next(kind, vec_load(h + n), a + n, x.b[n / VEC_LANES], x.s, x.u,
                                               x.written, &kept));
            vec_store(g->x.kept + i * state + n, kept);
        }
    }
}

/* What a token's numbers add up to: over the state's numbers the gradient of s u (Longhorn: over s), and that of s
 * without it. */
typedef struct {
    Vec wrote, faded;
} ScanBack;

/* Tokens that go back together: they share loads of what lies between them. Vectors of two registers spill sooner. */
enum { SCAN_TOKENS = SCAN_ROWS >= 8 ? 4 : 2 };

/* Number n of the state at `tokens` tokens, the last of which is token `last` of the chunk, in reverse. */
INLINE void scan_back_number(const ScanKind kind, const int tokens, const ScanGroup *g, int64_t v,
                             int64_t last, int64_t n, const ScanAt *x, ScanBack *back) {
    const int64_t state = g->shape->states * VEC_LANES, at = n * VEC_LANES, row = scan_padded(g->shape);
    const Vec a = kind == SCAN_LONGHORN ? vec_zero() : vec_load(g->x.a + v * state + at);
    Vec dh = vec_load(g->x.dh + v * state + at), da = vec_load(g->x.da + v * state + at),
        after = vec_load(g->x.h + (last + 1) * state + at);
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        float *db = g->x.db + (last - i) * row + at, *dc = g->x.dc + (last - i) * row + at;
        const Vec before = vec_load(g->x.h + (last - i) * state + at),
                  kept = vec_load(g->x.kept + (last - i) * state + at), key = vec_set1(x[i].b[n]);
        const Vec d = vec_fma(vec_set1(x[i].c[n]), x[i].dy, dh);
        vec_store(dc, vec_fma(x[i].dy, after, vec_load(dc)));
        if (kind == SCAN_LONGHORN) {
            const Vec share = vec_mul(key, d), error = vec_fnma(before, share, vec_mul(kept, d));
            back[i].wrote = vec_add(back[i].wrote, share);
            back[i].faded = vec_fma(share, kept, back[i].faded);
            vec_store(db, vec_fma(x[i].s, error, vec_load(db)));
            dh = vec_fnma(key, vec_mul(x[i].s, share), d);
        } else {
            dh = vec_mul(d, kept);
            const Vec exponent = vec_mul(dh, before);
            back[i].wrote = vec_fma(d, key, back[i].wrote);
            back[i].faded = vec_fma(exponent, a, back[i].faded);
            vec_store(db, vec_fma(d, x[i].written, vec_load(db)));
            da = vec_fma(exponent, x[i].s, da);
        }
        after = before;
    }
    vec_store(g->x.dh + v * state + at, dh);
    if (kind == SCAN_SELECTIVE) vec_store(g->x.da + v * state + at, da);
}

/* The gradients of u and step at token i of the chunk. */
INLINE void scan_back_token(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t i, const ScanAt *x,
                            ScanBack back, Vec skip) {
    const int64_t at = scan_place(v, i);
    Vec ds = kind == SCAN_LONGHORN ? back.faded : vec_fma(back.wrote, x->u, back.faded);
    if (kind == SCAN_LONGHORN) {
        float *dsum = g->x.dsum + i * VEC_LANES;
        ds = vec_mul(ds, x->s);
        vec_store(dsum, vec_fnma(ds, x->s, vec_load(dsum)));
        ds = vec_mul(ds, vec_mul(x->s, vec_load(g->x.rise + at)));
    }
    vec_store(g->x.du + at, vec_fma(back.wrote, x->s, vec_mul(skip, x->dy)));
    vec_store(g->x.dstep + at, ds);
}

/* `tokens` tokens of vector v, the last of which is token `last` of the chunk that begins at `from`; returns dskip with
 * what they add to it. */
INLINE Vec scan_reverse(const ScanKind kind, const int tokens, const ScanGroup *g, int64_t v, int64_t from,
                        int64_t last, Vec skip, Vec dskip) {
    ScanAt x[SCAN_TOKENS];
    ScanBack back[SCAN_TOKENS];
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        x[i] = scan_at(g, v, from, last - i);
        back[i] = (ScanBack){vec_zero(), vec_zero()};
    }
    for (int64_t n = 0; n < g->shape->states; n++) scan_back_number(kind, tokens, g, v, last, n, x, back);
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        scan_back_token(kind, g, v, last - i, &x[i], back[i], skip);
        dskip = vec_fma(x[i].dy, x[i].u, dskip);
    }
    return dskip;
}

INLINE void scan_reverse_chunk(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t from,
                               int64_t count) {
    const int64_t lanes = scan_lanes(g->shape, g->first, v);
    const Vec skip = vec_load_n(g->in->skip + g->first + v * VEC_LANES, lanes);
    float *to = g->dskip + v * VEC_LANES;
    Vec dskip = vec_load_n(to, lanes);
    int64_t last = count - 1;
    for (; last + 1 >= SCAN_TOKENS; last -= SCAN_TOKENS)
        dskip = scan_reverse(kind, SCAN_TOKENS, g, v, from, last, skip, dskip);
    for (; last >= 0; last--) dskip = scan_reverse(kind, 1, g, v, from, last, skip, dskip);
    vec_store_n(to, dskip, lanes);
}

/* The sums of the lanes of 16 vectors. */
INLINE Vec scan_lane_sums(const float *x) {
    float turned[VEC_LANES * VEC_LANES];
    Vec part[4];
    vec_transpose(x, VEC_LANES, turned, VEC_LANES);
    for (int64_t j = 0; j < 4; j++) {
        part[j] = vec_add(vec_load(turned + 4 * j * VEC_LANES), vec_load(turned + (4 * j + 1) * VEC_LANES));
        part[j] = vec_add(part[j], vec_add(vec_load(turned + (4 * j + 2) * VEC_LANES),
                                           vec_load(turned + (4 * j + 3) * VEC_LANES)));
    }
    return vec_add(vec_add(part[0], part[1]), vec_add(part[2], part[3]));
}

/* The group's share of the gradients of b and c at the tokens of a chunk. */
static void scan_group_rows(const ScanGroup *g, int64_t from, int64_t count, float *rows) {
    const ScanShape *s = g->shape;
    for (int64_t i = 0; i < count; i++) {
        const float *b = g->in->b + (g->batch * s->tokens + from + i) * s->stride;
        float *to = rows + (from + i) * 2 * s->states;
        const Vec sum =
            vec_set1(s->kind == SCAN_LONGHORN ? 2.0f * vec_sum(vec_load(g->x.dsum + i * VEC_LANES)) : 0.0f);
        for (int64_t n = 0; n < s->states; n += VEC_LANES) {
            const int64_t lanes = vec_lanes(n, s->states), at = i * scan_padded(s) + n * VEC_LANES;
            const Vec key = scan_lane_sums(g->x.db + at);
            vec_store_n(to + n, s->kind == SCAN_LONGHORN ? vec_fma(sum, vec_load_n(b + n, lanes), key) : key,
                        lanes);
            vec_store_n(to + s->states + n, scan_lane_sums(g->x.dc + at), lanes);
        }
    }
}

INLINE void scan_group_run(const ScanKind kind, const ScanGroup *g, int64_t vectors, float *rows) {
    const ScanShape *s = g->shape;
    for (int64_t chunk = scan_chunks(s) - 1; chunk >= 0; chunk--) {
        const int64_t from = chunk * SCAN_CHUNK, left = s->tokens - from,
                      count = left < SCAN_CHUNK ? left : SCAN_CHUNK;
        const size_t bytes = (size_t)(count * scan_padded(s)) * sizeof(float);
        memset(g->x.db, 0, bytes);
        memset(g->x.dc, 0, bytes);
        memset(g->x.dsum, 0, (size_t)(count * VEC_LANES) * sizeof(float));
        scan_rows_take(kind, g, vectors, from, count);
        for (int64_t v = 0; v < vectors; v++) {
            scan_again(kind, g, v, from, count);
            scan_reverse_chunk(kind, g, v, from, count);
        }
        scan_rows_give(g, vectors, from, count);
        scan_group_rows(g, from, count, rows);
    }
}

static void scan_group(const ScanGroup *g, const ScanSums *sums, float *dstate) {
    const ScanShape *s = g->shape;
    const int64_t floats = s->states * s->channels, state = s->states * VEC_LANES,
                  left = s->channels - g->first;
    const int64_t most = (left + VEC_LANES - 1) / VEC_LANES, vectors = most < SCAN_GROUP ? most : SCAN_GROUP;
    float *rows = sums->rows + (g->batch * scan_groups(s) + g->group) * s->tokens * 2 * s->states,
          *da = sums->channels + g->batch * (floats + s->channels) + g->first;
    float *dh = dstate + g->batch * floats + g->first;
    for (int64_t v = 0; v < vectors; v++) {
        const int64_t lanes = scan_lanes(s, g->first, v), at = v * VEC_LANES;
        if (s->kind == SCAN_SELECTIVE)
            scan_take_rates(s->states, g->in->a + g->first + at, s->channels, lanes, g->x.a + v * state);
        scan_take(s->states, dh + at, s->channels, lanes, g->x.dh + v * state);
        memset(g->x.da + v * state, 0, (size_t)state * sizeof(float));
        vec_store_n(g->dskip + at, vec_zero(), lanes);
    }
    if (s->kind == SCAN_LONGHORN)
        scan_group_run(SCAN_LONGHORN, g, vectors, rows);
    else
        scan_group_run(SCAN_SELECTIVE, g, vectors, rows);
    for (int64_t v = 0; v < vectors; v++) {
        const int64_t lanes = scan_lanes(s, g->first, v), at = v * VEC_LANES;
        scan_give(s->states, g->x.dh + v * state, lanes, dh + at, s->channels);
        scan_give(s->states, g->x.da + v * state, lanes, da + at, s->channels);
    }
}

/* dst += src, n floats. */
INLINE void scan_add(int64_t n, const float *src, float *dst) {
    FOR_VECTORS (j, n) {
        const int64_t lanes = vec_lanes(j, n);
        add_lanes(dst + j, vec_load_n(src + j, lanes), lanes);
    }
}

/* Row `row` of the gradients of b and c: the groups in turn. */
static void scan_add_row(const ScanShape *s, const ScanSums *sums, int64_t row, const ScanGradient *d) {
    const int64_t batch = row / s->tokens, t = row % s->tokens;
    for (int64_t g = 0; g < scan_groups(s); g++) {
        const float *from = sums->rows + ((batch * scan_groups(s) + g) * s->tokens + t) * 2 * s->states;
        scan_add(s->states, from, d->b + row * s->stride);
        scan_add(s->states, from + s->states, d->c + row * s->stride);
    }
}
