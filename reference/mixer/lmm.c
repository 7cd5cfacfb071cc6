/* LMM: the neural long-term memory alone as the sequence mixer (section 4, eqs 11-18). */
#pragma once
#include "../titans.c"

/* (29) x~ = [p_1 .. p_Np] || x; o = norm_gate(M(x~), gain, x~ W_z) W_O, the last T rows of it: x, o (T x D).
 */
static void mixer_lmm_run(const int64_t *dims, const void *const *in, void *const *out) {
    Mixing m = mixing_at(dims);
    int64_t Np = m.persistent, n = Np + m.T;
    real *x = R_NEW(n * m.D), *o = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, IN(1), IN(0), x);
    memory_layer(&m, n, x, in + 2, IN(14), o);
    real_copy(m.T * m.D, o + Np * m.D, OUT(0));
    free(x);
    free(o);
}

static void mixer_lmm_shape(const int64_t *dims, int64_t *in, int64_t *out) {
    Mixing m = mixing_at(dims);
    in[0] = out[0] = m.T * m.D;
    in[1] = m.persistent * m.D;
    memory_sizes(&m, in + 2);
    in[11] = m.D;
    in[12] = in[13] = m.D * m.D;
    in[14] = 1;
}

static const Equation mixer_lmm_equations[] = {{"mixer_lmm", "section 4, eqs 11-19, errata E10 E11 E12",
                                                MIXER_DIMS, "x P_tok " MEMORY_PARAMS " gain W_z Wo theta_max",
                                                "o", mixer_lmm_shape, mixer_lmm_run},
                                               EQUATION_END};
