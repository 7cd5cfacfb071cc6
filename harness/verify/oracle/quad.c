#include "oracle/quad.h"
#include "oracle/oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static Quad magnitude(Quad a) { return a < 0 ? -a : a; }

/* Newton's iteration from the root in double: 53 bits become 106 and then all. */
Quad quad_sqrt(Quad a) {
    if (a <= 0) return 0;
    Quad r = sqrt((double)a);
    for (int i = 0; i < 3; i++) r = (r + a / r) / 2;
    return r;
}

/* exp(a) - 1 by its series after n halvings, then n times e <- (1 + e)^2 - 1. */
Quad quad_exp(Quad a) {
    int halvings = 0;
    for (; magnitude(a) > 0x1p-10 && halvings < 40; a *= 0.5) halvings++;
    Quad term = 1, e = 0;
    for (int i = 1; i < 13; i++) e += term *= a / i;
    for (; halvings > 0; halvings--) e *= e + 2;
    return 1 + e;
}

/* Halley's iteration on exp(y) = a. */
Quad quad_log(Quad a) {
    Quad y = log((double)a);
    for (int i = 0; i < 2; i++) {
        const Quad e = quad_exp(y);
        y += 2 * (a - e) / (a + e);
    }
    return y;
}

static Quad arctangent_of_inverse(int n) {
    Quad sum = 0, power = (Quad)1 / n;
    for (int i = 1; i < 120; i += 2, power /= -n * n) sum += power / i;
    return sum;
}

/* Machin's formula. */
Quad quad_pi(void) {
    static Quad pi;
    if (pi == 0) pi = 16 * arctangent_of_inverse(5) - 4 * arctangent_of_inverse(239);
    return pi;
}

Quad quad_sigmoid(Quad a) { return 1 / (1 + quad_exp(-a)); }

Quad quad_silu(Quad a) { return a * quad_sigmoid(a); }

int oracle_rounds_constants;

Quad constant(Quad exact) { return oracle_rounds_constants ? (Quad)(double)exact : exact; }

/* The series of both after n halvings, then n times (c + i s)^2. */
void quad_turn(Quad angle, Quad *cosine, Quad *sine) {
    int halvings = 0;
    for (; magnitude(angle) > 0x1p-6; angle /= 2) halvings++;
    Quad c = 1, s = angle, term = angle;
    for (int i = 2; i < 22; i += 2) {
        c -= term *= angle / i;
        s -= term *= angle / (i + 1);
        term = -term;
    }
    for (; halvings > 0; halvings--) {
        const Quad square = c * c - s * s;
        s *= 2 * c;
        c = square;
    }
    *cosine = c, *sine = s;
}

Dual dual_sqrt(Dual a) {
    const Quad r = quad_sqrt(a.v);
    return (Dual){r, a.t / (2 * r)};
}

Dual dual_exp(Dual a) {
    const Quad e = quad_exp(a.v);
    return (Dual){e, e * a.t};
}

/* Scratch memory: a list of blocks, each beginning with the address of the one before it. */
typedef union Block {
    union Block *before;
    Quad align;
} Block;
static Block *last;

void *scratch(int64_t bytes) {
    Block *block = calloc(1, sizeof *block + (size_t)bytes);
    if (!block) {
        fprintf(stderr, "oracle: out of memory for %lld bytes\n", (long long)bytes);
        abort();
    }
    block->before = last;
    last = block;
    return block + 1;
}

Quad *quads(int64_t n) { return scratch(n * (int64_t)sizeof(Quad)); }

void quads_release(void) {
    while (last) {
        Block *before = last->before;
        free(last);
        last = before;
    }
}

Quad *quads_from(const double *x, int64_t n) {
    Quad *y = quads(n);
    for (int64_t i = 0; i < n; i++) y[i] = x[i];
    return y;
}

void quads_to(double *out, const Quad *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = (double)x[i];
}

Quad *quads_rows(const Quad *x, int64_t from, int64_t count, int64_t width) {
    Quad *y = quads(count * width);
    for (int64_t i = 0; i < count * width; i++) y[i] = x[from * width + i];
    return y;
}

Quad *quads_join(const Quad *a, int64_t na, const Quad *b, int64_t nb, int64_t width) {
    Quad *y = quads((na + nb) * width);
    for (int64_t i = 0; i < na * width; i++) y[i] = a[i];
    for (int64_t i = 0; i < nb * width; i++) y[na * width + i] = b[i];
    return y;
}

Quad *quads_product(const Quad *x, const Quad *W, int64_t rows, int64_t in, int64_t out) {
    Quad *y = quads(rows * out);
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < out; j++)
            for (int64_t i = 0; i < in; i++) y[t * out + j] += x[t * in + i] * W[i * out + j];
    return y;
}
