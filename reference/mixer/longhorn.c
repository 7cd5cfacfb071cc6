/* Longhorn as released (Liu et al. 2024): Mamba's layer around the diagonal of the implicit update. */
#pragma once
#include "mamba.c"

/* As mamba_scan, with [r | k | q] = u W_select and no A: u, y (T x D). */
static void longhorn_mix(const Mamba *m, const Call *c, const real *u, real *y) {
    real *step = R_NEW(m->T * m->D), *k = R_NEW(m->T * m->N), *q = R_NEW(m->T * m->N),
         *h = R_NEW(m->N * m->D);
    mamba_select(m, c, "", u, step, k, q);
    for (int64_t i = 0; i < m->T * m->D; i++) step[i] = longhorn_step(step[i], m->N, k + i / m->D * m->N);
    longhorn_scan(m->T, m->D, m->N, u, step, k, q, in(c, "skip"), h, y);
    free(step);
    free(k);
    free(q);
    free(h);
}

/* o = (scan(u) silu(z)) W_o from a state of zeros: x, o (T x E). */
static void mixer_longhorn_run(const Call *c) {
    const Mamba m = mamba_at(c);
    real *u = R_NEW(3 * m.T * m.D), *z = u + m.T * m.D, *y = z + m.T * m.D;
    mamba_input(&m, c, "", in(c, "x"), NULL, u, z, NULL);
    longhorn_mix(&m, c, u, y);
    swiglu(m.T, m.D, z, y, y);
    project(m.T, m.D, m.E, y, in(c, "wo"), out(c, "o"));
    free(u);
}

static const Argument mixer_longhorn_in[] = {
    MIXER_X,        MAMBA_INPUT(""),  {"w_select", NULL, "channels selected", NUMBER, "columns r | k | q"},
    MAMBA_STEP(""), MAMBA_OUTPUT(""), ARGUMENT_END};
static const Equation mixer_longhorn_equations[] = {
    {"mixer_longhorn", "Liu et al. 2024, as released; the diagonal of eq 35",
     "u = silu(conv(x W_x) + b_conv), [r | k | q] = u W_select, y = longhorn_scan of u with delta = r W_dt, "
     "delta_bias = b_dt,\n"
     "k, q and skip, times silu(x W_z); o = y W_o; zeros before the first token",
     mixer_mamba_dims, mixer_longhorn_in, mixer_out, mixer_longhorn_run, NULL},
    EQUATION_END};
