/* MAL: memory as a layer (section 4.3, eqs 29-31), memory layer and attention layer in one mixer. */
#pragma once
#include "../titans.c"

/* (29) x~ = [p_1 .. p_Np] || x   (30) y = M(x~)   (31) o = SW-Attn(y), the last T rows, times W_O:
 * x, o (T x D). */
static void mixer_mal_h3_run(const Call *c) {
    Mixing m = mixing_at(c);
    int64_t Np = m.persistent, n = Np + m.T;
    real *x = R_NEW(n * m.D), *y = R_NEW(n * m.D), *o = R_NEW(n * m.D);
    persistent_prefix(Np, m.T, m.D, in(c, "persistent"), in(c, "x"), x);
    memory_layer(&m, c, "memory.", n, x, in(c, "wm"), y);
    attention_branch(&m, c, "attention.", n, m.window, 0, y, o);
    project(m.T, m.D, m.D, o + Np * m.D, in(c, "wo"), out(c, "o"));
    free(x);
    free(y);
    free(o);
}

static const Dimension mixer_mal_h3_dims[] = {ROTARY_SIZES, MEMORY_OPTIONS, PERSISTENT, WINDOW,
                                              DIMENSION_END};
static const Argument mixer_mal_h3_in[] = {MIXER_X,
                                           PERSISTENT_TOKENS,
                                           MEMORY_PARAMETERS("memory."),
                                           COLUMN_GAIN("gain", NULL, "of the reads' norm"),
                                           SQUARE("wz", "W_z", "the memory's output gate before silu"),
                                           SQUARE("wm", "W_m", "the memory's output map"),
                                           ATTENTION_PARAMETERS("attention.", "_a"),
                                           SQUARE("wo", "Wo", "output map"),
                                           MIXER_LIMIT,
                                           ARGUMENT_END};
static const Equation mixer_mal_h3_equations[] = {
    {"mixer_mal_h3", "eqs 29-31",
     "(29) u = [p_1 .. p_Np] || x   (30) y = norm_gate(memory(u), gain, u W_z) W_M\n"
     "(31) o = window_attention of y with rotary positions, prefix = 0, its last rows times "
     "W_O\n" MEMORY_FORMULA,
     mixer_mal_h3_dims, mixer_mal_h3_in, mixer_out, mixer_mal_h3_run, NULL},
    EQUATION_END};
