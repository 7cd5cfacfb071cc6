#pragma once
/* The chunk as a scan: tiles of W and S stay in registers while the tokens pass. Exactly sequential per
 * token. */
#include "kernel/memory/network.c"

/* One tile of `rows` x 16 weights and momenta: s = eta s + h x,  w = keep w + s,  o += z w; x is -theta
 * dl/dA. channelwise: decay holds one keep per token and column (row stride ldo), else one per token. */
INLINE void memory_scan_tile(const int rows, const int channelwise, int64_t n, const float *decay,
                             const float *eta, const float *h, const float *z, int64_t ldh, const float *x,
                             float *o, int64_t ldo, float *W, float *S, int64_t stride, int64_t lanes,
                             int first) {
    Vec w[SCAN_ROWS], s[SCAN_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        __builtin_prefetch(W + (r + rows) * stride);
        __builtin_prefetch(S + (r + rows) * stride);
        w[r] = lanes == VEC_LANES ? vec_load(W + r * stride) : vec_load_n(W + r * stride, lanes);
        s[r] = lanes == VEC_LANES ? vec_load(S + r * stride) : vec_load_n(S + r * stride, lanes);
    }
    for (int64_t t = 0; t < n; t++) {
        const Vec xt = vec_load(x + t * ldo), eta_t = vec_set1(eta[t]);
        const Vec keep = channelwise ? vec_load(decay + t * ldo) : vec_set1(decay[t]);
        Vec ot = first ? vec_zero() : vec_load(o + t * ldo);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            s[r] = vec_fma(eta_t, s[r], vec_mul(vec_set1(h[t * ldh + r]), xt));
            w[r] = vec_fma(keep, w[r], s[r]);
            ot = vec_fma(vec_set1(z[t * ldh + r]), w[r], ot);
        }
        vec_store(o + t * ldo, ot);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        vec_store_n(W + r * stride, w[r], lanes);
        vec_store_n(S + r * stride, s[r], lanes);
    }
}

INLINE void memory_scan_layer(MemoryChunk *c, int l, const int channelwise, int64_t n, float *W, float *S) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldh = c->ld[l - 1], ldo = c->ld[l];
    const MemoryGates *g = memory_gates_of(c, l);
    const float *h = c->H[l - 1], *z = c->Z[l - 1];
    for (int64_t j = 0; j < out; j += VEC_LANES) {
        const float *decay = channelwise ? c->decay[l] + j : g->keep;
        const int64_t lanes = vec_lanes(j, out);
        int64_t r = 0;
        for (; r + SCAN_ROWS <= in; r += SCAN_ROWS)
            memory_scan_tile(SCAN_ROWS, channelwise, n, decay, g->eta, h + r, z + r, ldh, c->X + j,
                             c->O[l] + j, ldo, W + r * out + j, S + r * out + j, out, lanes, r == 0);
        for (; r < in; r++)
            memory_scan_tile(1, channelwise, n, decay, g->eta, h + r, z + r, ldh, c->X + j, c->O[l] + j, ldo,
                             W + r * out + j, S + r * out + j, out, lanes, r == 0);
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
