#pragma once
/* The chunk as a scan: tiles of W and S stay in registers while the tokens pass. Exactly sequential per
 * token. */
#include "kernel/memory/network.c"

/* A tile of rows x `lanes` weights of one layer and what passes it in n tokens: inputs h and z at the tile's first row
 * (row stride ldh), x and outputs at its column (ldo). decay: channelwise, one keep per token and column (ldo), else one
 * per token. first: the tile is the first of its column. */
typedef struct {
    int64_t n, ldh, ldo, stride, lanes;
    const float *decay, *eta, *h, *z, *x;
    float *o, *W, *S;
    int first;
} ScanTile;

/* Weights and momenta: s = eta s + h x,  w = keep w + s,  o += z w; x is -theta dl/dA. */
INLINE void memory_scan_tile(const int rows, const int channelwise, const ScanTile a) {
    Vec w[SCAN_ROWS], s[SCAN_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const float *W = a.W + r * a.stride, *S = a.S + r * a.stride;
        __builtin_prefetch(W + rows * a.stride);
        __builtin_prefetch(S + rows * a.stride);
        w[r] = a.lanes == VEC_LANES ? vec_load(W) : vec_load_n(W, a.lanes);
        s[r] = a.lanes == VEC_LANES ? vec_load(S) : vec_load_n(S, a.lanes);
    }
    for (int64_t t = 0; t < a.n; t++) {
        const Vec xt = vec_load(a.x + t * a.ldo), eta = vec_set1(a.eta[t]);
        const Vec keep = channelwise ? vec_load(a.decay + t * a.ldo) : vec_set1(a.decay[t]);
        Vec ot = a.first ? vec_zero() : vec_load(a.o + t * a.ldo);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            s[r] = vec_fma(eta, s[r], vec_mul(vec_set1(a.h[t * a.ldh + r]), xt));
            w[r] = vec_fma(keep, w[r], s[r]);
            ot = vec_fma(vec_set1(a.z[t * a.ldh + r]), w[r], ot);
        }
        vec_store(a.o + t * a.ldo, ot);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        vec_store_n(a.W + r * a.stride, w[r], a.lanes);
        vec_store_n(a.S + r * a.stride, s[r], a.lanes);
    }
}

/* One token: rows of DELTA_VECS vectors pass once, from end to end, so that as many sums o are under way and memory is read in
 * order. The same operations on every element, in the same order, as in tiles. */
INLINE void memory_scan_strip(const int vecs, const int channelwise, int64_t in, const ScanTile a) {
    Vec x[DELTA_VECS], keep[DELTA_VECS], o[DELTA_VECS];
    const Vec eta = vec_set1(a.eta[0]);
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        x[v] = vec_load(a.x + v * VEC_LANES);
        keep[v] = channelwise ? vec_load(a.decay + v * VEC_LANES) : vec_set1(a.decay[0]);
        o[v] = vec_zero();
    }
    for (int64_t r = 0; r < in; r++) {
        const Vec h = vec_set1(a.h[r]), z = vec_set1(a.z[r]);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *W = a.W + r * a.stride + v * VEC_LANES, *S = a.S + r * a.stride + v * VEC_LANES;
            const int64_t lanes = vecs > 1 ? VEC_LANES : a.lanes;
            const Vec s = vec_fma(eta, vec_load_n(S, lanes), vec_mul(h, x[v]));
            const Vec w = vec_fma(keep[v], vec_load_n(W, lanes), s);
            o[v] = vec_fma(z, w, o[v]);
            vec_store_n(S, s, lanes);
            vec_store_n(W, w, lanes);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) vec_store(a.o + v * VEC_LANES, o[v]);
}

INLINE void memory_scan_token(MemoryChunk *c, int l, const int channelwise, float *W, float *S) {
    const int64_t in = c->width[l - 1], out = c->width[l];
    const MemoryGates *g = memory_gates_of(c, l);
    for (int64_t j = 0, step; j < out; j += step) {
        ScanTile tile = {.stride = out, .lanes = vec_lanes(j, out), .eta = g->eta};
        tile.decay = channelwise ? c->decay[l] + j : g->keep;
        tile.h = c->H[l - 1], tile.z = c->Z[l - 1], tile.x = c->X + j, tile.o = c->O[l] + j;
        tile.W = W + j, tile.S = S + j;
        const int whole = j + DELTA_VECS * VEC_LANES <= out;
        if (whole)
            memory_scan_strip(DELTA_VECS, channelwise, in, tile);
        else
            memory_scan_strip(1, channelwise, in, tile);
        step = (whole ? DELTA_VECS : 1) * VEC_LANES;
    }
}

INLINE void memory_scan_layer(MemoryChunk *c, int l, const int channelwise, int64_t n, float *W, float *S) {
    const int64_t in = c->width[l - 1], out = c->width[l];
    const MemoryGates *g = memory_gates_of(c, l);
    if (n == 1) {
        memory_scan_token(c, l, channelwise, W, S);
        return;
    }
    for (int64_t j = 0; j < out; j += VEC_LANES) {
        ScanTile tile = {n, c->ld[l - 1], c->ld[l], out, vec_lanes(j, out)};
        tile.decay = channelwise ? c->decay[l] + j : g->keep;
        tile.eta = g->eta, tile.x = c->X + j, tile.o = c->O[l] + j;
        for (int64_t r = 0; r < in;) {
            tile.h = c->H[l - 1] + r, tile.z = c->Z[l - 1] + r, tile.first = r == 0;
            tile.W = W + r * out + j, tile.S = S + r * out + j;
            const int whole = r + SCAN_ROWS <= in;
            if (whole)
                memory_scan_tile(SCAN_ROWS, channelwise, tile);
            else
                memory_scan_tile(1, channelwise, tile);
            r += whole ? SCAN_ROWS : 1;
        }
    }
}

/* X = -theta D of layer l. */
static void memory_scale_step(MemoryChunk *c, int l, int64_t n) {
    const MemoryGates *g = memory_gates_of(c, l);
    for (int64_t t = 0; t < n; t++) c->coefficient[t] = -g->theta[t];
    rows_scale(n, c->width[l], c->ld[l], c->coefficient, c->D[l], c->X);
}

static void memory_scan(MemoryChunk *c, float *W, float *S, int64_t n) {
    for (int l = 1; l <= c->layers; l++) {
        memory_scale_step(c, l, n);
        if (c->shape->channelwise)
            memory_scan_layer(c, l, 1, n, W + memory_at(c, l), S + memory_at(c, l));
        else
            memory_scan_layer(c, l, 0, n, W + memory_at(c, l), S + memory_at(c, l));
        if (l < c->layers) memory_activate(c, l, n, c->O[l], c->sigma_o[l], c->Z[l]);
    }
}
