/* LMM: the neural long-term memory alone as the sequence mixer (section 4, eqs 11-18). */
#pragma once
#include "../titans.c"

/* (29) x~ = [p_1 .. p_Np] || x; o = norm_gate(M(x~), gain, x~ W_z) W_O, the last T rows of it: x, o (T x D). */
static void mixer_lmm_run(const Call *c) {
    Mixing m = mixing_at(c);
    int64_t Np = m.persistent, n = Np + m.T;
    real *x = R_NEW(n * m.D), *o = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, in(c, "persistent"), in(c, "x"), x);
    memory_layer(&m, c, "", n, x, in(c, "wo"), o);
    real_copy(m.T * m.D, o + Np * m.D, out(c, "o"));
    free(x);
    free(o);
}

static const Dimension mixer_lmm_dims[] = {MIXER_SIZES, MEMORY_OPTIONS, PERSISTENT, DIMENSION_END};
static const Argument mixer_lmm_in[] = {MIXER_X,
                                        PERSISTENT_TOKENS,
                                        MEMORY_PARAMETERS(""),
                                        COLUMN_GAIN("gain", NULL, "of the reads' norm"),
                                        SQUARE("wz", "W_z", "output gate before silu"),
                                        SQUARE("wo", "Wo", "output map"),
                                        MIXER_LIMIT,
                                        ARGUMENT_END};
static const Equation mixer_lmm_equations[] = {{"mixer_lmm", "section 4, eqs 11-19, errata E10 E11 E12",
                                                "(29) u = [p_1 .. p_Np] || x; o = norm_gate(memory(u), gain, "
                                                "u W_z) W_O, the last rows of it\n" MEMORY_FORMULA,
                                                mixer_lmm_dims, mixer_lmm_in, mixer_out, mixer_lmm_run, NULL},
                                               EQUATION_END};
