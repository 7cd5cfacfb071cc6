/* TTT-MLP (Sun et al., arXiv 2407.04620) as a whole sequence mixer, in the authors' form. */
#pragma once
#include "../ttt.c"

static void mixer_ttt_mlp_run(const Call *c) { ttt_mixer(c, 2); }
static int64_t mixer_ttt_mlp_hidden(const Call *c) { return dim(c, "expansion") * mixing_head_width(c); }

static const Dimension mixer_ttt_mlp_dims[] = {
    TTT_MIXER_SIZES, SIZE("expansion", NULL, "hidden width of the inner model over head width"),
    DERIVED("hidden", NULL, mixer_ttt_mlp_hidden, "expansion head_width"), DIMENSION_END};
static const Argument mixer_ttt_mlp_in[] = {TTT_MAPS,
                                            {"w1", NULL, "heads head_width hidden", NUMBER,
                                             "first layers of the inner models before the first token"},
                                            {"b1", NULL, "heads hidden", NUMBER, "their biases"},
                                            {"w2", NULL, "heads hidden head_width", NUMBER, "second layers"},
                                            {"b2", NULL, "heads head_width", NUMBER, "their biases"},
                                            TTT_OUTPUT(0.1),
                                            ARGUMENT_END};
static const Equation mixer_ttt_mlp_equations[] = {
    {"mixer_ttt_mlp", TTT_SOURCE,
     TTT_MIXER_FORMULA "reads: ttt_mlp_chunk with residual=query, scale 1, W1 = w1 .. b2 = b2",
     mixer_ttt_mlp_dims, mixer_ttt_mlp_in, mixer_out, mixer_ttt_mlp_run, NULL},
    EQUATION_END};
