/* What the layers around the delta rule share: sizes, inputs through a short convolution, the norm and gate of the
 * output. Heads lie side by side: head h of n numbers begins at h n. */
#pragma once
#include "delta_rule.c"

/* Sizes that are 0 take their default: as many key heads as heads, heads that share the width. */
static int64_t or_share(const Call *c, const char *name) {
    int64_t given = dim_or(c, name, 0), heads = dim(c, "heads");
    return given || !heads ? given : dim(c, "width") / heads;
}
static int64_t head_keys(const Call *c) { return or_share(c, "key_width"); }
static int64_t head_values(const Call *c) { return or_share(c, "value_width"); }
static int64_t heads_of_keys(const Call *c) {
    int64_t given = dim_or(c, "key_heads", 0);
    return given ? given : dim(c, "heads");
}
static int64_t all_keys(const Call *c) { return heads_of_keys(c) * head_keys(c); }
static int64_t all_values(const Call *c) { return dim(c, "heads") * head_values(c); }
static int64_t gate_values(const Call *c) { return dim_or(c, "output_gate", 1) ? all_values(c) : 0; }

#define DELTA_SIZES                                                                                          \
    TOKENS, SIZE("width", "E", "numbers in a row"), HEADS,                                                   \
        COUNT("key_width", NULL, "numbers of a key in one head; 0: width / heads"),                          \
        COUNT("value_width", NULL, "numbers of a value in one head; 0: width / heads"),                      \
        DERIVED("head_keys", NULL, head_keys, "key_width as it is used"),                                    \
        DERIVED("head_values", NULL, head_values, "value_width as it is used"),                              \
        DERIVED("all_keys", NULL, all_keys, "numbers of all key heads"),                                     \
        DERIVED("all_values", NULL, all_values, "numbers of all value heads")
#define SHORT_TAPS(more) COUNT("taps", NULL, "taps of the short convolutions" more)
#define LAYER_X                                                                                              \
    { "x", NULL, "tokens width", NUMBER, "rows" }
#define LAYER_EPS                                                                                            \
    { "eps", NULL, "1", LIMIT, "added to the mean square in the norm of the output", 1e-6 }
#define WEIGHT(name, columns, meaning)                                                                       \
    { name, NULL, "width " columns, NUMBER, meaning }
#define SHORT_FILTER(name, columns)                                                                          \
    { name, NULL, "taps " columns, NUMBER, "its convolution, oldest tap first" }
#define SHORT_TAIL(name, columns)                                                                            \
    { name, NULL, "taps " columns, NUMBER, "rows before the first; the oldest is not read" }
#define SHORT_NEXT(name, columns)                                                                            \
    { name, NULL, "taps " columns, NUMBER, "the last rows, of the next call" }
#define HEAD_GAIN                                                                                            \
    { "gain", NULL, "head_values", GAIN, "of the output's norm, for all heads" }
#define LAYER_WO                                                                                             \
    { "wo", NULL, "all_values width", NUMBER, "output map" }
#define LAYER_O                                                                                              \
    { "o", NULL, "tokens width", NUMBER, "rows" }
#define STATE0_HEADS STATE0_OF("heads head_keys head_values")
#define STATE_HEADS STATE_OF("heads head_keys head_values")

#define QKV_PARAMETERS                                                                                       \
    LAYER_X, WEIGHT("wq", "all_keys", "queries"), WEIGHT("wk", "all_keys", "keys"),                          \
        WEIGHT("wv", "all_values", "values"), SHORT_FILTER("conv_q", "all_keys"),                            \
        SHORT_FILTER("conv_k", "all_keys"), SHORT_FILTER("conv_v", "all_values")
#define QKV_STATES                                                                                           \
    SHORT_TAIL("tail_q", "all_keys"), SHORT_TAIL("tail_k", "all_keys"), SHORT_TAIL("tail_v", "all_values"),  \
        STATE0_HEADS
static const Argument qkv_states_out[] = {LAYER_O,
                                          SHORT_NEXT("next_q", "all_keys"),
                                          SHORT_NEXT("next_k", "all_keys"),
                                          SHORT_NEXT("next_v", "all_values"),
                                          STATE_HEADS,
                                          ARGUMENT_END};
static const Argument layer_out[] = {LAYER_O, ARGUMENT_END};

/* An input or output named "wq" from "w" and "q". */
static const char *joined(const char *first, const char *second) {
    static char name[64];
    snprintf(name, sizeof name, "%s%s", first, second);
    return name;
}

/* x W (T x n) for W (D x n), to be freed; and that of gates and decays. */
static real *mapped(const Call *c, Projection map, const char *weight, int64_t n) {
    int64_t T = dim(c, "tokens");
    real *y = R_NEW(T * n);
    map(T, dim(c, "width"), n, in(c, "x"), in(c, weight), y);
    return y;
}
static real *projected(const Call *c, const char *weight, int64_t n) { return mapped(c, project, weight, n); }
static real *projected_exact(const Call *c, const char *weight, int64_t n) {
    return mapped(c, project_exact, weight, n);
}

/* The same through its short convolution and silu: `name` is q, k or v (T x n), to be freed. Without taps silu remains,
 * unless the layer has that with the convolution only. */
static real *conv_input(const Call *c, const char *name, int64_t n, int silu_stays) {
    int64_t T = dim(c, "tokens"), taps = dim(c, "taps");
    real *u = projected(c, joined("w", name), n), *y = R_NEW(T * n);
    if (!taps) {
        for (int64_t i = 0; i < T * n; i++) y[i] = silu_stays ? silu(u[i]) : u[i];
        free(u);
        return y;
    }
    const real *weight = in(c, joined("conv_", name)), *tail = in_if(c, joined("tail_", name));
    short_conv(T, n, taps, u, weight, NULL, tail, y, out_if(c, joined("next_", name)));
    free(u);
    return y;
}

/* q, k and v of a layer, to be freed with layer_qkv_free. unit: q and k are l2-normed per head, and silu stays without
 * taps. */
typedef struct LayerQkv {
    real *q, *k, *v;
} LayerQkv;

static LayerQkv layer_qkv(const Call *c, int unit) {
    LayerQkv x = {conv_input(c, "q", all_keys(c), unit), conv_input(c, "k", all_keys(c), unit),
                  conv_input(c, "v", all_values(c), unit)};
    int64_t rows = dim(c, "tokens") * heads_of_keys(c);
    if (unit) {
        l2_norm(rows, head_keys(c), x.q, x.q);
        l2_norm(rows, head_keys(c), x.k, x.k);
    }
    return x;
}

static void layer_qkv_free(const LayerQkv *x) {
    free(x->q);
    free(x->k);
    free(x->v);
}

/* x W_1 W_2 + bias through a few columns: W_1 (D x rank), W_2 (rank x n), bias (n) or NULL; (T x n), to be freed. */
static real *low_rank(const Call *c, const char *first, const char *second, const real *bias, int64_t rank,
                      int64_t n) {
    int64_t T = dim(c, "tokens");
    real *narrow = projected_exact(c, first, rank), *y = R_NEW(T * n);
    project_exact(T, rank, n, narrow, in(c, second), y);
    for (int64_t i = 0; i < T * n; i++) y[i] = bias ? y[i] + bias[i % n] : y[i];
    free(narrow);
    return y;
}

/* o = norm(y) gain gate(z) per head, the norm's eps inside the root: y, z (T x H V), gain (V), in place. z NULL: no gate;
 * gate sigmoid or silu. */
static void head_output(const Call *c, real *y, const real *z, int64_t centred, real gate(real)) {
    int64_t V = head_values(c), n = dim(c, "tokens") * all_values(c);
    const real *gain = in_if(c, "gain");
    group_norm(n / V, V, centred, in(c, "eps")[0], y, y);
    for (int64_t i = 0; i < n; i++) {
        if (gain) y[i] = y[i] * gain[i % V];
        if (z) y[i] = y[i] * gate(z[i]);
    }
}

/* o = y W_O: y (T x H V), which is freed. */
static void layer_output(const Call *c, real *y) {
    project(dim(c, "tokens"), all_values(c), dim(c, "width"), y, in(c, "wo"), out(c, "o"));
    free(y);
}

/* The rule with the layer's sizes and states: q, k (T x key heads x K), v, g, rate as DeltaRule says; returns the reads
 * (T x H V), to be freed. */
static real *layer_rule(const Call *c, DeltaRule x) {
    x.T = dim(c, "tokens");
    x.H = dim(c, "heads");
    x.key_heads = heads_of_keys(c);
    x.K = head_keys(c);
    x.V = head_values(c);
    real *S = state_begin(c, x.H * x.K * x.V), *o = R_NEW(x.T * x.H * x.V);
    delta_rule_run(&x, S, o);
    state_end(c, x.H * x.K * x.V, S);
    return o;
}

/* sigma(x W), (T x n), to be freed. */
static real *sigmoid_input(const Call *c, const char *weight, int64_t n) {
    real *y = projected_exact(c, weight, n);
    for (int64_t i = 0; i < dim(c, "tokens") * n; i++) y[i] = sigmoid(y[i]);
    return y;
}
