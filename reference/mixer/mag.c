/* MAG: memory as a gate (section 4.2, eqs 26-28). */
#pragma once
#include "../titans.c"

/* (26) x~ = [p_1 .. p_Np] || x   (27) y = SW-Attn*(x~)   (28) o = y (x) M(x~), the last T rows, times W_O:
 * x, o (T x D). */
static void mixer_mag_run(const int64_t *dims, const void *const *in, void *const *out) {
    Mixing m = mixing_at(dims);
    int64_t Np = m.persistent, n = Np + m.T, last = Np * m.D;
    real *x = R_NEW(n * m.D), *y = R_NEW(n * m.D), *read = R_NEW(n * m.D), *o = R_NEW(m.T * m.D);
    persistent_prefix(Np, m.T, m.D, IN(1), IN(0), x);
    attention_branch(&m, n, m.window, Np, x, in + 2, y);
    memory_branch(&m, n, x, in + 5, IN(17), read);
    titans_gate(m.T, m.H, m.dh, y + last, read + last, IN(14), IN(15), o);
    project(m.T, m.D, m.D, o, IN(16), OUT(0));
    free(x);
    free(y);
    free(read);
    free(o);
}

static void mixer_mag_shape(const int64_t *dims, int64_t *in, int64_t *out) {
    Mixing m = mixing_at(dims);
    in[0] = out[0] = m.T * m.D;
    in[1] = m.persistent * m.D;
    sizes_fill(3, m.D * m.D, in + 2);
    memory_sizes(&m, in + 5);
    in[14] = in[15] = m.D;
    in[16] = m.D * m.D;
    in[17] = 1;
}

static const Equation mixer_mag_equations[] = {{"mixer_mag", "eqs 26-28, erratum E13", MIXER_DIMS,
                                                "x P_tok Wq_a Wk_a Wv_a " MEMORY_PARAMS
                                                " gain_y gain_m Wo theta_max",
                                                "o", mixer_mag_shape, mixer_mag_run},
                                               EQUATION_END};
