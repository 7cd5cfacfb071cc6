#pragma once
/* Adjoint of the scan, for decay per channel (which has no cheap matrix form) and as a second opinion on the
 * dual form's backward: a tile's states are computed again and kept, then walked in reverse. */
#include "kernel/memory/scan.c"

enum { ADJOINT_ROWS = 2 }; /* on every instruction set, for it fixes the order of the sum over a tile */

/* Where a tile keeps its states and its sums over columns, in c->trace. */
typedef struct {
    float *w, *s;   /* (n + 1) x ADJOINT_ROWS vectors: states before the first and after every token */
    float *dz, *dh; /* n x ADJOINT_ROWS vectors */
    float *deta;    /* n vectors, over all tiles of the layer */
} MemoryTrace;

static MemoryTrace memory_trace(MemoryChunk *c) {
    const int64_t states = (c->ldc + 1) * ADJOINT_ROWS * VEC_LANES, sums = c->ldc * ADJOINT_ROWS * VEC_LANES;
    float *at = c->trace;
    return (MemoryTrace){at, at + states, at + 2 * states, at + 2 * states + sums,
                         at + 2 * states + 2 * sums};
}

INLINE float *trace_at(float *x, int64_t t, int r) { return x + (t * ADJOINT_ROWS + r) * VEC_LANES; }

/* Weights and momenta at the chunk's start, and gradients of them. */
typedef struct {
    const float *W, *S;
} MemoryStart;
typedef struct {
    float *W, *S;
} MemoryPair;

/* The states of a tile of the scan from its start on. */
INLINE void memory_trace_tile(const int rows, const MemoryTrace *m, const ScanTile a, MemoryStart start) {
    for (int r = 0; r < rows; r++) {
        Vec w = vec_load_n(start.W + r * a.stride, a.lanes), s = vec_load_n(start.S + r * a.stride, a.lanes);
        vec_store(trace_at(m->w, 0, r), w);
        vec_store(trace_at(m->s, 0, r), s);
        for (int64_t t = 0; t < a.n; t++) {
            s = vec_fma(vec_set1(a.eta[t]), s,
                        vec_mul(vec_set1(a.h[t * a.ldh + r]), vec_load(a.x + t * a.ldo)));
            w = vec_fma(vec_load(a.decay + t * a.ldo), w, s);
            vec_store(trace_at(m->w, t + 1, r), w);
            vec_store(trace_at(m->s, t + 1, r), s);
        }
    }
}

/* Gradients beside a tile. o: of its outputs; W, S: of the chunk's end on entry, of its start on return; x, decay: rows at
 * the tile's column. */
typedef struct {
    const float *o;
    float *x, *decay, *W, *S;
} TileGradient;

INLINE void memory_reverse_tile(const int rows, const MemoryTrace *m, const ScanTile a,
                                const TileGradient d) {
    Vec dw[ADJOINT_ROWS], ds[ADJOINT_ROWS];
    for (int r = 0; r < rows; r++) {
        dw[r] = vec_load_n(d.W + r * a.stride, a.lanes);
        ds[r] = vec_load_n(d.S + r * a.stride, a.lanes);
    }
    for (int64_t t = a.n - 1; t >= 0; t--) {
        const int64_t at = t * a.ldo;
        const Vec d_o = vec_load(d.o + at), xt = vec_load(a.x + at), keep = vec_load(a.decay + at);
        const Vec eta = vec_set1(a.eta[t]);
        Vec to_x = vec_load(d.x + at), to_decay = vec_load(d.decay + at);
        Vec to_eta = vec_load(m->deta + t * VEC_LANES);
        for (int r = 0; r < rows; r++) {
            float *dz = trace_at(m->dz, t, r), *dh = trace_at(m->dh, t, r);
            dw[r] = vec_fma(vec_set1(a.z[t * a.ldh + r]), d_o, dw[r]);
            vec_store(dz,
                      vec_fma(d_o, vec_load(trace_at(m->w, t + 1, r)), a.first ? vec_zero() : vec_load(dz)));
            ds[r] = vec_add(ds[r], dw[r]);
            to_decay = vec_fma(dw[r], vec_load(trace_at(m->w, t, r)), to_decay);
            to_eta = vec_fma(ds[r], vec_load(trace_at(m->s, t, r)), to_eta);
            vec_store(dh, vec_fma(ds[r], xt, a.first ? vec_zero() : vec_load(dh)));
            to_x = vec_fma(vec_set1(a.h[t * a.ldh + r]), ds[r], to_x);
            dw[r] = vec_mul(keep, dw[r]);
            ds[r] = vec_mul(eta, ds[r]);
        }
        vec_store(d.x + at, to_x);
        vec_store(d.decay + at, to_decay);
        vec_store(m->deta + t * VEC_LANES, to_eta);
    }
    for (int r = 0; r < rows; r++) {
        vec_store_n(d.W + r * a.stride, dw[r], a.lanes);
        vec_store_n(d.S + r * a.stride, ds[r], a.lanes);
    }
}

INLINE void memory_reverse_rows(MemoryChunk *c, int l, const int rows, int64_t first_row, MemoryStart start,
                                MemoryPair d, int64_t n) {
    const int64_t out = c->width[l], ldh = c->ld[l - 1], first = memory_at(c, l) + first_row * out;
    const MemoryTrace m = memory_trace(c);
    for (int64_t j = 0; j < out; j += VEC_LANES) {
        const int64_t at = first + j;
        const ScanTile tile = {.n = n,
                               .ldh = ldh,
                               .ldo = c->ld[l],
                               .stride = out,
                               .lanes = vec_lanes(j, out),
                               .decay = c->decay[l] + j,
                               .eta = memory_gates_of(c, l)->eta,
                               .h = c->H[l - 1] + first_row,
                               .z = c->Z[l - 1] + first_row,
                               .x = c->X + j,
                               .first = j == 0};
        memory_trace_tile(rows, &m, tile, (MemoryStart){start.W + at, start.S + at});
        memory_reverse_tile(rows, &m, tile,
                            (TileGradient){c->dO + j, c->left + j, c->ddecay[l] + j, d.W + at, d.S + at});
    }
    for (int64_t t = 0; t < n; t++)
        for (int r = 0; r < rows; r++) {
            c->dZ[t * ldh + first_row + r] = vec_sum(vec_load(trace_at(m.dz, t, r)));
            c->dH[l - 1][t * ldh + first_row + r] += vec_sum(vec_load(trace_at(m.dh, t, r)));
        }
}

/* Layer l: from dO and d(end state) to dZ, dH[l-1], dD[l], the gates and d(start state). */
static void memory_scan_layer_backward(MemoryChunk *c, int l, MemoryStart start, MemoryPair d, int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldo = c->ld[l];
    MemoryGates *g = memory_gates_of(c, l);
    float *deta = memory_trace(c).deta;
    memory_scale_step(c, l, n);
    memset(c->left, 0, (size_t)(n * ldo) * sizeof(float));
    memset(deta, 0, (size_t)(n * VEC_LANES) * sizeof(float));
    int64_t r = 0;
    for (; r + ADJOINT_ROWS <= in; r += ADJOINT_ROWS) memory_reverse_rows(c, l, ADJOINT_ROWS, r, start, d, n);
    for (; r < in; r++) memory_reverse_rows(c, l, 1, r, start, d, n);
    for (int64_t t = 0; t < n; t++) {
        const float *dx = c->left + t * ldo;
        const Vec step = vec_set1(-g->theta[t]);
        g->deta[t] += vec_sum(vec_load(deta + t * VEC_LANES));
        g->dtheta[t] -= row_dot(out, dx, c->D[l] + t * ldo);
        FOR_VECTORS (j, out) {
            float *to = c->dD[l] + t * ldo + j;
            vec_store(to, vec_fma(step, vec_load(dx + j), vec_load(to)));
        }
        if (!c->shape->channelwise) g->dkeep[t] += row_sum(out, c->ddecay[l] + t * ldo);
    }
}

static void memory_scans_backward(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                  int64_t n) {
    for (int l = 1; l <= c->layers; l++) memset(c->ddecay[l], 0, (size_t)(n * c->ld[l]) * sizeof(float));
    for (int l = c->layers; l >= 1; l--) {
        memory_scan_layer_backward(c, l, (MemoryStart){W, S}, (MemoryPair){dW, dS}, n);
        if (l > 1) memory_slope(c, l - 1, n, c->O[l - 1], c->sigma_o[l - 1], c->dZ, c->dO);
    }
}
