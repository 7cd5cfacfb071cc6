/* MAG: memory as a gate (section 4.2, eqs 26-28). */
#pragma once
#include "../titans.c"

/* (26) x~ = [p_1 .. p_Np] || x   (27) y = SW-Attn*(x~)   (28) o = y (x) M(x~), the last T rows, times W_O:
 * x, o (T x D). */
static void mixer_mag_run(const Call *c) {
    Mixing m = mixing_at(c);
    int64_t Np = m.persistent, n = Np + m.T, last = Np * m.D;
    real *x = R_NEW(n * m.D), *y = R_NEW(n * m.D), *read = R_NEW(n * m.D), *o = R_NEW(m.T * m.D);
    persistent_prefix(Np, m.T, m.D, in(c, "persistent"), in(c, "x"), x);
    attention_branch(&m, c, "attention.", n, m.window, Np, x, y);
    memory_branch(&m, c, "memory.", n, x, read);
    titans_gate(m.T, m.H, m.dh, y + last, read + last, in(c, "gain_y"), in(c, "gain_m"), o);
    project(m.T, m.D, m.D, o, in(c, "wo"), out(c, "o"));
    free(x);
    free(y);
    free(read);
    free(o);
}

static const Dimension mixer_mag_dims[] = {ROTARY_SIZES, MEMORY_OPTIONS, PERSISTENT, WINDOW, DIMENSION_END};
static const Argument mixer_mag_in[] = {MIXER_X,
                                        PERSISTENT_TOKENS,
                                        ATTENTION_PARAMETERS("attention.", "_a"),
                                        MEMORY_PARAMETERS("memory."),
                                        COLUMN_GAIN("gain_y", NULL, "of attention's norm"),
                                        COLUMN_GAIN("gain_m", NULL, "of the reads' norm"),
                                        SQUARE("wo", "Wo", "output map"),
                                        MIXER_LIMIT,
                                        ARGUMENT_END};
static const Equation mixer_mag_equations[] = {
    {"mixer_mag", "eqs 26-28, erratum E13",
     "(26) u = [p_1 .. p_Np] || x   (27) y = window_attention of u with rotary positions, prefix = "
     "persistent\n"
     "(28) o = titans_gate(y, memory(u), gain_y, gain_m) W_O, the last rows of it\n" MEMORY_FORMULA,
     mixer_mag_dims, mixer_mag_in, mixer_out, mixer_mag_run, NULL},
    EQUATION_END};
