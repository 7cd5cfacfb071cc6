#include "kernel/scan/backward.c"
#include "base/parallel.h"

/* Vectors that go through the states side by side: those of two registers spill sooner. Tokens ahead whose rows, which lie too
 * far apart for the CPU to see them coming, are asked for. */
enum { SCAN_SIDE = SCAN_ROWS >= 8 ? 4 : 2, SCAN_SOON = 2 };

/* Sequence `batch`, up to SCAN_TILE vectors of channels from `first` on; a and h hold them one after the other. */
typedef struct {
    const ScanShape *shape;
    const ScanInput *in;
    int64_t batch, first, vectors;
    float *a, *h;
} ScanTile;

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

/* N vectors of a row from vector v on: h in place, y. They go side by side, for each waits for its own sums. soon: how far
 * behind them the row lies that is wanted soon. */
INLINE void scan_token(const ScanKind kind, const int N, const ScanTile *x, int64_t row, int64_t v,
                       float keys, int64_t soon, float *y) {
    const ScanShape *s = x->shape;
    const int64_t own = s->states * VEC_LANES, at = row * s->channels + x->first + v * VEC_LANES;
    const float *b = x->in->b + row * s->stride, *c = x->in->c + row * s->stride, *a = x->a + v * own;
    float *h = x->h + v * own;
    Vec u[SCAN_SIDE], step[SCAN_SIDE], written[SCAN_SIDE], read[SCAN_SIDE], kept;
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
        const int64_t lanes = scan_lanes(s, x->first, v + i), later = at + soon + i * VEC_LANES;
        __builtin_prefetch(x->in->u + later);
        __builtin_prefetch(x->in->step + later);
        __builtin_prefetch(y + later, 1);
        u[i] = vec_load_n(x->in->u + at + i * VEC_LANES, lanes);
        step[i] = vec_load_n(x->in->step + at + i * VEC_LANES, lanes);
        if (kind == SCAN_LONGHORN) step[i] = scan_width(keys, scan_rise(step[i]));
        written[i] = vec_mul(step[i], u[i]);
        read[i] = vec_zero();
    }
    for (int64_t n = 0; n < s->states; n++) {
        const Vec asks = vec_set1(c[n]);
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
            const int64_t to = i * own + n * VEC_LANES;
            const Vec next =
                scan_next(kind, vec_load(h + to), a + to, b[n], step[i], u[i], written[i], &kept);
            vec_store(h + to, next);
            read[i] = vec_fma(asks, next, read[i]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
        const int64_t lanes = scan_lanes(s, x->first, v + i);
        const Vec skip = vec_load_n(x->in->skip + x->first + (v + i) * VEC_LANES, lanes);
        vec_store_n(y + at + i * VEC_LANES, vec_fma(skip, u[i], read[i]), lanes);
    }
}

INLINE void scan_tile_token(const ScanKind kind, const ScanTile *x, int64_t t, float *y) {
    const ScanShape *s = x->shape;
    const int64_t row = x->batch * s->tokens + t;
    const float keys = kind == SCAN_LONGHORN ? scan_keys(s->states, x->in->b + row * s->stride) : 0.0f;
    const int64_t soon = t + SCAN_SOON < s->tokens ? SCAN_SOON * s->channels : 0;
    int64_t v = 0;
    for (; v + SCAN_SIDE <= x->vectors; v += SCAN_SIDE) scan_token(kind, SCAN_SIDE, x, row, v, keys, soon, y);
    for (; v < x->vectors; v++) scan_token(kind, 1, x, row, v, keys, soon, y);
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

enum { SCAN_WIDE = SCAN_TILE * VEC_LANES };
static int64_t scan_tiles(const ScanShape *s) { return (s->channels + SCAN_WIDE - 1) / SCAN_WIDE; }

static void scan_forward_part(ParallelPart part, const ScanShape *s, const ScanInput *in, float *state,
                              float *y, float *snapshots, float *workspace) {
    const int64_t tiles = scan_tiles(s);
    float *own = workspace + part.thread * scan_tile_floats(s);
    for (int64_t i = part.begin; i < part.end; i++) {
        const int64_t first = i % tiles * SCAN_WIDE,
                      left = s->channels - first < SCAN_WIDE ? s->channels - first : SCAN_WIDE;
        const ScanTile tile = {
            s, in, i / tiles, first, (left + VEC_LANES - 1) / VEC_LANES, own, own + scan_tile_floats(s) / 2};
        if (s->kind == SCAN_LONGHORN)
            scan_tile_run(SCAN_LONGHORN, &tile, state, y, snapshots);
        else
            scan_tile_run(SCAN_SELECTIVE, &tile, state, y, snapshots);
    }
}

static void scan_forward(const ScanShape *s, const ScanInput *in, float *state, float *y, float *snapshots,
                         float *workspace) {
    PARALLEL_PARTS(parallel_threads(), s->batch * scan_tiles(s), 1,
                   scan_forward_part(part, s, in, state, y, snapshots, workspace));
}

static int64_t scan_workspace_floats(const ScanShape *s, int backward) {
    ScanScratch scratch;
    ScanSums sums;
    if (!backward) return parallel_threads() * scan_tile_floats(s);
    return scan_sums(s, 0, &sums) + parallel_threads() * scan_scratch(s, 0, &scratch);
}

static void scan_backward_groups(ParallelPart part, const ScanShape *s, const ScanInput *in,
                                 const float *snapshots, const float *dy, const ScanGradient *d,
                                 const ScanSums *sums, float *dstate, float *scratch) {
    const int64_t groups = scan_groups(s), floats = s->states * s->channels;
    ScanScratch own;
    scan_scratch(s, scratch + part.thread * scan_scratch(s, 0, &own), &own);
    for (int64_t i = part.begin; i < part.end; i++) {
        ScanGroup g = {s, in, snapshots, dy, d, i / groups, i % groups, .x = own};
        g.first = g.group * SCAN_GROUP * VEC_LANES;
        g.dskip = sums->channels + g.batch * (floats + s->channels) + floats + g.first;
        scan_group(&g, sums, dstate);
    }
}

static void scan_add_rows(ParallelPart part, const ScanShape *s, const ScanSums *sums,
                          const ScanGradient *d) {
    for (int64_t row = part.begin; row < part.end; row++) scan_add_row(s, sums, row, d);
}

static void scan_backward(const ScanShape *s, const ScanInput *in, const float *snapshots, const float *dy,
                          const ScanGradient *d, float *dstate, float *workspace) {
    ScanSums sums;
    float *scratch = workspace + scan_sums(s, workspace, &sums);
    const int64_t floats = s->states * s->channels;
    PARALLEL_PARTS(parallel_threads(), s->batch * scan_groups(s), 1,
                   scan_backward_groups(part, s, in, snapshots, dy, d, &sums, dstate, scratch));
    PARALLEL_PARTS(parallel_threads(), s->batch * s->tokens, 1, scan_add_rows(part, s, &sums, d));
    for (int64_t b = 0; b < s->batch; b++) {
        const float *from = sums.channels + b * (floats + s->channels);
        if (s->kind == SCAN_SELECTIVE) scan_add(floats, from, d->a);
        scan_add(s->channels, from + floats, d->skip);
    }
}

const struct scan_kernel KERNEL(scan_kernel) = {scan_forward, scan_backward, scan_snapshot_floats,
                                                scan_workspace_floats};
