#pragma once
/* A chunk's states again from its snapshot, then its tokens in reverse. */
#include "kernel/scan/step.c"

/* Scratch of one thread: for every vector of the group a, the gradients of the state and of a; of one vector the states
 * before and after every token of a chunk, and (Mamba) the decays; sums over vectors of the gradients of b, c and (Longhorn)
 * the squares' sum, one vector of lanes each; b and c of the chunk. What numbers of the state have for every token of a chunk
 * lies token by token: a loop over the numbers then needs one pointer. */
typedef struct {
    float *a, *dh, *da, *h, *kept, *db, *dc, *dsum, *b, *c;
    float *u, *s, *rise, *dy, *du,
        *dstep; /* of a chunk, vector by vector: rows that lie a page apart share cache sets */
} ScanScratch;

/* Floats of one number of the state at the tokens of a chunk; of states before and after them. */
enum { SCAN_NUMBER = SCAN_CHUNK * VEC_LANES, SCAN_STATE = SCAN_NUMBER + VEC_LANES };

static int64_t scan_scratch(const ScanShape *s, float *base, ScanScratch *x) {
    const int64_t state = s->states * VEC_LANES, numbers = padded(s->states);
    int64_t used = 0;
    x->a = rows_part(base, &used, SCAN_GROUP * state);
    x->dh = rows_part(base, &used, SCAN_GROUP * state);
    x->da = rows_part(base, &used, SCAN_GROUP * state);
    x->h = rows_part(base, &used, numbers * SCAN_STATE);
    x->kept = rows_part(base, &used, numbers * SCAN_NUMBER);
    x->db = rows_part(base, &used, numbers * SCAN_NUMBER);
    x->dc = rows_part(base, &used, numbers * SCAN_NUMBER);
    x->dsum = rows_part(base, &used, SCAN_NUMBER);
    x->b = rows_part(base, &used, numbers * SCAN_CHUNK);
    x->c = rows_part(base, &used, numbers * SCAN_CHUNK);
    float **const rows[] = {&x->u, &x->s, &x->rise, &x->dy, &x->du, &x->dstep};
    for (int i = 0; i < 6; i++) *rows[i] = rows_part(base, &used, SCAN_GROUP * SCAN_NUMBER);
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

/* A chunk's b and c into the scratch, for every number of the state all tokens. */
static void scan_keys_take(const ScanGroup *g, int64_t from, int64_t count) {
    const ScanShape *s = g->shape;
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = (g->batch * s->tokens + from + i) * s->stride;
        for (int64_t n = 0; n < s->states; n++) {
            g->x.b[n * SCAN_CHUNK + i] = g->in->b[row + n];
            g->x.c[n * SCAN_CHUNK + i] = g->in->c[row + n];
        }
    }
}

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

/* A token of a vector: what is made of u and step. */
typedef struct {
    Vec u, s, written, dy;
} ScanAt;

INLINE ScanAt scan_at(const ScanScratch *x, int64_t v, int64_t i) {
    const int64_t at = scan_place(v, i);
    const Vec u = vec_load(x->u + at), s = vec_load(x->s + at);
    return (ScanAt){u, s, vec_mul(s, u), vec_load(x->dy + at)};
}

/* The states of `count` tokens from `from` on, of vector v. */
INLINE void scan_again(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t from, int64_t count) {
    const ScanShape *s = g->shape;
    const ScanScratch x = g->x;
    const int64_t lanes = scan_lanes(s, g->first, v);
    const float *snapshot = g->snapshots +
                            (g->batch * scan_chunks(s) + from / SCAN_CHUNK) * s->states * s->channels +
                            g->first + v * VEC_LANES;
    for (int64_t n = 0; n < s->states; n++)
        vec_store(x.h + n * SCAN_STATE, vec_load_n(snapshot + n * s->channels, lanes));
    for (int64_t n = 0; n < s->states; n++) {
        const float *a = x.a + (v * s->states + n) * VEC_LANES, *b = x.b + n * SCAN_CHUNK;
        float *h = x.h + n * SCAN_STATE, *kept = x.kept + n * SCAN_NUMBER;
        Vec state = vec_load(h);
#pragma GCC unroll 8
        for (int64_t i = 0; i < count; i++) {
            const ScanAt at = scan_at(&x, v, i);
            Vec keeps;
            state = scan_next(kind, state, a, b[i], at.s, at.u, at.written, &keeps);
            vec_store(h + (i + 1) * VEC_LANES, state);
            if (kind == SCAN_SELECTIVE) vec_store(kept + i * VEC_LANES, keeps);
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
INLINE void scan_back_number(const ScanKind kind, const int tokens, const ScanScratch *s, int64_t number,
                             int64_t last, int64_t n, const ScanAt *x, ScanBack *back) {
    float *to_h = s->dh + number, *to_a = s->da + number;
    float *to_b = s->db + n * SCAN_NUMBER + last * VEC_LANES,
          *to_c = s->dc + n * SCAN_NUMBER + last * VEC_LANES;
    const float *h = s->h + n * SCAN_STATE + last * VEC_LANES,
                *decay = s->kept + n * SCAN_NUMBER + last * VEC_LANES, *b = s->b + n * SCAN_CHUNK + last,
                *c = s->c + n * SCAN_CHUNK + last;
    const Vec a = kind == SCAN_LONGHORN ? vec_zero() : vec_load(s->a + number);
    Vec dh = vec_load(to_h), da = vec_load(to_a), after = vec_load(h + VEC_LANES);
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        float *db = to_b - i * VEC_LANES, *dc = to_c - i * VEC_LANES;
        const Vec before = vec_load(h - i * VEC_LANES), key = vec_set1(b[-i]);
        const Vec kept =
            kind == SCAN_LONGHORN ? vec_fnma(key, before, x[i].u) : vec_load(decay - i * VEC_LANES);
        const Vec d = vec_fma(vec_set1(c[-i]), x[i].dy, dh);
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
    vec_store(to_h, dh);
    if (kind == SCAN_SELECTIVE) vec_store(to_a, da);
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

/* `tokens` tokens of vector v, the last of which is token `last` of the chunk; returns dskip with what they add to it. */
INLINE Vec scan_reverse(const ScanKind kind, const int tokens, const ScanGroup *g, int64_t v, int64_t last,
                        Vec skip, Vec dskip) {
    const ScanScratch s = g->x;
    const int64_t states = g->shape->states;
    ScanAt x[SCAN_TOKENS];
    ScanBack back[SCAN_TOKENS];
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        x[i] = scan_at(&s, v, last - i);
        back[i] = (ScanBack){vec_zero(), vec_zero()};
    }
    for (int64_t n = 0; n < states; n++)
        scan_back_number(kind, tokens, &s, (v * states + n) * VEC_LANES, last, n, x, back);
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        scan_back_token(kind, g, v, last - i, &x[i], back[i], skip);
        dskip = vec_fma(x[i].dy, x[i].u, dskip);
    }
    return dskip;
}

INLINE void scan_reverse_chunk(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t count) {
    const int64_t lanes = scan_lanes(g->shape, g->first, v);
    const Vec skip = vec_load_n(g->in->skip + g->first + v * VEC_LANES, lanes);
    float *to = g->dskip + v * VEC_LANES;
    Vec dskip = vec_load_n(to, lanes);
    int64_t last = count - 1;
    for (; last + 1 >= SCAN_TOKENS; last -= SCAN_TOKENS)
        dskip = scan_reverse(kind, SCAN_TOKENS, g, v, last, skip, dskip);
    for (; last >= 0; last--) dskip = scan_reverse(kind, 1, g, v, last, skip, dskip);
    vec_store_n(to, dskip, lanes);
}

/* The lanes of two numbers of the state at all tokens of a chunk, added: rows of tokens, `states` apart. */
INLINE void scan_add_lanes(int64_t count, int64_t two, const float *from, float *to, int64_t states) {
    float sums[2 * SCAN_CHUNK];
    vec_store(sums, vec_sums(from));
    for (int64_t i = 0; i < count; i++)
        for (int64_t n = 0; n < two; n++) to[i * states + n] = sums[n * SCAN_CHUNK + i];
}

/* The group's share of the gradients of b and c at the tokens of a chunk. */
static void scan_group_rows(const ScanGroup *g, int64_t from, int64_t count, float *rows) {
    const ScanShape *s = g->shape;
    const int64_t both = 2 * s->states;
    float *to = rows + from * both;
    for (int64_t n = 0; n < s->states; n += 2) {
        const int64_t two = n + 1 < s->states ? 2 : 1;
        scan_add_lanes(count, two, g->x.db + n * SCAN_NUMBER, to + n, both);
        scan_add_lanes(count, two, g->x.dc + n * SCAN_NUMBER, to + s->states + n, both);
    }
    for (int64_t i = 0; i < count && s->kind == SCAN_LONGHORN; i++) {
        const Vec sum = vec_set1(2.0f * vec_sum(vec_load(g->x.dsum + i * VEC_LANES)));
        const float *b = g->in->b + (g->batch * s->tokens + from + i) * s->stride;
        FOR_VECTORS (n, s->states) {
            const int64_t lanes = vec_lanes(n, s->states);
            float *row = to + i * both + n;
            vec_store_n(row, vec_fma(sum, vec_load_n(b + n, lanes), vec_load_n(row, lanes)), lanes);
        }
    }
}

INLINE void scan_group_run(const ScanKind kind, const ScanGroup *g, int64_t vectors, float *rows) {
    const ScanShape *s = g->shape;
    for (int64_t chunk = scan_chunks(s) - 1; chunk >= 0; chunk--) {
        const int64_t from = chunk * SCAN_CHUNK, left = s->tokens - from,
                      count = left < SCAN_CHUNK ? left : SCAN_CHUNK;
        const size_t bytes = (size_t)(padded(s->states) * SCAN_NUMBER) * sizeof(float);
        memset(g->x.db, 0, bytes);
        memset(g->x.dc, 0, bytes);
        memset(g->x.dsum, 0, SCAN_NUMBER * sizeof(float));
        scan_keys_take(g, from, count);
        scan_rows_take(kind, g, vectors, from, count);
        for (int64_t v = 0; v < vectors; v++) {
            if (count == SCAN_CHUNK)
                scan_again(kind, g, v, from, SCAN_CHUNK);
            else
                scan_again(kind, g, v, from, count);
            scan_reverse_chunk(kind, g, v, count);
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
