/* Mamba-2 as a whole layer (Dao, Gu 2405.21060): key_heads groups of heads share B and C, which have key_width numbers. */
#pragma once
#include "../delta_layer.h"

static int64_t bias_rows(const Call *c) { return dim(c, "bias"); }

/* A map and its convolution with biases: silu(conv(x W + b) + bias), (T x n), to be freed. `name` is x, b or c. */
static real *mamba2_input(const Call *c, const char *name, int64_t n) {
    int64_t T = dim(c, "tokens");
    real *u = projected(c, joined("w", name), n), *y = R_NEW(T * n);
    const real *bias = in(c, joined("b_", name));
    for (int64_t i = 0; dim(c, "bias") && i < T * n; i++) u[i] = u[i] + bias[i % n];
    const real *weight = in(c, joined("conv_", name)), *after = in(c, joined("bias_", name)),
               *tail = in_if(c, joined("tail_", name));
    short_conv(T, n, dim(c, "taps"), u, weight, after, tail, y, out_if(c, joined("next_", name)));
    free(u);
    return y;
}

/* The gate comes before the norm, whose groups are those of the heads: y, z (T x H P), in place. */
static void mamba2_gate(const Call *c, real *y, const real *z) {
    int64_t n = all_values(c), T = dim(c, "tokens"), groups = dim(c, "key_heads");
    for (int64_t i = 0; i < T * n; i++) y[i] = y[i] * silu(z[i]);
    group_norm(T * groups, n / groups, 0, in(c, "eps")[0], y, y);
    for (int64_t i = 0; i < T * n; i++) y[i] = y[i] * in(c, "gain")[i % n];
}

static void mamba2_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), G = dim(c, "key_heads"), N = head_keys(c),
            P = head_values(c);
    const real least = R(0), most = R(INFINITY), *dt_min = in_if(c, "dt_min"), *dt_max = in_if(c, "dt_max");
    real *x = mamba2_input(c, "x", H * P), *B = mamba2_input(c, "b", G * N), *C = mamba2_input(c, "c", G * N),
         *z = projected(c, "wz", H * P), *dt = projected_exact(c, "wdt", H), *A = R_NEW(H),
         *y = R_NEW(T * H * P), *S = state_begin(c, H * P * N);
    for (int64_t i = 0; dim(c, "bias") && i < T * H * P; i++) z[i] = z[i] + in(c, "b_z")[i % (H * P)];
    for (int64_t i = 0; dim(c, "bias") && i < T * H; i++) dt[i] = dt[i] + in(c, "b_dt")[i % H];
    for (int64_t h = 0; h < H; h++) A[h] = -exp(in(c, "a_log")[h]);
    StateSpace s = {T,
                    H,
                    P,
                    G,
                    N,
                    1,
                    x,
                    dt,
                    A,
                    B,
                    C,
                    in(c, "skip"),
                    in(c, "dt_bias"),
                    dt_min ? dt_min : &least,
                    dt_max ? dt_max : &most};
    state_space(&s, S, y);
    mamba2_gate(c, y, z);
    layer_output(c, y);
    for (int64_t i = 0; dim(c, "bias") && i < T * dim(c, "width"); i++)
        out(c, "o")[i] = out(c, "o")[i] + in(c, "b_o")[i % dim(c, "width")];
    state_end(c, H * P * N, S);
    free(x);
    free(B);
    free(C);
    free(z);
    free(dt);
    free(A);
}

#define MAP_BIAS(name, columns)                                                                              \
    { name, NULL, "bias_rows " columns, NUMBER, "added to that map" }
#define MAMBA2_PARAMETERS                                                                                    \
    LAYER_X, WEIGHT("wz", "all_values", "output gate"), WEIGHT("wx", "all_values", "values"),                \
        WEIGHT("wb", "all_keys", "keys B"), WEIGHT("wc", "all_keys", "queries C"),                           \
        WEIGHT("wdt", "heads", "steps"), MAP_BIAS("b_z", "all_values"), MAP_BIAS("b_x", "all_values"),       \
        MAP_BIAS("b_b", "all_keys"), MAP_BIAS("b_c", "all_keys"), MAP_BIAS("b_dt", "heads"),                 \
        SHORT_FILTER("conv_x", "all_values"), SHORT_FILTER("conv_b", "all_keys"),                            \
        SHORT_FILTER("conv_c", "all_keys"), {"bias_x", NULL, "all_values", NUMBER, "after the convolution"}, \
        {"bias_b", NULL, "all_keys", NUMBER, "after the convolution"},                                       \
        {"bias_c", NULL, "all_keys", NUMBER, "after the convolution"},                                       \
        {"a_log", NULL, "heads", NUMBER, "logarithm of the rate of decay"},                                  \
        {"dt_bias", NULL, "heads", NUMBER, "added to the steps"},                                            \
        {"skip", NULL, "heads", NUMBER, "D, how much of x is added"},                                        \
        {"gain", NULL, "all_values", GAIN, "of the output's norm"}, LAYER_WO, MAP_BIAS("b_o", "width"),      \
        LAYER_EPS

static const Dimension mixer_mamba2_dims[] = {DELTA_SIZES,
                                              {"key_heads", NULL, 1, SIZE_MOST, 1, NULL,
                                               "groups of heads that share B and C, and of the output's norm",
                                               NULL},
                                              SIZE("taps", NULL, "taps of the short convolutions"),
                                              SWITCH("bias", NULL, 0, "the maps have biases"),
                                              DERIVED("bias_rows", NULL, bias_rows, "1 with biases, else 0"),
                                              DIMENSION_END};
static const Argument mixer_mamba2_in[] = {MAMBA2_PARAMETERS, ARGUMENT_END};
static const Argument mamba2_layer_in[] = {MAMBA2_PARAMETERS,
                                           STEP_LIMITS,
                                           SHORT_TAIL("tail_x", "all_values"),
                                           SHORT_TAIL("tail_b", "all_keys"),
                                           SHORT_TAIL("tail_c", "all_keys"),
                                           STATE0_OF("heads head_values head_keys"),
                                           ARGUMENT_END};
static const Argument mamba2_layer_out[] = {LAYER_O,
                                            SHORT_NEXT("next_x", "all_values"),
                                            SHORT_NEXT("next_b", "all_keys"),
                                            SHORT_NEXT("next_c", "all_keys"),
                                            STATE_OF("heads head_values head_keys"),
                                            ARGUMENT_END};
#define MAMBA2_FORMULA                                                                                       \
    "X, B, C = silu(conv(x W) + bias); dt = softplus(x W_dt + dt_bias), A = -exp(a_log);\n"                  \
    "S = exp(dt A) S + dt X B', Y = S C + skip X; o = (norm(Y silu(x W_z)) gain) W_O, norm per group of "    \
    "heads"
static const Equation mixer_mamba2_equations[] = {
    {"mixer_mamba2", "Dao, Gu 2405.21060", MAMBA2_FORMULA, mixer_mamba2_dims, mixer_mamba2_in, layer_out,
     mamba2_layer_run, NULL},
    {"mamba2_layer", "the same with states, dt within its limits", MAMBA2_FORMULA, mixer_mamba2_dims,
     mamba2_layer_in, mamba2_layer_out, mamba2_layer_run, NULL},
    EQUATION_END};
