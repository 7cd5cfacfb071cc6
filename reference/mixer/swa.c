/* Sliding-window attention with persistent tokens in front as a whole sequence mixer (eqs 26-27). */
#pragma once
#include "../titans.c"

/* (26) x~ = [p_1 .. p_Np] || x   (27) y = SW-Attn*(x~), the last T rows of it; o = y W_O: x, o (T x D). */
static void mixer_swa_run(const int64_t *dims, const void *const *in, void *const *out) {
    Mixing m = mixing_at(dims);
    int64_t Np = m.persistent, n = Np + m.T;
    real *x = R_NEW(n * m.D), *y = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, IN(1), IN(0), x);
    attention_branch(&m, n, m.window, Np, x, in + 2, y);
    project(m.T, m.D, m.D, y + Np * m.D, IN(5), OUT(0));
    free(x);
    free(y);
}

static void mixer_swa_shape(const int64_t *dims, int64_t *in, int64_t *out) {
    Mixing m = mixing_at(dims);
    in[0] = out[0] = m.T * m.D;
    in[1] = m.persistent * m.D;
    sizes_fill(4, m.D * m.D, in + 2);
}

static const Equation mixer_swa_equations[] = {
    {"mixer_swa", "eqs 26-27", MIXER_DIMS, "x P_tok Wq Wk Wv Wo", "o", mixer_swa_shape, mixer_swa_run},
    EQUATION_END};
