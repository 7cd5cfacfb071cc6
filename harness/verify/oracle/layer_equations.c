/* Eqs 1-2, 19-20, 27, section 4.4 and the gates behind the reference's tensors. */
#include "equations.h"
#include "layers.h"

/* Eq 1. */
void oracle_qkv(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], D = dims[1];
    const Quad *x = quads_from(in[0], T * D);
    for (int i = 0; i < 3; i++)
        quads_to(out[i], quads_product(x, quads_from(in[1 + i], D * D), T, D, D), T * D);
}

/* The T queries are the last T of S positions. */
static void windowed(const int64_t *dims, int64_t window, int64_t prefix, const double *const *in,
                     double *const *out) {
    const int64_t T = dims[0], S = dims[1], dh = dims[2];
    const Quad *q = quads_from(in[0], T * dh), *k = quads_from(in[1], S * dh), *v = quads_from(in[2], S * dh);
    quads_to(out[0], attended(q, k, v, window_mask(T, S, S - T, window, prefix), T, S, dh), T * dh);
}

/* Eq 2. */
void oracle_attention(const int64_t *dims, const double *const *in, double *const *out) {
    windowed(dims, 0, 0, in, out);
}

/* Eq 27. */
void oracle_window_attention(const int64_t *dims, const double *const *in, double *const *out) {
    windowed(dims, dims[3], dims[4], in, out);
}

/* Eq 19. */
void oracle_persistent_prefix(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t Np = dims[0], T = dims[1], D = dims[2];
    const Quad *joined = quads_join(quads_from(in[0], Np * D), Np, quads_from(in[1], T * D), T, D);
    quads_to(out[0], joined, (Np + T) * D);
}

/* Eq 20, no scale. W_K and W_V play the part of K and V in attention: their n rows are keys and values. */
void oracle_softmax_ffn(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], n = dims[1], d = dims[2], m = dims[3];
    const Quad *x = quads_from(in[0], T * d), *Wk = quads_from(in[1], n * d);
    Quad *a = quads(T * n);
    for (int64_t t = 0; t < T; t++) {
        Quad total = 0;
        for (int64_t j = 0; j < n; j++) {
            Quad dot = 0;
            for (int64_t c = 0; c < d; c++) dot += Wk[j * d + c] * x[t * d + c];
            total += a[t * n + j] = quad_exp(dot);
        }
        for (int64_t j = 0; j < n; j++) a[t * n + j] /= total;
    }
    quads_to(out[0], quads_product(a, quads_from(in[2], n * m), T, n, m), T * m);
}

/* Eqs 25, 28. */
void oracle_titans_gate(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], H = dims[1], dh = dims[2], D = H * dh;
    const Quad *y = quads_from(in[0], T * D), *m = quads_from(in[1], T * D);
    quads_to(out[0], titans_gated(y, m, quads_from(in[2], D), quads_from(in[3], D), T, H, dh), T * D);
}

void oracle_norm_gate(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], H = dims[1], dh = dims[2], D = H * dh;
    const Quad *y = quads_from(in[0], T * D), *gain = quads_from(in[1], D), *z = quads_from(in[2], T * D);
    quads_to(out[0], norm_gated(y, gain, z, T, H, dh), T * D);
}

void oracle_conv_silu_l2(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], H = dims[1], dh = dims[2], w = dims[3], D = H * dh;
    const Quad *x = quads_from(in[0], T * D), *weight = quads_from(in[1], w * D);
    Quad *y = convolution(x, weight, quads_from(in[2], (w - 1) * D), T, D, w);
    apply_silu(y, T * D);
    apply_l2_norm(y, T * H, dh);
    quads_to(out[0], y, T * D);
}

void oracle_rope(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], H = dims[1], dh = dims[2];
    int64_t *position = scratch(T * (int64_t)sizeof *position);
    for (int64_t t = 0; t < T; t++) position[t] = dims[3] + t;
    quads_to(out[0], rotated(quads_from(in[0], T * H * dh), position, T, H, dh), T * H * dh);
}

/* E10: z has the columns z_alpha z_theta z_eta of H heads each. Hard gates leave eta a sigmoid. */
void oracle_gates(const int64_t *dims, const double *const *in, double *const *out) {
    const int64_t T = dims[0], H = dims[1];
    const int hard = dims[2] == 1;
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++) {
            const double *z = in[0] + t * 3 * H + h;
            out[0][t * H + h] = (double)gate_value(z[0], hard);
            out[1][t * H + h] = (double)(in[1][0] * gate_value(z[H], hard));
            out[2][t * H + h] = (double)gate_value(z[2 * H], 0);
        }
}
