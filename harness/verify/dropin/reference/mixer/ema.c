/* A toy that the drop-in test adds: exponential moving averages with trained decay, a number of state per column. */
#pragma once
#include "../titans.c"

/* s_t = a s_{t-1} + (1 - a) v_t with v = x W_V, a = sigma(decay) per column, s_0 = 0; o = s W_O: x, o (T x D). */
static void mixer_ema_run(const Call *c) {
    const int64_t T = dim(c, "tokens"), D = dim(c, "width");
    const real *decay = in(c, "decay");
    real *s = R_NEW(T * D);
    project(T, D, D, in(c, "x"), in(c, "wv"), s);
    for (int64_t i = 0; i < T * D; i++) {
        const real a = sigmoid(decay[i % D]);
        s[i] = (R(1.0) - a) * s[i] + (i < D ? R(0.0) : a * s[i - D]);
    }
    project(T, D, D, s, in(c, "wo"), out(c, "o"));
    free(s);
}

static const Dimension mixer_ema_dims[] = {TOKENS, WIDTH, HEADS, DIMENSION_END};
static const Argument mixer_ema_in[] = {MIXER_X,
                                        SQUARE("wv", NULL, "what is averaged"),
                                        {"decay", NULL, "width", NUMBER, "what is kept, before the sigmoid"},
                                        SQUARE("wo", NULL, "output map"),
                                        ARGUMENT_END};
static const Equation mixer_ema_equations[] = {
    {"mixer_ema", "a toy", "s_t = a s_{t-1} + (1 - a) x_t W_V, a = sigma(decay), s_0 = 0; o = s W_O",
     mixer_ema_dims, mixer_ema_in, mixer_out, mixer_ema_run, NULL},
    EQUATION_END};
