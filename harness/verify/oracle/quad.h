/* Numbers with 113 bits, from the four operations that the compiler supplies, and dual numbers over them. */
#pragma once
#include <stdint.h>

#if defined(__aarch64__)
typedef long double Quad;
#else
typedef __float128 Quad;
#endif

Quad quad_sqrt(Quad a);
Quad quad_exp(Quad a);
Quad quad_log(Quad a);
Quad quad_pi(void);
Quad quad_sigmoid(Quad a);
Quad quad_silu(Quad a);
/* A constant that the paper or a decision gives in decimals, or its nearest double (oracle_equations.h). */
Quad constant(Quad exact);
void quad_turn(Quad angle, Quad *cosine, Quad *sine);

/* A value and its derivative along one direction: forward mode. */
typedef struct Dual {
    Quad v, t;
} Dual;

static inline Dual dual(Quad v) { return (Dual){v, 0}; }
static inline Dual dual_add(Dual a, Dual b) { return (Dual){a.v + b.v, a.t + b.t}; }
static inline Dual dual_sub(Dual a, Dual b) { return (Dual){a.v - b.v, a.t - b.t}; }
static inline Dual dual_mul(Dual a, Dual b) { return (Dual){a.v * b.v, a.t * b.v + a.v * b.t}; }
static inline Dual dual_div(Dual a, Dual b) {
    return (Dual){a.v / b.v, (a.t * b.v - a.v * b.t) / (b.v * b.v)};
}
Dual dual_sqrt(Dual a);
Dual dual_exp(Dual a);

/* n zeros, which live until quads_release. */
Quad *quads(int64_t n);
void *scratch(int64_t bytes);
void quads_release(void);
Quad *quads_from(const double *x, int64_t n);
void quads_to(double *out, const Quad *x, int64_t n);

/* Rows [from, from + count) of an array whose rows have `width` numbers. */
Quad *quads_rows(const Quad *x, int64_t from, int64_t count, int64_t width);
/* The rows of a followed by the rows of b: the || of eqs 19, 22, 26, 29. */
Quad *quads_join(const Quad *a, int64_t na, const Quad *b, int64_t nb, int64_t width);
/* x W with W [in][out]: eqs 1, 11. */
Quad *quads_product(const Quad *x, const Quad *W, int64_t rows, int64_t in, int64_t out);
