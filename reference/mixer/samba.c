/* Samba (Ren et al. 2024): Mamba, then sliding-window attention without persistent tokens, each a block of its own whose
 * second half is an MLP. */
#pragma once
#include "mamba.c"
#include "swa.c"

/* As rms_norm, with an eps that is given. */
static void samba_norm(const Call *c, const real *x, const real *gain, real *y) {
    const int64_t T = dim(c, "tokens"), D = dim(c, "width");
    group_norm(T, D, 0, in(c, "eps")[0], x, y);
    for (int64_t i = 0; i < T * D; i++) y[i] = y[i] * gain[i % D];
}

/* x += (silu(x' W_1) (x' W_3)) W_2, x' = rms(x): x (T x D), W_1, W_3 (D x F), W_2 (F x D). */
static void samba_mlp(const Call *c, const char *branch, real *x) {
    const int64_t T = dim(c, "tokens"), D = dim(c, "width"), F = dim(c, "ffn");
    real *normed = R_NEW(2 * T * D), *o = normed + T * D, *a = R_NEW(2 * T * F), *b = a + T * F;
    samba_norm(c, x, param(c, branch, "gain"), normed);
    project(T, D, F, normed, param(c, branch, "w1"), a);
    project(T, D, F, normed, param(c, branch, "w3"), b);
    swiglu(T, F, a, b, a);
    project(T, F, D, a, param(c, branch, "w2"), o);
    for (int64_t i = 0; i < T * D; i++) x[i] = x[i] + o[i];
    free(normed);
    free(a);
}

/* One group of four layers, each with its residual: o (T x D) in place of x. */
static void samba_layer_run(const Call *c) {
    const int64_t n = dim(c, "tokens") * dim(c, "width");
    real *x = out(c, "o"), *normed = R_NEW(2 * n), *o = normed + n;
    real_copy(n, in(c, "x"), x);
    samba_norm(c, x, in(c, "mamba.gain"), normed);
    mamba_whole(c, "mamba.", normed, o);
    for (int64_t i = 0; i < n; i++) x[i] = x[i] + o[i];
    samba_mlp(c, "mlp.", x);
    samba_norm(c, x, in(c, "attention.gain"), normed);
    swa_layer(c, "attention.", normed, o);
    for (int64_t i = 0; i < n; i++) x[i] = x[i] + o[i];
    samba_mlp(c, "mlp2.", x);
    free(normed);
}

static const Dimension mixer_samba_dims[] = {ROTARY_SIZES, MAMBA_OPTIONS, WINDOW, DIMENSION_END};
#define SAMBA_GAIN(branch)                                                                                   \
    { branch "gain", NULL, "width", GAIN, "of the norm before" }
#define SAMBA_MLP(branch)                                                                                    \
    SAMBA_GAIN(branch), {branch "w1", NULL, "width ffn", NUMBER, "goes through silu"},                       \
        {branch "w3", NULL, "width ffn", NUMBER, "its factor"}, {                                            \
        branch "w2", NULL, "ffn width", NUMBER, "output map"                                                 \
    }
static const Dimension samba_layer_dims[] = {
    TOKENS,          WIDTH,         SIZE("ffn", "F", "hidden width of the MLPs"),
    SWA_LAYER_SIZES, MAMBA_OPTIONS, MAMBA_SELECTED,
    DIMENSION_END};
static const Argument samba_layer_in[] = {MIXER_X,
                                          SAMBA_GAIN("mamba."),
                                          MAMBA_PARAMETERS("mamba."),
                                          MAMBA_BIASES("mamba."),
                                          SAMBA_MLP("mlp."),
                                          SAMBA_GAIN("attention."),
                                          SWA_LAYER_PARAMETERS("attention."),
                                          SAMBA_MLP("mlp2."),
                                          ROPE_BASE,
                                          {"eps", NULL, "1", LIMIT, "added to the mean square in norms"},
                                          ARGUMENT_END};
static const Equation mixer_samba_equations[] = {
    {"mixer_samba", "Ren et al. 2024",
     "two blocks of a model in turn: mixer_mamba, then mixer_swa without persistent tokens", mixer_samba_dims,
     NULL, NULL, NULL, "mixer_mamba mixer_swa:persistent=0"},
    {"samba_layer", "Ren et al. 2024, figure 1",
     "x += mamba_layer(rms(x)), x += mlp(rms(x)), x += swa_layer(rms(x)), x += mlp2(rms(x)), every rms with "
     "a gain of its "
     "own;\nmlp(x) = (silu(x W_1) (x W_3)) W_2, rms(x) = gain x / sqrt(sum_i x_i^2 / width + eps)",
     samba_layer_dims, samba_layer_in, mixer_out, samba_layer_run, NULL},
    EQUATION_END};
