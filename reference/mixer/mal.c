/* MAL as a stack of blocks (section 4.3): memory, then sliding-window attention without persistent tokens, each a
 * block of its own. */
#pragma once
#include "lmm.c"
#include "swa.c"

static const Dimension mixer_mal_dims[] = {ROTARY_SIZES, MEMORY_OPTIONS, PERSISTENT, WINDOW, DIMENSION_END};
static const Equation mixer_mal_equations[] = {
    {"mixer_mal", "eqs 29-31, Samba-like",
     "(29)-(31) as two blocks of a model in turn: mixer_lmm, then mixer_swa without persistent tokens",
     mixer_mal_dims, NULL, NULL, NULL, "mixer_lmm mixer_swa:persistent=0"},
    EQUATION_END};
