/* MAL: memory as a layer (section 4.3, eqs 29-31), memory layer and attention layer in one mixer. */
#pragma once
#include "../titans.c"

/* (29) x~ = [p_1 .. p_Np] || x   (30) y = M(x~)   (31) o = SW-Attn(y), the last T rows, times W_O:
 * x, o (T x D). */
static void mixer_mal_h3_run(const int64_t *dims, const void *const *in, void *const *out) {
    Mixing m = mixing_at(dims);
    int64_t Np = m.persistent, n = Np + m.T;
    real *x = R_NEW(n * m.D), *y = R_NEW(n * m.D), *o = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, IN(1), IN(0), x);
    memory_layer(&m, n, x, in + 2, IN(18), y);
    attention_branch(&m, n, m.window, 0, y, in + 14, o);
    project(m.T, m.D, m.D, o + Np * m.D, IN(17), OUT(0));
    free(x);
    free(y);
    free(o);
}

static void mixer_mal_h3_shape(const int64_t *dims, int64_t *in, int64_t *out) {
    Mixing m = mixing_at(dims);
    in[0] = out[0] = m.T * m.D;
    in[1] = m.persistent * m.D;
    memory_sizes(&m, in + 2);
    in[11] = m.D;
    sizes_fill(6, m.D * m.D, in + 12);
    in[18] = 1;
}

static const Equation mixer_mal_h3_equations[] = {{"mixer_mal_h3", "eqs 29-31", MIXER_DIMS,
                                                   "x P_tok " MEMORY_PARAMS
                                                   " gain W_z W_m Wq_a Wk_a Wv_a Wo theta_max",
                                                   "o", mixer_mal_h3_shape, mixer_mal_h3_run},
                                                  EQUATION_END};
