#include "oracle/places.h"

enum { ROPE, ALIBI = 2, NTK = 1, YARN = 2 };

/* The reference takes these roots and logarithms in double: each step is rounded where it rounds. */
static Quad log2_of(Quad x) { return constant(quad_log(x) / quad_log(2)); }
static Quad power(Quad x, Quad y) { return constant(quad_exp(y * quad_log(x))); }

Places places_of(const OracleCall *c) {
    return (Places){size_or(c, "positions", ROPE), size_or(c, "rope_scaling", 0),
                    size_or(c, "trained_length", 0), size_or(c, "asked_length", 0),
                    size_or(c, "log_scale", 0)};
}

static Quad stretch(const Places *p) {
    return p->scaling && p->asked > p->trained ? constant((Quad)p->asked / p->trained) : 1;
}

/* YaRN, "NTK-by-parts": r is how often the pair turns over the trained length; alpha = 1, beta = 32. */
static Quad by_parts(Quad frequency, Quad s, int64_t trained) {
    const Quad r = constant(constant(trained * frequency) / constant(2 * quad_pi()));
    Quad gamma = constant(constant(r - 1) / 31);
    if (r < 1) gamma = 0;
    if (r > 32) gamma = 1;
    const Quad slow = constant(frequency / s);
    return constant(slow + constant(gamma * constant(frequency - slow)));
}

Quad *placed(const Places *p, const Quad *x, const int64_t *position, int64_t rows, int64_t H, int64_t dh) {
    const Quad s = stretch(p);
    Quad base = 10000, length = 1, *frequency = quads(dh / 2);
    if (p->scaling == NTK && dh > 2) base = constant(base * power(s, constant((Quad)dh / (dh - 2))));
    for (int64_t c = 0; c < dh / 2; c++) {
        frequency[c] = power(base, -constant((Quad)(2 * c) / dh));
        if (p->scaling == YARN) frequency[c] = by_parts(frequency[c], s, p->trained);
    }
    if (p->scaling == YARN)
        length =
            constant(constant(constant(constant((Quad)1 / 10) * constant(quad_log(2))) * log2_of(s)) + 1);
    if (p->positions != ROPE) return quads_rows(x, 0, rows, H * dh);
    return rotated_by(x, frequency, length, position, rows, H, dh);
}

/* As published: of n = 2^m heads the geometric sequence that starts at 2^(-8/n) with that ratio; of others that of the power
 * before, then the 1st, 3rd, 5th .. of the power after. */
static Quad slope_of(int64_t H, int64_t h) {
    int64_t n = 1;
    for (; n <= H / 2; n *= 2) continue;
    const int64_t of = h < n ? n : 2 * n, steps = h < n ? h + 1 : 2 * (h - n) + 1;
    return constant(quad_exp(-8 * quad_log(2) * steps / of));
}

Quad *placed_bias(const Places *p, int64_t H, int64_t h, int64_t queries, int64_t keys, int64_t first,
                  int64_t prefix) {
    Quad *bias = p->positions == ALIBI ? quads(queries * keys) : NULL;
    for (int64_t i = 0; bias && i < queries; i++)
        for (int64_t j = prefix; j < keys; j++)
            bias[i * keys + j] = -constant(slope_of(H, h) * (first + i - j));
    return bias;
}

Quad place_sharpness(const Places *p, int64_t n) {
    return n > p->trained ? constant(log2_of(n) / log2_of(p->trained)) : 1;
}
