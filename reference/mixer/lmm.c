/* LMM: the neural long-term memory alone as the sequence mixer (section 4, eqs 11-18). */
#pragma once
#include "../chunk.c"
#include "attention.c"

/* E12: L layers from dh to dh, hidden width e dh. */
static Network lmm_network(int64_t dh, int64_t L, int64_t e) {
    Network net = {L, {dh, 0, 0, 0, 0}};
    for (int64_t l = 1; l <= L; l++) net.n[l] = l < L ? e * dh : dh;
    return net;
}

/* Column h of x (T x H). */
static void column_get(int64_t T, int64_t H, int64_t h, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++) y[t] = x[t * H + h];
}

/* One memory per head (E11), head h starting from M_0 of that head and S_0 = 0 (E12):
 * q, k, v, y (T x H x dh), gate = {alpha, theta, eta}, each T x H, M0 (H x P). */
static void memory_heads(int64_t T, int64_t H, const Network *net, int64_t b, const real *q, const real *k,
                         const real *v, real *const *gate, const real *M0, real *y) {
    int64_t P = network_size(net), dh = net->n[0];
    for (int64_t h = 0; h < H; h++) {
        real *token = R_NEW(4 * T * dh), *k_h = token, *v_h = k_h + T * dh, *q_h = v_h + T * dh;
        real *y_h = q_h + T * dh, *scalar = R_NEW(3 * T), *M = R_NEW(P), *S = R_NEW(P);
        Tokens x = {T, k_h, v_h, q_h, scalar, scalar + T, scalar + 2 * T};
        head_get(T, H, dh, h, k, k_h);
        head_get(T, H, dh, h, v, v_h);
        head_get(T, H, dh, h, q, q_h);
        for (int64_t i = 0; i < 3; i++) column_get(T, H, h, gate[i], scalar + i * T);
        real_copy(P, M0 + h * P, M);
        memory_chunk(net, b, &x, M, S, y_h);
        head_put(T, H, dh, h, y_h, y);
        free(token);
        free(scalar);
        free(M);
        free(S);
    }
}

/* (11) and section 4.4: l2_norm(silu(conv(x W))), or without the norm; the convolution starts from zeros.
 * x, y (T x D), W (D x D), weight (w x D), D = H dh. */
static void lmm_branch(int64_t T, int64_t H, int64_t dh, int64_t w, int normed, const real *x, const real *W,
                       const real *weight, real *y) {
    int64_t D = H * dh;
    real *projected = R_NEW(T * D), *tail = R_NEW((w - 1) * D);
    project(T, D, D, x, W, projected);
    if (normed)
        conv_silu_l2(T, H, dh, w, projected, weight, tail, y);
    else
        conv_silu(T, D, w, projected, weight, tail, y);
    free(projected);
    free(tail);
}

/* E10: alpha, theta, eta (T x H each) from z = x W + bias: x (T x D), W (D x 3H), bias (3H), theta_max (1).
 */
static void lmm_gates(int64_t T, int64_t D, int64_t H, int64_t kind, const real *x, const real *W,
                      const real *bias, const real *theta_max, real *const *gate) {
    real *z = R_NEW(T * 3 * H);
    project(T, D, 3 * H, x, W, z);
    for (int64_t i = 0; i < T * 3 * H; i++) z[i] = z[i] + bias[i % (3 * H)];
    gates(T, H, kind, z, theta_max, gate[0], gate[1], gate[2]);
    free(z);
}

/* o = norm_gate(y, gain, x W_z) W_O, y the memory's reads: x, o (T x D), tensors as mixer_lmm_shape says. */
static void mixer_lmm_run(const int64_t *dims, const void *const *in, void *const *out) {
    int64_t T = dims[0], D = dims[1], H = dims[2], w = dims[3], dh = D / H;
    Network net = lmm_network(dh, dims[5], dims[6]);
    real *q = R_NEW(T * D), *k = R_NEW(T * D), *v = R_NEW(T * D), *y = R_NEW(T * D), *z = R_NEW(T * D);
    real *gate[3] = {R_NEW(T * H), R_NEW(T * H), R_NEW(T * H)};
    lmm_branch(T, H, dh, w, 1, IN(0), IN(1), IN(4), q);
    lmm_branch(T, H, dh, w, 1, IN(0), IN(2), IN(5), k);
    lmm_branch(T, H, dh, w, 0, IN(0), IN(3), IN(6), v);
    lmm_gates(T, D, H, dims[7], IN(0), IN(7), IN(8), IN(13), gate);
    memory_heads(T, H, &net, dims[4], q, k, v, gate, IN(9), y);
    project(T, D, D, IN(0), IN(11), z);
    norm_gate(T, H, dh, y, IN(10), z, y);
    project(T, D, D, y, IN(12), OUT(0));
    for (int64_t i = 0; i < 3; i++) free(gate[i]);
    free(q);
    free(k);
    free(v);
    free(y);
    free(z);
}

static void mixer_lmm_shape(const int64_t *dims, int64_t *in, int64_t *out) {
    int64_t T = dims[0], D = dims[1], H = dims[2], w = dims[3];
    Network net = lmm_network(D / H, dims[5], dims[6]);
    in[0] = out[0] = T * D;
    in[1] = in[2] = in[3] = in[11] = in[12] = D * D;
    in[4] = in[5] = in[6] = w * D;
    in[7] = D * 3 * H;
    in[8] = 3 * H;
    in[9] = H * network_size(&net);
    in[10] = D;
    in[13] = 1;
}

static const Equation mixer_lmm_equations[] = {
    {"mixer_lmm", "section 4, eqs 11-18, errata E10 E11 E12", "T D H w b L e kind",
     "x Wq Wk Wv conv_q conv_k conv_v W_gates b_gates M0 gain W_z Wo theta_max", "o", mixer_lmm_shape,
     mixer_lmm_run},
    EQUATION_END};
