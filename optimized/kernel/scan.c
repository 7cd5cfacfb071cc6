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

/* A row's keys in Longhorn: their squares, and 1 + the squares' sum. */
typedef struct {
    float square[SCAN_STATES], one_and_sum;
} ScanKeys;

INLINE void scan_keys(int64_t states, const float *key, ScanKeys *k) {
    float sum = 0.0f;
    for (int64_t n = 0; n < states; n++) {
        k->square[n] = key[n] * key[n];
        sum += k->square[n];
    }
    k->one_and_sum = 1.0f + sum;
}

/* exp(-step) as Longhorn takes it; s = 1 / (1 + sum + that). */
INLINE Vec scan_rise(Vec step) { return vec_exp(vec_min(vec_set1(SCAN_STEEP), vec_sub(vec_zero(), step))); }
INLINE Vec scan_width(const ScanKeys *k, Vec rise) {
    return vec_div(vec_set1(1.0f), vec_add(vec_set1(k->one_and_sum), rise));
}

INLINE Vec scan_decay(const ScanKind kind, const ScanKeys *k, const float *a, int64_t n, Vec s) {
    if (kind == SCAN_LONGHORN) return vec_fnma(s, vec_set1(k->square[n]), vec_set1(1.0f));
    return vec_exp(vec_mul(s, vec_load(a + n * VEC_LANES)));
}

/* Between 16 columns of an array of rows `ld` apart and rows of their own, 0 behind `lanes`. */
INLINE void scan_take(int64_t rows, const float *from, int64_t ld, int64_t lanes, float *to) {
    for (int64_t n = 0; n < rows; n++) vec_store(to + n * VEC_LANES, vec_load_n(from + n * ld, lanes));
}
INLINE void scan_give(int64_t rows, const float *from, int64_t lanes, float *to, int64_t ld) {
    for (int64_t n = 0; n < rows; n++) vec_store_n(to + n * ld, vec_load(from + n * VEC_LANES), lanes);
}

/* ---- forward --------------------------------------------------------------------------------------------------- */

/* A token of 16 channels: h in place; what c reads. */
INLINE Vec scan_token(const ScanKind kind, int64_t states, const ScanKeys *k, const float *b, const float *c,
                      const float *a, Vec s, Vec u, float *h) {
    const Vec written = vec_mul(s, u);
    Vec read = vec_zero();
    for (int64_t n = 0; n < states; n++) {
        const Vec decay = scan_decay(kind, k, a, n, s);
        const Vec next = vec_fma(decay, vec_load(h + n * VEC_LANES), vec_mul(written, vec_set1(b[n])));
        vec_store(h + n * VEC_LANES, next);
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
        if (s->kind == SCAN_SELECTIVE) scan_take(s->states, x->in->a + at, s->channels, lanes, x->a + to);
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
    ScanKeys keys;
    if (kind == SCAN_LONGHORN) scan_keys(s->states, b, &keys);
    for (int64_t v = 0; v < x->vectors; v++) {
        const int64_t lanes = scan_lanes(s, x->first, v), from = at + v * VEC_LANES,
                      own = v * s->states * VEC_LANES;
        const Vec u = vec_load_n(x->in->u + from, lanes), step = vec_load_n(x->in->step + from, lanes);
        const Vec width = kind == SCAN_LONGHORN ? scan_width(&keys, scan_rise(step)) : step;
        const Vec read = scan_token(kind, s->states, &keys, b, c, x->a + own, width, u, x->h + own);
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
 * before and after every token of a chunk, and its decays; sums over vectors of the gradients of b, c and (Longhorn) the
 * squares' sum, one vector of lanes each. */
typedef struct {
    float *a, *dh, *da, *h, *decay, *db, *dc, *dsum;
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
    x->decay = rows_part(base, &used, SCAN_CHUNK * state);
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

/* The states of `count` tokens from `from` on, of vector v: row i of h is before token from + i. */
INLINE void scan_again(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t from, int64_t count) {
    const ScanShape *s = g->shape;
    const int64_t state = s->states * VEC_LANES, lanes = scan_lanes(s, g->first, v),
                  at = g->first + v * VEC_LANES;
    const float *a = g->x.a + v * state;
    ScanKeys keys;
    scan_take(s->states,
              g->snapshots + (g->batch * scan_chunks(s) + from / SCAN_CHUNK) * s->states * s->channels + at,
              s->channels, lanes, g->x.h);
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = g->batch * s->tokens + from + i;
        const float *b = g->in->b + row * s->stride;
        const Vec u = vec_load_n(g->in->u + row * s->channels + at, lanes),
                  step = vec_load_n(g->in->step + row * s->channels + at, lanes);
        if (kind == SCAN_LONGHORN) scan_keys(s->states, b, &keys);
        const Vec width = kind == SCAN_LONGHORN ? scan_width(&keys, scan_rise(step)) : step,
                  written = vec_mul(width, u);
        const float *before = g->x.h + i * state;
        for (int64_t n = 0; n < s->states; n++) {
            const Vec decay = scan_decay(kind, &keys, a, n, width);
            vec_store(g->x.decay + i * state + n * VEC_LANES, decay);
            vec_store(g->x.h + (i + 1) * state + n * VEC_LANES,
                      vec_fma(decay, vec_load(before + n * VEC_LANES), vec_mul(written, vec_set1(b[n]))));
        }
    }
}

/* Token from + i of vector v in reverse. wrote: the gradient of s u; faded: that of s through the decays. */
typedef struct {
    Vec wrote, faded;
} ScanBack;

INLINE ScanBack scan_back(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t i, const float *b,
                          const float *c, Vec s, Vec u, Vec dy) {
    const int64_t states = g->shape->states, state = states * VEC_LANES;
    const float *a = g->x.a + v * state, *h = g->x.h + i * state, *p = g->x.decay + i * state;
    float *dh = g->x.dh + v * state, *da = g->x.da + v * state;
    float *db = g->x.db + i * scan_padded(g->shape), *dc = g->x.dc + i * scan_padded(g->shape);
    const Vec written = vec_mul(s, u), twice = vec_add(s, s);
    ScanBack back = {vec_zero(), vec_zero()};
    for (int64_t n = 0; n < states; n++) {
        const int64_t at = n * VEC_LANES;
        const Vec before = vec_load(h + at), bn = vec_set1(b[n]);
        const Vec d = vec_fma(vec_set1(c[n]), dy, vec_load(dh + at));
        const Vec kept = vec_mul(d, vec_load(p + at));
        Vec key = vec_fma(d, written, vec_load(db + at));
        vec_store(dc + at, vec_fma(dy, vec_load(h + state + at), vec_load(dc + at)));
        back.wrote = vec_fma(d, bn, back.wrote);
        if (kind == SCAN_LONGHORN) {
            const Vec decayed = vec_mul(vec_mul(d, before), bn);
            back.faded = vec_fnma(decayed, bn, back.faded);
            key = vec_fnma(decayed, twice, key);
        } else {
            const Vec exponent = vec_mul(kept, before);
            back.faded = vec_fma(exponent, vec_load(a + at), back.faded);
            vec_store(da + at, vec_fma(exponent, s, vec_load(da + at)));
        }
        vec_store(db + at, key);
        vec_store(dh + at, kept);
    }
    return back;
}

INLINE void add_lanes(float *to, Vec x, int64_t lanes) {
    vec_store_n(to, vec_add(vec_load_n(to, lanes), x), lanes);
}

INLINE void scan_reverse(const ScanKind kind, const ScanGroup *g, int64_t v, int64_t from, int64_t count) {
    const ScanShape *shape = g->shape;
    const int64_t lanes = scan_lanes(shape, g->first, v), column = g->first + v * VEC_LANES;
    const Vec skip = vec_load_n(g->in->skip + column, lanes);
    Vec dskip = vec_load_n(g->dskip + v * VEC_LANES, lanes);
    ScanKeys keys;
    for (int64_t i = count - 1; i >= 0; i--) {
        const int64_t row = g->batch * shape->tokens + from + i, at = row * shape->channels + column;
        const float *b = g->in->b + row * shape->stride, *c = g->in->c + row * shape->stride;
        const Vec u = vec_load_n(g->in->u + at, lanes), step = vec_load_n(g->in->step + at, lanes),
                  dy = vec_load_n(g->dy + at, lanes);
        if (kind == SCAN_LONGHORN) scan_keys(shape->states, b, &keys);
        const Vec rise = kind == SCAN_LONGHORN ? scan_rise(step) : vec_zero(),
                  s = kind == SCAN_LONGHORN ? scan_width(&keys, rise) : step;
        const ScanBack back = scan_back(kind, g, v, i, b, c, s, u, dy);
        Vec ds = vec_fma(back.wrote, u, back.faded);
        if (kind == SCAN_LONGHORN) {
            const Vec slope = vec_mul(ds, vec_mul(s, s));
            float *sum = g->x.dsum + i * VEC_LANES;
            vec_store(sum, vec_sub(vec_load(sum), slope));
            ds = vec_mul(vec_mul(ds, s), vec_mul(s, rise));
        }
        add_lanes(g->d->step + at, ds, lanes);
        add_lanes(g->d->u + at, vec_fma(back.wrote, s, vec_mul(skip, dy)), lanes);
        dskip = vec_fma(dy, u, dskip);
    }
    vec_store_n(g->dskip + v * VEC_LANES, dskip, lanes);
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
            scan_reverse(kind, g, v, from, count);
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
            scan_take(s->states, g->in->a + g->first + at, s->channels, lanes, g->x.a + v * state);
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
