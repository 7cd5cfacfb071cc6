/* Titans' memory of one linear layer as others write it: the delta rule with momentum and decay inside the layer of
 * Gated DeltaNet. Everything is per head. */
#pragma once
#include "../delta_layer.h"

/* log sigma(x W + bias), (T x H), to be freed. */
static real *log_gate(const Call *c, const char *weight, const char *bias) {
    int64_t H = dim(c, "heads"), n = dim(c, "tokens") * H;
    real *y = projected_exact(c, weight, H);
    for (int64_t i = 0; i < n; i++) y[i] = log_sigmoid(y[i] + in(c, bias)[i % H]);
    return y;
}

/* log_alpha = log sigma(x W_a + b_a), log_mu = log sigma(x W_m + b_m), eta = sigma(x W_e), beta = 1, p = k. */
static void momentum_delta_layer_run(const Call *c) {
    int64_t T = dim(c, "tokens"), H = dim(c, "heads"), K = head_keys(c), V = head_values(c), n = H * K * V;
    LayerQkv x = layer_qkv(c, 1);
    real *eta = sigmoid_input(c, "we", H), *alpha = log_gate(c, "wa", "ba"), *mu = log_gate(c, "wm", "bm"),
         *beta = R_NEW(T * H), *S = R_NEW(n), *M = R_NEW(n), *y = R_NEW(T * H * V);
    for (int64_t i = 0; i < T * H; i++) beta[i] = R(1);
    MomentumRule rule = {T, H, K, V, x.q, x.k, x.k, x.v, alpha, mu, beta, eta, R(1)};
    momentum_delta(&rule, S, M, y);
    real *z = projected(c, "wz", all_values(c));
    head_output(c, y, z, 0, silu);
    layer_output(c, y);
    layer_qkv_free(&x);
    free(eta);
    free(alpha);
    free(mu);
    free(beta);
    free(S);
    free(M);
    free(z);
}

static const Dimension mixer_momentum_delta_dims[] = {DELTA_SIZES, SHORT_TAPS("; 0: none, silu stays"),
                                                      DIMENSION_END};
static const Argument mixer_momentum_delta_in[] = {
    QKV_PARAMETERS,
    WEIGHT("wa", "heads", "what is kept of the memory, before sigmoid"),
    {"ba", NULL, "heads", NUMBER, "added to it"},
    WEIGHT("wm", "heads", "what is kept of the momentum, before sigmoid"),
    {"bm", NULL, "heads", NUMBER, "added to it"},
    WEIGHT("we", "heads", "steps before sigmoid"),
    WEIGHT("wz", "all_values", "output gate"),
    HEAD_GAIN,
    LAYER_WO,
    LAYER_EPS,
    ARGUMENT_END};
static const Equation mixer_momentum_delta_equations[] = {
    {"mixer_momentum_delta", "Titans eqs 13-14, one linear layer, as a delta rule",
     "q, k = l2_norm(silu(conv(x W))), v = silu(conv(x W_v)); alpha = sigma(x W_a + b_a), mu = sigma(x W_m + "
     "b_m),\n"
     "eta = sigma(x W_e); M = mu M + eta k (k S - v)', S = alpha S - M; o = (norm(q S) gain silu(x W_z)) W_O",
     mixer_momentum_delta_dims, mixer_momentum_delta_in, layer_out, momentum_delta_layer_run, NULL},
    EQUATION_END};
