/* The architectures of section 4 as the suites of the reference run them: seven tokens of width 6, two heads. */
#pragma once
#include "equation/cases.h"
#include "test_reference.h"

enum { D = 8, H = 2, DH = D / H, T = 7 };

/* The i-th case whose wiring is checked; 0 past the end. */
static inline int mix_at(int i, Dims *mix) {
    for (int k = 0; case_at(k); k++)
        if (case_used(case_at(k), "wiring") && i-- == 0) return *mix = case_dims(case_at(k)), 1;
    return 0;
}

static inline int mix_is(const Dims *mix, const char *mixer) { return !strcmp(mix->equation->name, mixer); }

/* Small steps and slow forgetting: the norm's inner gradient grows as its memory shrinks. */
static inline Case mix_case(const Dims *mix, uint64_t seed) {
    Case c = case_at_dims(mix, seed);
    if (!case_has(&c, "theta_max")) return c;
    case_set(&c, "theta_max", 0x1p-6);
    for (int64_t i = 0; i < case_in_size(&c, "b_gates"); i++) case_in(&c, "b_gates")[i] -= 1;
    return c;
}

static inline __attribute__((format(printf, 1, 2))) Dims mac_dims(const char *format, ...) {
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return dims_of("mixer_mac", "tokens=%d width=%d heads=%d taps=2 expansion=1 %s", T, D, H, text);
}
