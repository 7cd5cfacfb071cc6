/* Section 4.4: the layers around attention and memory. Tokens are rows; W is [in][out], y = x W. */
#pragma once
#include "bf16.h"

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

/* softplus(x) = log(1 + exp(x)); above 20 it is x, as the packages compute it (2e-9 apart there). */
static real softplus(real x) { return RE(x) > 20 ? x : log(1 + exp(x)); }

/* log sigma(x), for either sign. */
static real log_sigmoid(real x) { return RE(x) < 0 ? x - log(1 + exp(x)) : -log(1 + exp(-x)); }

/* elu(x) + 1, positive. */
static real elu_one(real x) { return RE(x) > 0 ? x + 1 : exp(x); }

/* max(x, 0) */
static real relu(real x) { return RE(x) > 0 ? x : R(0); }

/* y = x W: x (T x n), W (n x m), y (T x m). This one whatever the model's precision: of gates, decays, rates and steps,
 * and inside of memories. */
typedef void (*Projection)(int64_t T, int64_t n, int64_t m, const real *x, const real *W, real *y);
static void project_exact(int64_t T, int64_t n, int64_t m, const real *x, const real *W, real *y) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t j = 0; j < m; j++) {
            real sum = 0;
            for (int64_t i = 0; i < n; i++) sum += x[t * n + i] * W[i * m + j];
            y[t * m + j] = sum;
        }
}

/* The same of x and W rounded to bf16 (bf16.c). */
static void project_bf16(int64_t T, int64_t n, int64_t m, const real *x, const real *W, real *y) {
    real *left = R_NEW(T * n), *right = R_NEW(n * m);
    for (int64_t i = 0; i < T * n; i++) left[i] = real_bf16(x[i]);
    for (int64_t i = 0; i < n * m; i++) right[i] = real_bf16(W[i]);
    project_exact(T, n, m, left, right, y);
    free(left);
    free(right);
}

/* The linear map of eqs 1 and 11 and of all layers: the dimension precision of the model that runs says which. */
static __thread int64_t project_precision;

static void project(int64_t T, int64_t n, int64_t m, const real *x, const real *W, real *y) {
    (project_precision ? project_bf16 : project_exact)(T, n, m, x, W, y);
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

/* E20: y = (x - mean x) / deviation, deviation = sqrt(mean (x - mean x)^2 + eps); no gain, no bias.
 * x, y (d); returns the deviation. */
static real layer_norm(int64_t d, real eps, const real *x, real *y) {
    real sum = 0, squares = 0;
    for (int64_t i = 0; i < d; i++) sum += x[i];
    for (int64_t i = 0; i < d; i++) y[i] = x[i] - sum / (real)d;
    for (int64_t i = 0; i < d; i++) squares += y[i] * y[i];
    real deviation = sqrt(squares / (real)d + eps);
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

/* The convolution of the recurrent relatives: y = silu(conv(x) + bias), bias (D) or NULL. tail (w x D): the rows before x,
 * oldest first, of which the first is not read (the packages keep it); NULL: zeros. next (w x D) or NULL: the tail of what
 * follows. x, y (T x D), weight (w x D). */
static void short_conv(int64_t T, int64_t D, int64_t w, const real *x, const real *weight, const real *bias,
                       const real *tail, real *y, real *next) {
    real *rows = R_NEW((w + T) * D);
    if (tail) real_copy(w * D, tail, rows);
    real_copy(T * D, x, rows + w * D);
    conv(T, D, w, x, weight, rows + D, y);
    for (int64_t i = 0; i < T * D; i++) y[i] = silu(bias ? y[i] + bias[i % D] : y[i]);
    if (next) real_copy(w * D, rows + T * D, next);
    free(rows);
}

/* Every group of n numbers by itself: y = x / sqrt(mean x^2 + eps), or with `centred` of x - mean x (a group norm).
 * x, y (rows x n). */
static void group_norm(int64_t rows, int64_t n, int64_t centred, real eps, const real *x, real *y) {
    for (int64_t r = 0; r < rows; r++) {
        real mean = 0, squares = 0;
        for (int64_t i = 0; i < n && centred; i++) mean += x[r * n + i] / (real)n;
        for (int64_t i = 0; i < n; i++) y[r * n + i] = x[r * n + i] - mean;
        for (int64_t i = 0; i < n; i++) squares += y[r * n + i] * y[r * n + i];
        real root = sqrt(squares / (real)n + eps);
        for (int64_t i = 0; i < n; i++) y[r * n + i] = y[r * n + i] / root;
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

/* Rotary positions: channels (i, i + dh/2), i < dh/2, of every head turn by the angle (start + t) frequency_i, whose sine
 * and cosine, times `length`, are double constants: x, y (T x H x dh), frequency (dh/2). */
static void rope_turn(int64_t T, int64_t H, int64_t dh, int64_t start, const double *frequency, double length,
                      const real *x, real *y) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < dh / 2; i++) {
            double angle = (double)(start + t) * frequency[i];
            real c = R(length * cos(angle)), s = R(length * sin(angle));
            for (int64_t h = 0; h < H; h++) {
                int64_t at = (t * H + h) * dh + i;
                real first = x[at], second = x[at + dh / 2];
                y[at] = first * c - second * s;
                y[at + dh / 2] = second * c + first * s;
            }
        }
}

/* frequency_i = base^(-2i/dh), to be given to free(). */
static double *rope_frequencies(int64_t dh, double base) {
    double *frequency = (double *)calloc(dh > 1 ? (size_t)dh / 2 : 1, sizeof(double));
    if (!frequency) abort();
    for (int64_t i = 0; i < dh / 2; i++) frequency[i] = pow(base, -2.0 * (double)i / (double)dh);
    return frequency;
}

/* The same with frequency_i = base^(-2i/dh). */
static void rope_of_base(int64_t T, int64_t H, int64_t dh, int64_t start, double base, const real *x,
                         real *y) {
    double *frequency = rope_frequencies(dh, base);
    rope_turn(T, H, dh, start, frequency, 1.0, x, y);
    free(frequency);
}

/* The same with base 10000. */
static void rope(int64_t T, int64_t H, int64_t dh, int64_t start, const real *x, real *y) {
    rope_of_base(T, H, dh, start, 10000.0, x, y);
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

/* conv's formula and tail */
#define CONV_FORMULA                                                                                         \
    "conv(x)_t = sum_{j<taps} weight_j x_{t-(taps-1)+j},\n"                                                  \
    "every column by itself; rows before x are those of tail"

static int64_t tail_rows(const Call *c) { return dim(c, "taps") > 0 ? dim(c, "taps") - 1 : 0; }
#define TAPS SIZE("taps", "w", "taps of the convolution, the current token's included")
#define TAIL_ROWS DERIVED("tail_rows", NULL, tail_rows, "taps - 1")

static const Argument y_out[] = {{"y", NULL, "tokens width", NUMBER, "rows"}, ARGUMENT_END};
static const Argument y_heads_out[] = {{"y", NULL, "tokens heads head_width", NUMBER, "rows"}, ARGUMENT_END};

static void silu_run(const Call *c) {
    for (int64_t i = 0; i < dim(c, "n"); i++) out(c, "y")[i] = silu(in(c, "x")[i]);
}
static const Dimension silu_dims[] = {SIZE("n", NULL, "numbers"), DIMENSION_END};
static const Argument silu_in[] = {{"x", NULL, "n", NUMBER, "numbers"}, ARGUMENT_END};
static const Argument silu_out[] = {{"y", NULL, "n", NUMBER, "silu of each"}, ARGUMENT_END};

static const Dimension norm_dims[] = {TOKENS, SIZE("width", "d", "numbers in a row"), DIMENSION_END};
static void l2_norm_run(const Call *c) {
    l2_norm(dim(c, "tokens"), dim(c, "width"), in(c, "x"), out(c, "y"));
}
static const Argument x_in[] = {{"x", NULL, "tokens width", NUMBER, "rows"}, ARGUMENT_END};

static void rms_norm_run(const Call *c) {
    rms_norm(dim(c, "tokens"), dim(c, "width"), in(c, "x"), in(c, "gain"), out(c, "y"));
}
static const Argument rms_norm_in[] = {{"x", NULL, "tokens width", NUMBER, "rows"},
                                       {"gain", NULL, "width", GAIN, "factor of every column"},
                                       ARGUMENT_END};

static void conv_run(const Call *c) {
    conv(dim(c, "tokens"), dim(c, "width"), dim(c, "taps"), in(c, "x"), in(c, "weight"), in(c, "tail"),
         out(c, "y"));
}
static const Dimension conv_dims[] = {TOKENS, WIDTH, TAPS, TAIL_ROWS, DIMENSION_END};
static const Argument conv_in[] = {
    {"x", NULL, "tokens width", NUMBER, "rows"},
    {"weight", NULL, "taps width", NUMBER, "row 0 the oldest tap, the last row that of the current token"},
    {"tail", NULL, "tail_rows width", NUMBER, "the rows before x, oldest first"},
    ARGUMENT_END};

static void conv_silu_run(const Call *c) {
    conv_silu(dim(c, "tokens"), dim(c, "heads") * dim(c, "head_width"), dim(c, "taps"), in(c, "x"),
              in(c, "weight"), in(c, "tail"), out(c, "y"));
}
static void conv_silu_l2_run(const Call *c) {
    conv_silu_l2(dim(c, "tokens"), dim(c, "heads"), dim(c, "head_width"), dim(c, "taps"), in(c, "x"),
                 in(c, "weight"), in(c, "tail"), out(c, "y"));
}
static const Dimension conv_head_dims[] = {TOKENS, HEADS, HEAD_WIDTH, TAPS, TAIL_ROWS, DIMENSION_END};
static const Argument conv_head_in[] = {
    {"x", NULL, "tokens heads head_width", NUMBER, "rows"},
    {"weight", NULL, "taps heads head_width", NUMBER,
     "row 0 the oldest tap, the last row that of the current token"},
    {"tail", NULL, "tail_rows heads head_width", NUMBER, "the rows before x, oldest first"},
    ARGUMENT_END};

static void norm_gate_run(const Call *c) {
    norm_gate(dim(c, "tokens"), dim(c, "heads"), dim(c, "head_width"), in(c, "y"), in(c, "gain"), in(c, "z"),
              out(c, "o"));
}
static const Dimension head_dims[] = {TOKENS, HEADS, HEAD_WIDTH, DIMENSION_END};
static const Argument norm_gate_in[] = {
    {"y", NULL, "tokens heads head_width", NUMBER, "what is normed"},
    {"gain", NULL, "heads head_width", GAIN, "factor of every column"},
    {"z", NULL, "tokens heads head_width", NUMBER, "the gate before silu"},
    ARGUMENT_END};
static const Argument o_heads_out[] = {{"o", NULL, "tokens heads head_width", NUMBER, "rows"}, ARGUMENT_END};

static void gates_run(const Call *c) {
    int64_t H = dim(c, "heads");
    gates(dim(c, "tokens"), H, H, H, dim(c, "gate"), in(c, "z"), in(c, "theta_max"), out(c, "alpha"),
          out(c, "theta"), out(c, "eta"));
}
#define GATE CHOICE("gate", "kind", "sigmoid hard", "of alpha and theta; eta is always a sigmoid")
static const Dimension gates_dims[] = {TOKENS, HEADS, GATE, DIMENSION_END};
static const Argument gates_in[] = {
    {"z", NULL, "tokens 3 heads", NUMBER, "z_alpha of all heads, then z_theta, then z_eta"},
    {"theta_max", NULL, "1", LIMIT, "largest theta"},
    ARGUMENT_END};
static const Argument gates_out[] = {{"alpha", NULL, "tokens heads", DECAY, "what is forgotten"},
                                     {"theta", NULL, "tokens heads", STEP, "the step"},
                                     {"eta", NULL, "tokens heads", CARRY, "what is kept of the momentum"},
                                     ARGUMENT_END};

static real real_tanh(real x) { return tanh(x); }
static real real_exp(real x) { return exp(x); }

static void elementwise_run(const Call *c) {
    static real (*const functions[])(real) = {sigmoid,  silu,        gelu, real_tanh, real_exp,
                                              softplus, log_sigmoid, relu, elu_one};
    for (int64_t i = 0; i < dim(c, "n"); i++) out(c, "y")[i] = functions[dim(c, "function")](in(c, "x")[i]);
}
static const Dimension elementwise_dims[] = {
    SIZE("n", NULL, "numbers"),
    {"function", NULL, 0, 8, 0, "sigmoid silu gelu tanh exp softplus log_sigmoid relu elu1", "f", NULL},
    DIMENSION_END};
static const Argument elementwise_out[] = {{"y", NULL, "n", NUMBER, "f of each"}, ARGUMENT_END};

static void repeated_product_run(const Call *c) {
    int64_t n = dim(c, "tokens") * dim(c, "width"), period = dim(c, "repeat");
    for (int64_t i = 0; i < n; i++) out(c, "y")[i] = in(c, "x")[i] * in(c, "b")[period ? i % period : i];
}
static int64_t product_numbers(const Call *c) {
    return dim(c, "repeat") ? dim(c, "repeat") : dim(c, "tokens") * dim(c, "width");
}
static const Dimension repeated_product_dims[] = {
    TOKENS, SIZE("width", NULL, "numbers in a row"),
    COUNT("repeat", NULL,
          "numbers of b that are used again and again, a divisor of width; 0: b is as large as x"),
    DERIVED("factors", NULL, product_numbers, "numbers of b"), DIMENSION_END};
static const Argument repeated_product_in[] = {
    {"x", NULL, "tokens width", NUMBER, "rows"}, {"b", NULL, "factors", NUMBER, "factors"}, ARGUMENT_END};

/* The norms of the relatives: one gain for all heads, the mean taken off or not, the gate a silu, a sigmoid or none. */
static void head_norm_run(const Call *c) {
    int64_t rows = dim(c, "tokens") * dim(c, "heads"), n = dim(c, "head_width"), gate = dim(c, "gate");
    real *o = out(c, "o");
    group_norm(rows, n, dim(c, "centred"), in(c, "eps")[0], in(c, "y"), o);
    for (int64_t i = 0; i < rows * n; i++) {
        real z = in(c, "z")[i];
        o[i] = o[i] * in(c, "gain")[i % n] * (gate == 0 ? R(1) : gate == 1 ? silu(z) : sigmoid(z));
    }
}
static const Dimension head_norm_dims[] = {
    TOKENS,
    HEADS,
    HEAD_WIDTH,
    SWITCH("centred", NULL, 0, "each head's mean is taken off first"),
    {"gate", NULL, 0, 2, 0, "none silu sigmoid", "what z goes through", NULL},
    DIMENSION_END};
static const Argument head_norm_in[] = {
    {"y", NULL, "tokens heads head_width", NUMBER, "what is normed"},
    {"gain", NULL, "head_width", GAIN, "factor of every column, for all heads"},
    {"z", NULL, "tokens heads head_width", NUMBER, "the gate"},
    {"eps", NULL, "1", LIMIT, "added to the mean square"},
    ARGUMENT_END};

static void short_conv_run(const Call *c) {
    short_conv(dim(c, "tokens"), dim(c, "width"), dim(c, "taps"), in(c, "x"), in(c, "weight"), in(c, "bias"),
               NULL, out(c, "y"), NULL);
}
static const Dimension short_conv_dims[] = {TOKENS, WIDTH, TAPS, DIMENSION_END};
static const Argument short_conv_in[] = {
    {"x", NULL, "tokens width", NUMBER, "rows"},
    {"weight", NULL, "taps width", NUMBER, "the last row that of the current token"},
    {"bias", NULL, "width", NUMBER, "added before silu"},
    ARGUMENT_END};

static void swiglu_run(const Call *c) {
    swiglu(dim(c, "tokens"), dim(c, "ffn"), in(c, "a"), in(c, "b"), out(c, "y"));
}
static const Dimension swiglu_dims[] = {TOKENS, SIZE("ffn", "F", "numbers in a row"), DIMENSION_END};
static const Argument swiglu_in[] = {{"a", NULL, "tokens ffn", NUMBER, "goes through silu"},
                                     {"b", NULL, "tokens ffn", NUMBER, "its factor"},
                                     ARGUMENT_END};
static const Argument swiglu_out[] = {{"y", NULL, "tokens ffn", NUMBER, "silu(a) b"}, ARGUMENT_END};

static void rope_run(const Call *c) {
    rope(dim(c, "tokens"), dim(c, "heads"), dim(c, "head_width"), dim(c, "start"), in(c, "x"), out(c, "y"));
}
static const Dimension rope_dims[] = {TOKENS, HEADS, SIZE("head_width", "dh", "numbers of one head, even"),
                                      COUNT("start", NULL, "position of the first row"), DIMENSION_END};
static const Argument x_heads_in[] = {{"x", NULL, "tokens heads head_width", NUMBER, "rows"}, ARGUMENT_END};

static void cross_entropy_run(const Call *c) {
    out(c, "loss")[0] = cross_entropy(dim(c, "tokens"), dim(c, "vocab"), in(c, "logits"), in(c, "target"));
}
static const Dimension cross_entropy_dims[] = {TOKENS, CLASSES, DIMENSION_END};
static const Argument cross_entropy_in[] = {
    {"logits", NULL, "tokens vocab", NUMBER, "scores of every class"},
    {"target", NULL, "tokens", TARGET, "the right class of every row"},
    ARGUMENT_END};
static const Argument loss_out[] = {{"loss", NULL, "1", NUMBER, "mean over targets that count"},
                                    ARGUMENT_END};

static const Equation layers_equations[] = {
    {"silu", "section 4.4", "y = x sigma(x), sigma(x) = 1 / (1 + exp(-x))", silu_dims, silu_in, silu_out,
     silu_run, NULL},
    {"l2_norm", "section 4.4, erratum E14", "y = x / sqrt(sum_i x_i^2 + 1e-6), every row by itself",
     norm_dims, x_in, y_out, l2_norm_run, NULL},
    {"rms_norm", "section 4.4", "y = gain x / sqrt(sum_i x_i^2 / width + 1e-6), every row by itself",
     norm_dims, rms_norm_in, y_out, rms_norm_run, NULL},
    {"conv", "section 4.4",
     "y_t = sum_{j<taps} weight_j x_{t-(taps-1)+j}, every column by itself; rows before x are those of tail",
     conv_dims, conv_in, y_out, conv_run, NULL},
    {"conv_silu", "section 4.4", "y = silu(conv(x)): " CONV_FORMULA, conv_head_dims, conv_head_in,
     y_heads_out, conv_silu_run, NULL},
    {"conv_silu_l2", "section 4.4, erratum E14",
     "y = l2_norm(silu(conv(x))), the norm over each head's head_width numbers: " CONV_FORMULA,
     conv_head_dims, conv_head_in, y_heads_out, conv_silu_l2_run, NULL},
    {"norm_gate", "section 4.4",
     "o = gain y / sqrt(sum_i y_i^2 / head_width + 1e-6) silu(z), the sum over each head's numbers",
     head_dims, norm_gate_in, o_heads_out, norm_gate_run, NULL},
    {"elementwise", "the relatives' gates",
     "y = f(x): sigmoid, silu, gelu (tanh form), tanh, exp, softplus = log(1 + exp(x)) (above 20: x),\n"
     "log_sigmoid = log sigma(x), relu, elu1 = elu(x) + 1",
     elementwise_dims, silu_in, elementwise_out, elementwise_run, NULL},
    {"repeated_product", "the relatives' gates",
     "y = x b, number by number; the numbers of b again and again", repeated_product_dims,
     repeated_product_in, y_out, repeated_product_run, NULL},
    {"head_norm", "the relatives' output norm",
     "o = gain (y - mean) / sqrt(variance + eps) gate(z) per head; not centred: mean 0 and the mean square",
     head_norm_dims, head_norm_in, o_heads_out, head_norm_run, NULL},
    {"short_conv", "the relatives' convolution", "y = silu(conv(x) + bias): " CONV_FORMULA " (zeros)",
     short_conv_dims, short_conv_in, y_out, short_conv_run, NULL},
    {"gates", "erratum E10",
     "alpha = g(z_alpha), theta = theta_max g(z_theta), eta = sigma(z_eta);\n"
     "g = sigma, or hard: g = min(max(1.2 sigma - 0.1, 0), 1)",
     gates_dims, gates_in, gates_out, gates_run, NULL},
    {"swiglu", "section 4.4", "y = silu(a) b, number by number", swiglu_dims, swiglu_in, swiglu_out,
     swiglu_run, NULL},
    {"rope", "section 4.4",
     "y_i = x_i cos w - x_j sin w, y_j = x_j cos w + x_i sin w, j = i + head_width / 2, w = (start + t) "
     "10000^(-2i / head_width)",
     rope_dims, x_heads_in, y_heads_out, rope_run, NULL},
    {"cross_entropy", "language modelling loss",
     "loss = mean over rows with target >= 0 of log(sum_j exp(logit_j)) - logit_target; 0 without such rows",
     cross_entropy_dims, cross_entropy_in, loss_out, cross_entropy_run, NULL},
    EQUATION_END};
