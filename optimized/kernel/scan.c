#include "kernel/scan/backward.c"
#include "base/parallel.h"

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
