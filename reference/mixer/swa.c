/* Sliding-window attention with persistent tokens in front as a whole sequence mixer (eqs 26-27). */
#pragma once
#include "../titans.c"

/* (26) x~ = [p_1 .. p_Np] || x   (27) y = SW-Attn*(x~), the last T rows of it; o = y W_O: x, o (T x D). */
static void mixer_swa_run(const Call *c) {
    Mixing m = mixing_at(c);
    int64_t Np = m.persistent, n = Np + m.T;
    real *x = R_NEW(n * m.D), *y = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, in(c, "persistent"), in(c, "x"), x);
    attention_branch(&m, c, "", n, m.window, Np, x, y);
    project(m.T, m.D, m.D, y + Np * m.D, in(c, "wo"), out(c, "o"));
    free(x);
    free(y);
}

static const Dimension mixer_swa_dims[] = {ROTARY_SIZES, PERSISTENT, WINDOW, DIMENSION_END};
static const Argument mixer_swa_in[] = {MIXER_X, PERSISTENT_TOKENS, ATTENTION_PARAMETERS("", ""),
                                        SQUARE("wo", "Wo", "output map"), ARGUMENT_END};
static const Equation mixer_swa_equations[] = {{"mixer_swa", "eqs 26-27",
                                                "(26) u = [p_1 .. p_Np] || x   (27) o = window_attention of "
                                                "u with rotary positions, prefix = persistent,\n"
                                                "its last rows times W_O",
                                                mixer_swa_dims, mixer_swa_in, mixer_out, mixer_swa_run, NULL},
                                               EQUATION_END};
