/* The architectures of section 4 as the suites of the reference run them: seven tokens of width 6, two heads. */
#pragma once
#include "test_reference.h"

enum { D = 6, H = 2, DH = D / H, T = 7 };

typedef struct Mix {
    const char *name;
    int64_t dims[EQUATION_DIMS]; /* T D H w b L e kind | gelu residual norm per_layer channelwise | per_chunk
                                    no_decay no_momentum | persistent segment window literal */
} Mix;

static const Mix mixes[] = {
    {"mixer_swa", {T, D, H, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0}},
    {"mixer_lmm", {T, D, H, 3, 5, 2, 2, 0, 1, 1, 1, 1, 1, 1, 0, 0, 2, 0, 0, 0}},
    {"mixer_lmm", {T, D, H, 0, 3, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0}},
    {"mixer_mag", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0}},
    {"mixer_mag", {T, D, H, 2, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0}},
    {"mixer_mal_h3", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0}},
    {"mixer_mal_h3", {T, D, H, 0, 2, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}},
    {"mixer_mac", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0}},
    {"mixer_mac", {T, D, H, 2, 6, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 6, 0, 0}},
    {"mixer_mac", {T, D, H, 2, 1, 2, 2, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 3, 0, 0}},
    {"mixer_mac", {T, D, H, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0}},
    {"mixer_mac", {T, D, H, 2, 5, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 10, 0, 0}},
    {"mixer_mac", {T, D, H, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0, 1}},
};
enum { MIXES = sizeof mixes / sizeof *mixes };

/* Positions in Mix.dims. */
enum { DIM_B = 4, DIM_PER_CHUNK = 13, DIM_PERSISTENT = 16, DIM_SEGMENT, DIM_WINDOW, DIM_LITERAL };

/* Small steps and slow forgetting: the norm's inner gradient grows as its memory shrinks. */
static inline Case mix_case(const Mix *mix, uint64_t seed) {
    Case c = case_new(mix->name, seed, mix->dims);
    if (name_index(c.e->in, "theta_max") < 0) return c;
    case_set(&c, "theta_max", 0x1p-6);
    for (int64_t i = 0; i < case_in_size(&c, "b_gates"); i++) case_in(&c, "b_gates")[i] -= 1;
    return c;
}
