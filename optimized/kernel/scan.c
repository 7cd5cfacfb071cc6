#include "kernel/scan.h"
#include "base/parallel.h"
#include "vec/rows.h"

/* Channels of a piece of work, in vectors: forward, one row of which is read at once; backward, over which the gradients
 * of b and c are summed before their lanes are. */
enum { SCAN_TILE = 4, SCAN_GROUP = 8 };

/* exp(-step) is finite, so that a step of 0 has a gradient of 0. */
#define SCAN_STEEP 80.0f

static int64_t scan_chunks(const ScanShape *s) { return (s->tokens + SCAN_CHUNK - 1) / SCAN_CHUNK; }
static int64_t scan_groups(const ScanShape *s) {
    return (s->channels + SCAN_GROUP * VEC_LANES - 1) / (SCAN_GROUP * VEC_LANES);
}
static int64_t scan_snapshot_floats(const ScanShape *s) {
    return s->batch * scan_chunks(s) * s->states * s->channels;
}

/* 1 + the sum of the squares of Longhorn's keys. */
INLINE float scan_keys(int64_t states, const float *key) { return 1.0f + flat_dot(states, key, key); }

/* exp(-step) as Longhorn takes it; s = 1 / (1 + sum + that). */
INLINE Vec scan_rise(Vec step) { return vec_exp(vec_min(vec_set1(SCAN_STEEP), vec_sub(vec_zero(), step))); }
INLINE Vec scan_width(float keys, Vec rise) { return vec_div(vec_set1(1.0f), vec_add(vec_set1(keys), rise)); }

/* exp(x) to 2 u and u |x| / 16, x kept within the exponents of normal numbers: a decay is at least 2^-126. As vec_exp
 * without its ends, and with ln 2 in one part: what that leaves out is less than the rounding of x, a product. */
INLINE Vec scan_exp(Vec x) {
    const Vec magic = vec_set1(12582912.0f), one = vec_set1(1.0f);
    const Vec clamped = vec_min(vec_set1(EXP_TOP), vec_max(vec_set1(EXP_BOTTOM), x));
    const Vec t = vec_fma(clamped, vec_set1(1.44269504f), magic);
    const Vec r = vec_fnma(vec_sub(t, magic), vec_set1(0.693147182f), clamped);
    Vec p = vec_set1(1.3818939e-3f);
    p = vec_fma(p, r, vec_set1(8.368704e-3f));
    p = vec_fma(p, r, vec_set1(4.166829e-2f));
    p = vec_fma(p, r, vec_set1(1.6666521e-1f));
    p = vec_fma(p, r, vec_set1(0.49999994f));
    p = vec_fma(vec_fma(p, r, one), r, one);
    return vec_scale2(p, t);
}

/* Number n of the state after a token that multiplies it by p and adds `written` b, or in Longhorn adds s b e to it, e the
 * error u - b h. *kept: p or e, for the way back. */
INLINE Vec scan_next(const ScanKind kind, Vec h, const float *a, float b, Vec s, Vec u, Vec written,
                     Vec *kept) {
    const Vec key = vec_set1(b);
    if (kind == SCAN_LONGHORN) {
        *kept = vec_fnma(key, h, u);
        return vec_fma(vec_mul(s, key), *kept, h);
    }
    *kept = scan_exp(vec_mul(s, vec_load(a)));
    return vec_fma(*kept, h, vec_mul(written, key));
}

/* Between 16 columns of an array of rows `ld` apart and rows of their own, 0 behind `lanes`. */
INLINE void scan_take(int64_t rows, const float *from, int64_t ld, int64_t lanes, float *to) {
    for (int64_t n = 0; n < rows; n++) vec_store(to + n * VEC_LANES, vec_load_n(from + n * ld, lanes));
}
/* The same of rates. A NaN becomes that of the arithmetic, whose low bits are 0: scan_exp then keeps it. */
INLINE void scan_take_rates(int64_t rows, const float *from, int64_t ld, int64_t lanes, float *to) {
    for (int64_t n = 0; n < rows; n++) {
        const Vec a = vec_load_n(from + n * ld, lanes);
        vec_store(to + n * VEC_LANES, vec_less(a, vec_set1(INFINITY), a, vec_set1(NAN)));
    }
}
INLINE void scan_give(int64_t rows, const float *from, int64_t lanes, float *to, int64_t ld) {
    for (int64_t n = 0; n < rows; n++) vec_store_n(to + n * ld, vec_load(from + n * VEC_LANES), lanes);
}

/* ---- forward --------------------------------------------------------------------------------------------------- */

/* A token of 16 channels: h in place; what c reads. */
INLINE Vec scan_token(const ScanKind kind, int64_t states, const float *b, const float *c, const float *a,
                      Vec s, Vec u, float *h) {
    const Vec written = vec_mul(s, u);
    Vec read = vec_zero(), kept;
    for (int64_t n = 0; n < states; n++) {
        float *at = h + n * VEC_LANES;
        const Vec next = scan_next(kind, vec_load(at), a + n * VEC_LANES, b[n], s, u, written, &kept);
        vec_store(at, next);
        read = vec_fma(vec_set1(c[n]), next, read);
    }
    return read;
}

/* Sequence `batch`, up to SCAN_TILE vectors of channels from `first` on; a and h hold them one after the other. */
typedef struct {
    const ScanShape *shape;
    const ScanInput *in;
    int64_t batch, first, vectors;
    float *a, *h;
} ScanTile;

INLINE int64_t scan_lanes(const ScanShape *s, int64_t first, int64_t v) {
    return vec_lanes(first + v * VEC_LANES, s->channels);
}

static void scan_tile_take(const ScanTile *x, const float *state) {
    const ScanShape *s = x->shape;
    for (int64_t v = 0; v < x->vectors; v++) {
        const int64_t lanes = scan_lanes(s, x->first, v), at = x->first + v * VEC_LANES,
                      to = v * s->states * VEC_LANES;
        if (s->kind == SCAN_SELECTIVE)
            scan_take_rates(s->states, x->in->a + at, s->channels, lanes, x->a + to);
        scan_take(s->states, state + at, s->channels, lanes, x->h + to);
    }
}

static void scan_tile_give(const ScanTile *x, float *state) {
    const ScanShape *s = x->shape;
    for (int64_t v = 0; v < x->vectors; v++)
        scan_give(s->states, x->h + v * s->states * VEC_LANES, scan_lanes(s, x->first, v),
                  state + x->first + v * VEC_LANES, s->channels);
}

INLINE void scan_tile_token(const ScanKind kind, const ScanTile *x, int64_t t, float *y) {
    const ScanShape *s = x->shape;
    const int64_t row = x->batch * s->tokens + t, at = row * s->channels + x->first;
    const float *b = x->in->b + row * s->stride, *c = x->in->c + row * s->stride;
    const float keys = kind == SCAN_LONGHORN ? scan_keys(s->states, b) : 0.0f;
    for (int64_t v = 0; v < x->vectors; v++) {
        const int64_t lanes = scan_lanes(s, x->first, v), from = at + v * VEC_LANES,
                      own = v * s->states * VEC_LANES;
        const Vec u = vec_load_n(x->in->u + from, lanes), step = vec_load_n(x->in->step + from, lanes);
        const Vec width = kind == SCAN_LONGHORN ? scan_width(keys, scan_rise(step)) : step;
        const Vec read = scan_token(kind, s->states, b, c, x->a + own, width, u, x->h + own);
        const Vec skip = vec_load_n(x->in->skip + x->first + v * VEC_LANES, lanes);
        vec_store_n(y + from, vec_fma(skip, u, read), lanes);
    }
}

INLINE void scan_tile_run(const ScanKind kind, const ScanTile *x, float *state, float *y, float *snapshots) {
    const ScanShape *s = x->shape;
    const int64_t floats = s->states * s->channels;
    state += x->batch * floats;
    if (snapshots) snapshots += x->batch * scan_chunks(s) * floats;
    scan_tile_take(x, state);
    for (int64_t t = 0; t < s->tokens; t++) {
        if (snapshots && t % SCAN_CHUNK == 0) scan_tile_give(x, snapshots + t / SCAN_CHUNK * floats);
        scan_tile_token(kind, x, t, y);
    }
    scan_tile_give(x, state);
}

static int64_t scan_tile_floats(const ScanShape *s) { return 2 * SCAN_TILE * s->states * VEC_LANES; }

static void scan_forward(const ScanShape *s, const ScanInput *in, float *state, float *y, float *snapshots,
                         float *workspace) {
    const int64_t wide = SCAN_TILE * VEC_LANES, tiles = (s->channels + wide - 1) / wide;
#pragma omp parallel for schedule(static) if (parallel_threads() > 1)
    for (int64_t i = 0; i < s->batch * tiles; i++) {
        const int64_t first = i % tiles * wide,
                      left = s->channels - first < wide ? s->channels - first : wide;
        float *own = workspace + parallel_index() * scan_tile_floats(s);
        const ScanTile tile = {
            s, in, i / tiles, first, (left + VEC_LANES - 1) / VEC_LANES, own, own + scan_tile_floats(s) / 2};
        if (s->kind == SCAN_LONGHORN)
            scan_tile_run(SCAN_LONGHORN, &tile, state, y, snapshots);
        else
            scan_tile_run(SCAN_SELECTIVE, &tile, state, y, snapshots);
    }
}

/* ---- backward -------------------------------------------------------------------------------------------------- */

/* Scratch of one thread: for every vector of the group a, the gradients of the state and of a; of one vector the states
 * before and after every token of a chunk, and what scan_next keeps; sums over vectors of the gradients of b, c and (Longhorn) the
 * squares' sum, one vector of lanes each. */
typedef struct {
    float *a, *dh, *da, *h, *kept, *db, *dc, *dsum;
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

/* A token of a vector: its place in u, step and dy, its rows of b and c, and what is made of them. */
typedef struct {
    const float *b, *c;
    int64_t at;
    Vec u, s, rise, written;
} ScanAt;

INLINE ScanAt scan_at(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t t) {
    const ScanShape *s = g->shape;
    const int64_t row = g->batch * s->tokens + t, column = g->first + v * VEC_LANES,
                  lanes = vec_lanes(column, s->channels);
    ScanAt x = {g->in->b + row * s->stride, g->in->c + row * s->stride, row * s->channels + column};
    x.u = vec_load_n(g->in->u + x.at, lanes), x.s = vec_load_n(g->in->step + x.at, lanes);
    x.rise = kind == SCAN_LONGHORN ? scan_rise(x.s) : vec_zero();
    if (kind == SCAN_LONGHORN) x.s = scan_width(scan_keys(s->states, x.b), x.rise);
    x.written = vec_mul(x.s, x.u);
    return x;
}

/* The states of `count` tokens from `from` on, of vector v: row i of h is before token from + i. */
INLINE void scan_again(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t from, int64_t count) {
    const ScanShape *s = g->shape;
    const int64_t state = s->states * VEC_LANES, at = g->first + v * VEC_LANES;
    const float *snapshot =
        g->snapshots + (g->batch * scan_chunks(s) + from / SCAN_CHUNK) * s->states * s->channels + at;
    scan_take(s->states, snapshot, s->channels, scan_lanes(s, g->first, v), g->x.h);
    for (int64_t i = 0; i < count; i++) {
        const ScanAt x = scan_at(kind, g, v, from + i);
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
                             int64_t last, int64_t n, const ScanAt *x, const Vec *dy, ScanBack *back) {
    const int64_t state = g->shape->states * VEC_LANES, at = n * VEC_LANES, row = scan_padded(g->shape);
    const Vec a = kind == SCAN_LONGHORN ? vec_zero() : vec_load(g->x.a + v * state + at);
    Vec dh = vec_load(g->x.dh + v * state + at), da = vec_load(g->x.da + v * state + at),
        after = vec_load(g->x.h + (last + 1) * state + at);
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        float *db = g->x.db + (last - i) * row + at, *dc = g->x.dc + (last - i) * row + at;
        const Vec before = vec_load(g->x.h + (last - i) * state + at),
                  kept = vec_load(g->x.kept + (last - i) * state + at), key = vec_set1(x[i].b[n]);
        const Vec d = vec_fma(vec_set1(x[i].c[n]), dy[i], dh);
        vec_store(dc, vec_fma(dy[i], after, vec_load(dc)));
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

INLINE void add_lanes(float *to, Vec x, int64_t lanes) {
    vec_store_n(to, vec_add(vec_load_n(to, lanes), x), lanes);
}

/* The gradients of a token's u and step. */
INLINE void scan_back_token(const ScanKind kind, const ScanGroup *g, const ScanAt *x, ScanBack back,
                            Vec skipped, float *dsum, int64_t lanes) {
    Vec ds = kind == SCAN_LONGHORN ? back.faded : vec_fma(back.wrote, x->u, back.faded);
    add_lanes(g->d->u + x->at, vec_fma(back.wrote, x->s, skipped), lanes);
    if (kind == SCAN_LONGHORN) {
        ds = vec_mul(ds, x->s);
        vec_store(dsum, vec_fnma(ds, x->s, vec_load(dsum)));
        ds = vec_mul(ds, vec_mul(x->s, x->rise));
    }
    add_lanes(g->d->step + x->at, ds, lanes);
}

/* `tokens` tokens of vector v, the last of which is token `last` of the chunk that begins at `from`; returns what they
 * add to the gradient of skip. */
INLINE Vec scan_reverse(const ScanKind kind, const int tokens, const ScanGroup *g, int64_t v, int64_t from,
                        int64_t last, Vec dskip) {
    const int64_t column = g->first + v * VEC_LANES, lanes = vec_lanes(column, g->shape->channels);
    const Vec skip = vec_load_n(g->in->skip + column, lanes);
    ScanAt x[SCAN_TOKENS];
    ScanBack back[SCAN_TOKENS];
    Vec dy[SCAN_TOKENS];
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        x[i] = scan_at(kind, g, v, from + last - i);
        dy[i] = vec_load_n(g->dy + x[i].at, lanes);
        back[i] = (ScanBack){vec_zero(), vec_zero()};
    }
    for (int64_t n = 0; n < g->shape->states; n++) scan_back_number(kind, tokens, g, v, last, n, x, dy, back);
#pragma GCC unroll 4
    for (int i = 0; i < tokens; i++) {
        scan_back_token(kind, g, &x[i], back[i], vec_mul(skip, dy[i]), g->x.dsum + (last - i) * VEC_LANES,
                        lanes);
        dskip = vec_fma(dy[i], x[i].u, dskip);
    }
    return dskip;
}

INLINE void scan_reverse_chunk(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t from,
                               int64_t count) {
    const int64_t lanes = scan_lanes(g->shape, g->first, v);
    float *to = g->dskip + v * VEC_LANES;
    Vec dskip = vec_load_n(to, lanes);
    int64_t last = count - 1;
    for (; last + 1 >= SCAN_TOKENS; last -= SCAN_TOKENS)
        dskip = scan_reverse(kind, SCAN_TOKENS, g, v, from, last, dskip);
    for (; last >= 0; last--) dskip = scan_reverse(kind, 1, g, v, from, last, dskip);
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
        for (int64_t v = 0; v < vectors; v++) {
            scan_again(kind, g, v, from, count);
            scan_reverse_chunk(kind, g, v, from, count);
        }
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

static int64_t scan_workspace_floats(const ScanShape *s, int backward) {
    ScanScratch scratch;
    ScanSums sums;
    if (!backward) return parallel_threads() * scan_tile_floats(s);
    return scan_sums(s, 0, &sums) + parallel_threads() * scan_scratch(s, 0, &scratch);
}

static void scan_backward(const ScanShape *s, const ScanInput *in, const float *snapshots, const float *dy,
                          const ScanGradient *d, float *dstate, float *workspace) {
    ScanSums sums;
    ScanScratch none;
    float *scratch = workspace + scan_sums(s, workspace, &sums);
    const int64_t groups = scan_groups(s), floats = s->states * s->channels, own = scan_scratch(s, 0, &none);
#pragma omp parallel if (parallel_threads() > 1)
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->batch * groups; i++) {
            ScanGroup g = {s, in, snapshots, dy, d, i / groups, i % groups};
            g.first = g.group * SCAN_GROUP * VEC_LANES;
            g.dskip = sums.channels + g.batch * (floats + s->channels) + floats + g.first;
            scan_scratch(s, scratch + parallel_index() * own, &g.x);
            scan_group(&g, &sums, dstate);
        }
#pragma omp for schedule(static)
        for (int64_t row = 0; row < s->batch * s->tokens; row++) scan_add_row(s, &sums, row, d);
    }
    for (int64_t b = 0; b < s->batch; b++) {
        const float *from = sums.channels + b * (floats + s->channels);
        if (s->kind == SCAN_SELECTIVE) scan_add(floats, from, d->a);
        scan_add(s->channels, from + floats, d->skip);
    }
}

const struct scan_kernel KERNEL(scan_kernel) = {scan_forward, scan_backward, scan_snapshot_floats,
                                                scan_workspace_floats};
