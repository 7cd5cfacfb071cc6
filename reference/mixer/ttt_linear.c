/* TTT-Linear (Sun et al., arXiv 2407.04620) as a whole sequence mixer, in the authors' form. */
#pragma once
#include "../ttt.c"

static void mixer_ttt_linear_run(const Call *c) { ttt_mixer(c, 1); }

static const Dimension mixer_ttt_linear_dims[] = {TTT_MIXER_SIZES, DIMENSION_END};
static const Argument mixer_ttt_linear_in[] = {
    TTT_MAPS,
    {"w1", NULL, "heads head_width head_width", NUMBER, "weights of the inner models before the first token"},
    {"b1", NULL, "heads head_width", NUMBER, "their biases"},
    TTT_OUTPUT(1),
    ARGUMENT_END};
static const Equation mixer_ttt_linear_equations[] = {
    {"mixer_ttt_linear", TTT_SOURCE,
     TTT_MIXER_FORMULA "reads: ttt_linear_chunk with residual=query, scale 1, W = w1, b = b1",
     mixer_ttt_linear_dims, mixer_ttt_linear_in, mixer_out, mixer_ttt_linear_run, NULL},
    EQUATION_END};
