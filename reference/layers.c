/* Section 4.4: the layers around attention and memory. Tokens are rows; W is [in][out], y = x W. */
#pragma once
#include "real.h"

/* sigma(x) = 1 / (1 + exp(-x)), written for either sign so that exp never overflows. */
static real sigmoid(real x) {
    real e = exp(RE(x) < 0 ? x : -x);
    return RE(x) < 0 ? e / (1 + e) : 1 / (1 + e);
}

/* silu(x) = x sigma(x) */
static real silu(real x) { return x * sigmoid(x); }

/* gelu(x) = x sigma(z), z = 2 sqrt(2/pi) (x + 0.044715 x^3): the tanh form, as 1 + tanh(z / 2) = 2 sigma(z).
 */
static real gelu(real x) { return x * sigmoid(R(1.5957691216057308) * (x + R(0.044715) * x * x * x)); }

/* y = x W (the linear map of eqs 1 and 11): x (T x n), W (n x m), y (T x m). */
static void project(int64_t T, int64_t n, int64_t m, const real *x, const real *W, real *y) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t j = 0; j < m; j++) {
            real sum = 0;
            for (int64_t i = 0; i < n; i++) sum += x[t * n + i] * W[i * m + j];
            y[t * m + j] = sum;
        }
}

/* E14: y = x / sqrt(sum_i x_i^2 + eps), eps = 1e-6, per row: x, y (T x d). */
static void l2_norm(int64_t T, int64_t d, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++) {
        real sum = 0;
        for (int64_t i = 0; i < d; i++) sum += x[t * d + i] * x[t * d + i];
        real norm = sqrt(sum + R(1e-6));
        for (int64_t i = 0; i < d; i++) y[t * d + i] = x[t * d + i] / norm;
    }
}

/* y = x / sqrt(mean_i x_i^2 + eps) gain, eps = 1e-6, per row: x, y (T x d), gain (d). */
static void rms_norm(int64_t T, int64_t d, const real *x, const real *gain, real *y) {
    for (int64_t t = 0; t < T; t++) {
        real sum = 0;
        for (int64_t i = 0; i < d; i++) sum += x[t * d + i] * x[t * d + i];
        real rms = sqrt(sum / (real)d + R(1e-6));
        for (int64_t i = 0; i < d; i++) y[t * d + i] = x[t * d + i] / rms * gain[i];
    }
}

/* E20: y = (x - mean x) / deviation, deviation = sqrt(mean (x - mean x)^2 + eps), eps = 1e-6; no gain, no
 * bias. x, y (d); returns the deviation. */
static real layer_norm(int64_t d, const real *x, real *y) {
    real sum = 0, squares = 0;
    for (int64_t i = 0; i < d; i++) sum += x[i];
    for (int64_t i = 0; i < d; i++) y[i] = x[i] - sum / (real)d;
    for (int64_t i = 0; i < d; i++) squares += y[i] * y[i];
    real deviation = sqrt(squares / (real)d + R(1e-6));
    for (int64_t i = 0; i < d; i++) y[i] = y[i] / deviation;
    return deviation;
}

/* Causal depthwise convolution: y_t,c = sum_{j<w} weight_j,c x_{t-(w-1)+j},c; j = w-1 is the current token.
 * x, y (T x D), weight (w x D), tail ((w-1) x D): the inputs before the first token. */
static void conv(int64_t T, int64_t D, int64_t w, const real *x, const real *weight, const real *tail,
                 real *y) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t c = 0; c < D; c++) {
            real sum = 0;
            for (int64_t j = 0; j < w; j++) {
                int64_t s = t - (w - 1) + j;
                sum += weight[j * D + c] * (s < 0 ? tail[(s + w - 1) * D + c] : x[s * D + c]);
            }
            y[t * D + c] = sum;
        }
}

/* y = silu(conv(x)), shapes as conv. */
static void conv_silu(int64_t T, int64_t D, int64_t w, const real *x, const real *weight, const real *tail,
                      real *y) {
    conv(T, D, w, x, weight, tail, y);
    for (int64_t i = 0; i < T * D; i++) y[i] = silu(y[i]);
}

/* y = l2_norm(silu(conv(x))), the norm over each head's dh channels, D = H dh, shapes as conv. */
static void conv_silu_l2(int64_t T, int64_t H, int64_t dh, int64_t w, const real *x, const real *weight,
                         const real *tail, real *y) {
    conv_silu(T, H * dh, w, x, weight, tail, y);
    l2_norm(T * H, dh, y, y);
}

/* o = rms_norm(y) silu(z), the norm over each head's dh channels: y, z, o (T x D), gain (D), D = H dh. */
static void norm_gate(int64_t T, int64_t H, int64_t dh, const real *y, const real *gain, const real *z,
                      real *o) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++) {
            int64_t at = (t * H + h) * dh;
            rms_norm(1, dh, y + at, gain + h * dh, o + at);
            for (int64_t i = at; i < at + dh; i++) o[i] = o[i] * silu(z[i]);
        }
}

/* h(z) = min(max(1.2 sigma(z) - 0.1, 0), 1): reaches 0 and 1 exactly, where its slope is 0. */
static real hard_sigmoid(real z) {
    real h = R(1.2) * sigmoid(z) - R(0.1);
    if (RE(h) < 0) return R(0);
    if (RE(h) > 1) return R(1);
    return h;
}

/* E10: alpha = g(z_a), theta = theta_max g(z_t), eta = sigma(z_e); g = sigma (kind 0) or h (kind 1).
 * z (T x (A + B + E)): columns z_a | z_t | z_e; theta_max (1); alpha (T x A), theta (T x B), eta (T x E). */
static void gates(int64_t T, int64_t A, int64_t B, int64_t E, int64_t kind, const real *z,
                  const real *theta_max, real *alpha, real *theta, real *eta) {
    for (int64_t t = 0; t < T; t++) {
        const real *z_a = z + t * (A + B + E), *z_t = z_a + A, *z_e = z_t + B;
        for (int64_t i = 0; i < A; i++) alpha[t * A + i] = kind ? hard_sigmoid(z_a[i]) : sigmoid(z_a[i]);
        for (int64_t i = 0; i < B; i++)
            theta[t * B + i] = theta_max[0] * (kind ? hard_sigmoid(z_t[i]) : sigmoid(z_t[i]));
        for (int64_t i = 0; i < E; i++) eta[t * E + i] = sigmoid(z_e[i]);
    }
}

/* y = silu(a) b, elementwise: a, b, y (T x F). */
static void swiglu(int64_t T, int64_t F, const real *a, const real *b, real *y) {
    for (int64_t i = 0; i < T * F; i++) y[i] = silu(a[i]) * b[i];
}

/* Rotary positions: channels (i, i + dh/2), i < dh/2, of every head turn by the angle
 * (start + t) 10000^(-2i/dh), whose sine and cosine are double constants: x, y (T x H x dh). */
static void rope(int64_t T, int64_t H, int64_t dh, int64_t start, const real *x, real *y) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < dh / 2; i++) {
            double angle = (double)(start + t) * pow(10000.0, -2.0 * (double)i / (double)dh);
            real c = R(cos(angle)), s = R(sin(angle));
            for (int64_t h = 0; h < H; h++) {
                int64_t at = (t * H + h) * dh + i;
                real first = x[at], second = x[at + dh / 2];
                y[at] = first * c - second * s;
                y[at + dh / 2] = second * c + first * s;
            }
        }
}

/* loss = mean over tokens with target >= 0 of log(sum_j exp(logit_j)) - logit_target; 0 when there are none.
 * The largest logit is subtracted first. logits (T x V), target (T). */
static real cross_entropy(int64_t T, int64_t V, const real *logits, const real *target) {
    real total = 0;
    int64_t count = 0;
    for (int64_t t = 0; t < T; t++) {
        const real *row = logits + t * V;
        if (RE(target[t]) < 0) continue;
        real max = row[0], sum = 0;
        for (int64_t j = 1; j < V; j++)
            if (RE(row[j]) > RE(max)) max = row[j];
        for (int64_t j = 0; j < V; j++) sum += exp(row[j] - max);
        total += log(sum) - (row[real_index(target[t])] - max);
        count++;
    }
    return count > 0 ? total / (real)count : R(0);
}

static void silu_shape(const int64_t *n, int64_t *in, int64_t *out) { in[0] = out[0] = n[0]; }

static void silu_run(const int64_t *n, const void *const *in, void *const *out) {
    for (int64_t i = 0; i < n[0]; i++) OUT(0)[i] = silu(IN(0)[i]);
}

static void l2_norm_shape(const int64_t *n, int64_t *in, int64_t *out) { in[0] = out[0] = n[0] * n[1]; }

static void l2_norm_run(const int64_t *n, const void *const *in, void *const *out) {
    l2_norm(n[0], n[1], IN(0), OUT(0));
}

static void rms_norm_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = out[0] = n[0] * n[1];
    in[1] = n[1];
}

static void rms_norm_run(const int64_t *n, const void *const *in, void *const *out) {
    rms_norm(n[0], n[1], IN(0), IN(1), OUT(0));
}

static void conv_sizes(int64_t T, int64_t D, int64_t w, int64_t *in, int64_t *out) {
    in[0] = out[0] = T * D;
    in[1] = w * D;
    in[2] = (w - 1) * D;
}

static void conv_shape(const int64_t *n, int64_t *in, int64_t *out) { conv_sizes(n[0], n[1], n[2], in, out); }

static void conv_run(const int64_t *n, const void *const *in, void *const *out) {
    conv(n[0], n[1], n[2], IN(0), IN(1), IN(2), OUT(0));
}

static void conv_head_shape(const int64_t *n, int64_t *in, int64_t *out) {
    conv_sizes(n[0], n[1] * n[2], n[3], in, out);
}

static void conv_silu_run(const int64_t *n, const void *const *in, void *const *out) {
    conv_silu(n[0], n[1] * n[2], n[3], IN(0), IN(1), IN(2), OUT(0));
}

static void conv_silu_l2_run(const int64_t *n, const void *const *in, void *const *out) {
    conv_silu_l2(n[0], n[1], n[2], n[3], IN(0), IN(1), IN(2), OUT(0));
}

static void norm_gate_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = in[2] = out[0] = n[0] * n[1] * n[2];
    in[1] = n[1] * n[2];
}

static void norm_gate_run(const int64_t *n, const void *const *in, void *const *out) {
    norm_gate(n[0], n[1], n[2], IN(0), IN(1), IN(2), OUT(0));
}

static void gates_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = n[0] * 3 * n[1];
    in[1] = 1;
    out[0] = out[1] = out[2] = n[0] * n[1];
}

static void gates_run(const int64_t *n, const void *const *in, void *const *out) {
    gates(n[0], n[1], n[1], n[1], n[2], IN(0), IN(1), OUT(0), OUT(1), OUT(2));
}

static void swiglu_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = in[1] = out[0] = n[0] * n[1];
}

static void swiglu_run(const int64_t *n, const void *const *in, void *const *out) {
    swiglu(n[0], n[1], IN(0), IN(1), OUT(0));
}

static void rope_shape(const int64_t *n, int64_t *in, int64_t *out) { in[0] = out[0] = n[0] * n[1] * n[2]; }

static void rope_run(const int64_t *n, const void *const *in, void *const *out) {
    rope(n[0], n[1], n[2], n[3], IN(0), OUT(0));
}

static void cross_entropy_shape(const int64_t *n, int64_t *in, int64_t *out) {
    in[0] = n[0] * n[1];
    in[1] = n[0];
    out[0] = 1;
}

static void cross_entropy_run(const int64_t *n, const void *const *in, void *const *out) {
    OUT(0)[0] = cross_entropy(n[0], n[1], IN(0), IN(1));
}

static const Equation layers_equations[] = {
    {"silu", "section 4.4", "n", "x", "y", silu_shape, silu_run},
    {"l2_norm", "section 4.4, erratum E14", "T d", "x", "y", l2_norm_shape, l2_norm_run},
    {"rms_norm", "section 4.4", "T d", "x gain", "y", rms_norm_shape, rms_norm_run},
    {"conv", "section 4.4", "T D w", "x weight tail", "y", conv_shape, conv_run},
    {"conv_silu", "section 4.4", "T H dh w", "x weight tail", "y", conv_head_shape, conv_silu_run},
    {"conv_silu_l2", "section 4.4, erratum E14", "T H dh w", "x weight tail", "y", conv_head_shape,
     conv_silu_l2_run},
    {"norm_gate", "section 4.4", "T H dh", "y gain z", "o", norm_gate_shape, norm_gate_run},
    {"gates", "erratum E10", "T H kind", "z theta_max", "alpha theta eta", gates_shape, gates_run},
    {"swiglu", "section 4.4", "T F", "a b", "y", swiglu_shape, swiglu_run},
    {"rope", "section 4.4", "T H dh start", "x", "y", rope_shape, rope_run},
    {"cross_entropy", "language modelling loss", "T V", "logits target", "loss", cross_entropy_shape,
     cross_entropy_run},
    EQUATION_END};
