/* Eqs 1-2, 19-20, 27, section 4.4 and the gates behind the reference's tensors. */
#include "oracle/oracle.h"
#include "oracle/layers.h"
#include "oracle/places.h"

/* Eq 1. */
static void qkv(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), D = size(call, "width");
    const Quad *x = quads_from(in(call, "x"), T * D);
    quads_to(out(call, "q"), quads_product(x, quads_from(in(call, "wq"), D * D), T, D, D), T * D);
    quads_to(out(call, "k"), quads_product(x, quads_from(in(call, "wk"), D * D), T, D, D), T * D);
    quads_to(out(call, "v"), quads_product(x, quads_from(in(call, "wv"), D * D), T, D, D), T * D);
}

/* The T queries are the last T of S positions. */
static void windowed(const OracleCall *call, int64_t window, int64_t prefix) {
    const int64_t T = size(call, "tokens"), S = size(call, "keys"), dh = size(call, "head_width");
    const Quad *q = quads_from(in(call, "q"), T * dh), *k = quads_from(in(call, "k"), S * dh);
    const Quad *v = quads_from(in(call, "v"), S * dh);
    quads_to(out(call, "y"), attended(q, k, v, window_mask(T, S, S - T, window, prefix), T, S, dh), T * dh);
}

/* Eq 2. */
static void attention(const OracleCall *call) { windowed(call, 0, 0); }

/* Eq 27. */
static void window_attention(const OracleCall *call) {
    windowed(call, size(call, "window"), size(call, "prefix"));
}

/* Eq 19. */
static void persistent_prefix(const OracleCall *call) {
    const int64_t Np = size(call, "persistent"), T = size(call, "tokens"), D = size(call, "width");
    const Quad *joined =
        quads_join(quads_from(in(call, "persistent"), Np * D), Np, quads_from(in(call, "x"), T * D), T, D);
    quads_to(out(call, "prefixed"), joined, (Np + T) * D);
}

/* Eq 20, no scale. W_K and W_V play the part of K and V in attention: their n rows are keys and values. */
static void softmax_ffn(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), n = size(call, "keys"), d = size(call, "key_width"),
                  m = size(call, "value_width");
    const Quad *x = quads_from(in(call, "x"), T * d), *Wk = quads_from(in(call, "wk"), n * d);
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
    quads_to(out(call, "y"), quads_product(a, quads_from(in(call, "wv"), n * m), T, n, m), T * m);
}

/* Eqs 25, 28. */
static void titans_gate(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), H = size(call, "heads"), dh = size(call, "head_width"),
                  D = H * dh;
    const Quad *y = quads_from(in(call, "y"), T * D), *m = quads_from(in(call, "m"), T * D);
    quads_to(
        out(call, "o"),
        titans_gated(y, m, quads_from(in(call, "gain_y"), D), quads_from(in(call, "gain_m"), D), T, H, dh),
        T * D);
}

static void norm_gate(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), H = size(call, "heads"), dh = size(call, "head_width"),
                  D = H * dh;
    const Quad *y = quads_from(in(call, "y"), T * D), *gain = quads_from(in(call, "gain"), D),
               *z = quads_from(in(call, "z"), T * D);
    quads_to(out(call, "o"), norm_gated(y, gain, z, T, H, dh), T * D);
}

static void conv_silu_l2(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), H = size(call, "heads"), dh = size(call, "head_width"),
                  w = size(call, "taps"), D = H * dh;
    const Quad *x = quads_from(in(call, "x"), T * D), *weight = quads_from(in(call, "weight"), w * D);
    Quad *y = convolution(x, weight, quads_from(in(call, "tail"), (w - 1) * D), T, D, w);
    apply_silu(y, T * D);
    apply_l2_norm(y, T * H, dh);
    quads_to(out(call, "y"), y, T * D);
}

static void rope(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), H = size(call, "heads"), dh = size(call, "head_width");
    int64_t *position = scratch(T * (int64_t)sizeof *position);
    for (int64_t t = 0; t < T; t++) position[t] = size(call, "start") + t;
    quads_to(out(call, "y"), rotated(quads_from(in(call, "x"), T * H * dh), position, T, H, dh), T * H * dh);
}

static void rope_scaled(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), H = size(call, "heads"), dh = size(call, "head_width");
    const Places places = places_of(call);
    int64_t *position = scratch(T * (int64_t)sizeof *position);
    for (int64_t t = 0; t < T; t++) position[t] = size(call, "start") + t;
    quads_to(out(call, "y"), placed(&places, quads_from(in(call, "x"), T * H * dh), position, T, H, dh),
             T * H * dh);
}

static void alibi_attention(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), S = size(call, "keys"), H = size(call, "heads"),
                  dh = size(call, "head_width"), prefix = size(call, "prefix");
    const Places places = {.positions = 2};
    const Quad *q = quads_from(in(call, "q"), T * H * dh), *k = quads_from(in(call, "k"), S * H * dh);
    const Quad *v = quads_from(in(call, "v"), S * H * dh);
    const unsigned char *sees = window_mask(T, S, S - T, size(call, "window"), prefix);
    Quad *y = quads(T * H * dh);
    for (int64_t h = 0; h < H; h++)
        head_to(y,
                attended_with(head_of(q, T, H, dh, h), head_of(k, S, H, dh, h), head_of(v, S, H, dh, h), sees,
                              placed_bias(&places, H, h, T, S, S - T, prefix), T, S, dh),
                T, H, dh, h);
    quads_to(out(call, "y"), y, T * H * dh);
}

static void log_scale(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), n = size(call, "heads") * size(call, "head_width");
    const Places places = places_of(call);
    Quad *y = quads_from(in(call, "x"), T * n);
    for (int64_t i = 0; i < T * n; i++) y[i] *= place_sharpness(&places, size(call, "start") + i / n + 1);
    quads_to(out(call, "y"), y, T * n);
}

/* E10: z has the columns z_alpha z_theta z_eta of H heads each. Hard gates leave eta a sigmoid. */
static void gates(const OracleCall *call) {
    const int64_t T = size(call, "tokens"), H = size(call, "heads");
    const int hard = size(call, "gate") == 1;
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++) {
            const double *z = in(call, "z") + t * 3 * H + h;
            out(call, "alpha")[t * H + h] = (double)gate_value(z[0], hard);
            out(call, "theta")[t * H + h] = (double)(in(call, "theta_max")[0] * gate_value(z[H], hard));
            out(call, "eta")[t * H + h] = (double)gate_value(z[2 * H], 0);
        }
}

static const OracleEquation equations[] = {{"qkv", qkv},
                                           {"attention", attention},
                                           {"window_attention", window_attention},
                                           {"persistent_prefix", persistent_prefix},
                                           {"softmax_ffn", softmax_ffn},
                                           {"titans_gate", titans_gate},
                                           {"norm_gate", norm_gate},
                                           {"conv_silu_l2", conv_silu_l2},
                                           {"rope", rope},
                                           {"rope_scaled", rope_scaled},
                                           {"alibi_attention", alibi_attention},
                                           {"log_scale", log_scale},
                                           {"gates", gates},
                                           {0, 0}};
const OracleEquations oracle_equations_layers = {equations};
