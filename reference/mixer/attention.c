/* Causal multi-head attention with rotary positions as a whole sequence mixer (eqs 1-2). */
#pragma once
#include "../titans.c"

/* o = [attention(rope(x W_Q), rope(x W_K), x W_V) of every head] W_O: x, o (T x D), W (D x D). */
static void mixer_attention_run(const int64_t *dims, const void *const *in, void *const *out) {
    Mixing m = mixing_at(dims);
    real *y = R_NEW(m.T * m.D);
    attention_branch(&m, m.T, 0, 0, IN(0), in + 1, y);
    project(m.T, m.D, m.D, y, IN(4), OUT(0));
    free(y);
}

static void mixer_attention_shape(const int64_t *dims, int64_t *in, int64_t *out) {
    in[0] = out[0] = dims[0] * dims[1];
    sizes_fill(4, dims[1] * dims[1], in + 1);
}

static const Equation mixer_attention_equations[] = {{"mixer_attention", "eqs 1-2, rotary positions",
                                                      MIXER_DIMS, "x Wq Wk Wv Wo", "o", mixer_attention_shape,
                                                      mixer_attention_run},
                                                     EQUATION_END};
