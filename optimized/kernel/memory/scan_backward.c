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

INLINE void memory_trace_tile(const int rows, int64_t n, const MemoryTrace *m, const float *decay,
                              const float *eta, const float *h, int64_t ldh, const float *x, int64_t ldo,
                              const float *W, const float *S, int64_t stride, int64_t lanes) {
    for (int r = 0; r < rows; r++) {
        Vec w = vec_load_n(W + r * stride, lanes), s = vec_load_n(S + r * stride, lanes);
        vec_store(trace_at(m->w, 0, r), w);
        vec_store(trace_at(m->s, 0, r), s);
        for (int64_t t = 0; t < n; t++) {
            s = vec_fma(vec_set1(eta[t]), s, vec_mul(vec_set1(h[t * ldh + r]), vec_load(x + t * ldo)));
            w = vec_fma(vec_load(decay + t * ldo), w, s);
            vec_store(trace_at(m->w, t + 1, r), w);
            vec_store(trace_at(m->s, t + 1, r), s);
        }
    }
}

/* dW, dS: of the chunk's end on entry, of its start on return. dx, ddecay: rows at the tile's column. */
INLINE void memory_reverse_tile(const int rows, int64_t n, const MemoryTrace *m, const float *decay,
                                const float *eta, const float *h, const float *z, int64_t ldh, const float *x,
                                const float *d_out, int64_t ldo, float *dx, float *ddecay, float *dW,
                                float *dS, int64_t stride, int64_t lanes, int first) {
    Vec dw[ADJOINT_ROWS], ds[ADJOINT_ROWS];
    for (int r = 0; r < rows; r++) {
        dw[r] = vec_load_n(dW + r * stride, lanes);
        ds[r] = vec_load_n(dS + r * stride, lanes);
    }
    for (int64_t t = n - 1; t >= 0; t--) {
        const Vec d = vec_load(d_out + t * ldo), xt = vec_load(x + t * ldo), keep = vec_load(decay + t * ldo);
        const Vec eta_t = vec_set1(eta[t]);
        Vec to_x = vec_load(dx + t * ldo), to_decay = vec_load(ddecay + t * ldo);
        Vec to_eta = vec_load(m->deta + t * VEC_LANES);
        for (int r = 0; r < rows; r++) {
            float *dz = trace_at(m->dz, t, r), *dh = trace_at(m->dh, t, r);
            dw[r] = vec_fma(vec_set1(z[t * ldh + r]), d, dw[r]);
            vec_store(dz, vec_fma(d, vec_load(trace_at(m->w, t + 1, r)), first ? vec_zero() : vec_load(dz)));
            ds[r] = vec_add(ds[r], dw[r]);
            to_decay = vec_fma(dw[r], vec_load(trace_at(m->w, t, r)), to_decay);
            to_eta = vec_fma(ds[r], vec_load(trace_at(m->s, t, r)), to_eta);
            vec_store(dh, vec_fma(ds[r], xt, first ? vec_zero() : vec_load(dh)));
            to_x = vec_fma(vec_set1(h[t * ldh + r]), ds[r], to_x);
            dw[r] = vec_mul(keep, dw[r]);
            ds[r] = vec_mul(eta_t, ds[r]);
        }
        vec_store(dx + t * ldo, to_x);
        vec_store(ddecay + t * ldo, to_decay);
        vec_store(m->deta + t * VEC_LANES, to_eta);
    }
    for (int r = 0; r < rows; r++) {
        vec_store_n(dW + r * stride, dw[r], lanes);
        vec_store_n(dS + r * stride, ds[r], lanes);
    }
}

INLINE void memory_reverse_rows(MemoryChunk *c, int l, const int rows, int64_t first_row, const float *W,
                                const float *S, float *dW, float *dS, int64_t n) {
    const int64_t out = c->width[l], ldh = c->ld[l - 1], ldo = c->ld[l],
                  at = memory_at(c, l) + first_row * out;
    const float *h = c->H[l - 1] + first_row, *z = c->Z[l - 1] + first_row, *eta = memory_gates_of(c, l)->eta;
    const MemoryTrace m = memory_trace(c);
    for (int64_t j = 0; j < out; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, out);
        memory_trace_tile(rows, n, &m, c->decay[l] + j, eta, h, ldh, c->X + j, ldo, W + at + j, S + at + j,
                          out, lanes);
        memory_reverse_tile(rows, n, &m, c->decay[l] + j, eta, h, z, ldh, c->X + j, c->dO + j, ldo,
                            c->left + j, c->ddecay[l] + j, dW + at + j, dS + at + j, out, lanes, j == 0);
    }
    for (int64_t t = 0; t < n; t++)
        for (int r = 0; r < rows; r++) {
            c->dZ[t * ldh + first_row + r] = vec_sum(vec_load(trace_at(m.dz, t, r)));
            c->dH[l - 1][t * ldh + first_row + r] += vec_sum(vec_load(trace_at(m.dh, t, r)));
        }
}

/* Layer l: from dO and d(end state) to dZ, dH[l-1], dD[l], the gates and d(start state). */
static void memory_scan_layer_backward(MemoryChunk *c, int l, const float *W, const float *S, float *dW,
                                       float *dS, int64_t n) {
    const int64_t in = c->width[l - 1], out = c->width[l], ldo = c->ld[l];
    MemoryGates *g = memory_gates_of(c, l);
    float *deta = memory_trace(c).deta;
    memory_scale_step(c, l, n);
    memset(c->left, 0, (size_t)(n * ldo) * sizeof(float));
    memset(deta, 0, (size_t)(n * VEC_LANES) * sizeof(float));
    int64_t r = 0;
    for (; r + ADJOINT_ROWS <= in; r += ADJOINT_ROWS)
        memory_reverse_rows(c, l, ADJOINT_ROWS, r, W, S, dW, dS, n);
    for (; r < in; r++) memory_reverse_rows(c, l, 1, r, W, S, dW, dS, n);
    for (int64_t t = 0; t < n; t++) {
        const float *dx = c->left + t * ldo;
        const Vec step = vec_set1(-g->theta[t]);
        g->deta[t] += vec_sum(vec_load(deta + t * VEC_LANES));
        g->dtheta[t] -= row_dot(out, dx, c->D[l] + t * ldo);
        FOR_VECTORS(j, out) {
            float *to = c->dD[l] + t * ldo + j;
            vec_store(to, vec_fma(step, vec_load(dx + j), vec_load(to)));
        }
        if (!c->shape->channelwise) g->dkeep[t] += memory_row_sum(out, c->ddecay[l] + t * ldo);
    }
}

static void memory_scans_backward(MemoryChunk *c, const float *W, const float *S, float *dW, float *dS,
                                  int64_t n) {
    for (int l = 1; l <= c->layers; l++) memset(c->ddecay[l], 0, (size_t)(n * c->ld[l]) * sizeof(float));
    for (int l = c->layers; l >= 1; l--) {
        memory_scan_layer_backward(c, l, W, S, dW, dS, n);
        if (l > 1) memory_slope(c, l - 1, n, c->O[l - 1], c->sigma_o[l - 1], c->dZ, c->dO);
    }
}
