/* Causal multi-head attention as a whole sequence mixer (eqs 1-2), with any of the positions of position.c. */
#pragma once
#include "../titans.c"

/* o = [attention(rope(x W_Q), rope(x W_K), x W_V) of every head] W_O, or without rope and with the biases of ALiBi:
 * x, o (T x D), W (D x D). */
static void mixer_attention_run(const Call *c) {
    Mixing m = mixing_at(c);
    real *y = R_NEW(m.T * m.D);
    attention_branch(&m, c, "", m.T, 0, 0, in(c, "x"), y);
    project(m.T, m.D, m.D, y, in(c, "wo"), out(c, "o"));
    free(y);
}

static const Dimension mixer_attention_dims[] = {
    ROTARY_SIZES,
    POSITIONS,
    ROPE_SCALING,
    LENGTHS,
    SWITCH("log_scale", NULL, 0, "1: queries beyond trained_length go through log_scale"),
    DIMENSION_END};
static const Argument mixer_attention_in[] = {MIXER_X, ATTENTION_PARAMETERS("", ""),
                                              SQUARE("wo", "Wo", "output map"), ARGUMENT_END};
static const Equation mixer_attention_equations[] = {
    {"mixer_attention", "eqs 1-2, rotary positions",
     "(1)-(2) o = [attention of every head: q = rope(x W_Q), k = rope(x W_K), v = x W_V] W_O, positions from "
     "0 on;\n"
     "rope_scaling: rope_scaled in place of rope; positions=none: without it; positions=alibi: without it, "
     "alibi_attention; log_scale: of q, before attention",
     mixer_attention_dims, mixer_attention_in, mixer_out, mixer_attention_run, NULL},
    EQUATION_END};
