/* Functions of one number: exp over the floats, the gates' penalty against a derivative from GSL, and the
 * portable log, exp and trigonometric functions against libm. */
#include "base/dispatch.h"
#include "ledger.h"
#include "test_reference.h"
#include "base/portable.h"

#include <gsl/gsl_deriv.h>
#include <stdio.h>

/* Unit in the last place of the float nearest to x. */
static double float_ulp(double x) {
    int e;
    frexp(x, &e);
    return ldexp(1.0, (e > -125 ? e : -125) - 24);
}

static double exp_error(float x, float y) {
    const double want = exp((double)x);
    if (isnan(x)) return isnan(y) ? 0.0 : 99.0;
    if (x < -87.336540f) return y == 0.0f ? 0.0 : 99.0;
    if (x > 88.722832f) return isinf(y) && y > 0.0f ? 0.0 : 99.0;
    return fabs((double)y - want) / float_ulp(want);
}

/* Every `stride`-th of the 2^32 floats; TITANS_EXHAUSTIVE=1 takes them all. */
Test(functions, exp_is_within_its_stated_error_for_all_floats) {
    enum { BLOCK = 4096 };
    static float x[BLOCK], y[BLOCK];
    const char *all = getenv("TITANS_EXHAUSTIVE");
    const uint64_t stride = all && *all == '1' ? 1 : 997;
    double worst = 0.0;
    int64_t checks = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        int n = 0;
        for (; n < BLOCK && bits <= UINT32_MAX; n++, bits += stride) {
            const uint32_t pattern = (uint32_t)bits;
            memcpy(&x[n], &pattern, sizeof pattern);
        }
        kernel->act->exp(n, x, y);
        for (int i = 0; i < n; i++) {
            const double error = exp_error(x[i], y[i]);
            cr_assert(error <= 1.02, "exp(%.9g) = %.9g is off by %.3f ulp", (double)x[i], (double)y[i],
                      error);
            worst = fmax(worst, error);
        }
        checks += n;
    }
    ledger_record("functions", stride == 1 ? "exp, all 2^32" : "exp, every 997th", checks, worst / 1.02);
}

Test(functions, exp_has_the_same_bits_on_every_isa) {
    enum { N = 100003 };
    static float x[N], y[N], z[N];
    int64_t checks = 0;
    for (int i = 0; i < N; i++) x[i] = -100.0f + 200.0f * (float)i / N;
    kernels_at(0)->act->exp(N, x, y);
    for (int k = 1; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        kernels_at(k)->act->exp(N, x, z);
        cr_assert(!memcmp(y, z, sizeof y), "%s", kernels_at(k)->isa);
        checks += N;
    }
    ledger_record("functions", "exp memcmp", checks, 0);
}

static double penalty_at(double z, void *unused) {
    (void)unused;
    const double open = 1.2 / (1.0 + exp(-(z + 0.7))) - 0.1;
    return (open > 0.0 ? open : 0.0) + (z > 1.0 ? 0.1 * (z - 1.0) : 0.0);
}

/* The write-sparsity penalty is not the paper's and has no reference; its value and slope are checked
 * directly. */
Test(functions, the_gates_penalty_and_its_slope) {
    const GateShape shape = {1, 1, 1, 1, GATE_SIGMOID, 1, 1, 1.0f};
    const float zero[1] = {0};
    double worst = 0.0;
    int64_t checks = 0;
    for (float z = -8.0f; z < 8.0f; z += 0.0625f) {
        if (fabsf(z - 1.0f) < 0.1f || fabs(1.2 / (1.0 + exp(-((double)z + 0.7))) - 0.1) < 0.01) continue;
        const float row[3] = {z, z, z};
        float dz[3] = {0};
        double slope, slope_error;
        gsl_function f = {penalty_at, 0};
        gsl_deriv_central(&f, (double)z, 1e-3, &slope, &slope_error);
        kernel->gates->backward(&shape, 1.0f, row, zero, zero, zero, dz);
        const double tolerance =
            8 * 0x1p-24 * (fabs(slope) + 1.0) + slope_error; /* sigma to 4 u, then 1 - sigma */
        const double value = kernel->gates->penalty_value(&shape, row);
        for (int i = 0; i < 2; i++) {
            const double ratio = fabs((double)dz[i] - slope) / tolerance;
            cr_assert(ratio <= 1.0, "z = %g: slope %.9g, want %.9g", (double)z, (double)dz[i], slope);
            worst = fmax(worst, ratio);
        }
        cr_assert(dz[2] == 0.0f, "eta carries no penalty");
        cr_assert(fabs(value - 2 * penalty_at((double)z, 0)) <= 16 * 0x1p-24 * (value + 0.2),
                  "z = %g: value %g", (double)z, value);
        checks += 4;
    }
    ledger_record("functions", "gates penalty", checks, worst);
}

Test(functions, portable_functions_agree_with_libm) {
    double worst = 0.0;
    int64_t checks = 0;
    for (int i = 1; i < 20000; i++, checks += 4) {
        const double x = -690.0 + 0.069 * i, positive = exp(x),
                     angle = 1e6 * (x / 690.0) * (x / 690.0) * (x / 690.0);
        double s, c;
        portable_sincos(angle, &s, &c);
        worst = fmax(worst, fabs(portable_exp(x) / exp(x) - 1.0) / 2e-14);
        worst = fmax(worst, fabs(portable_log(positive) - log(positive)) / (1e-14 * (1.0 + fabs(x))));
        worst = fmax(worst, fmax(fabs(s - sin(angle)), fabs(c - cos(angle))) / 1e-9);
        if (fabs(angle) < 100.0)
            worst = fmax(worst, fmax(fabs(s - sin(angle)), fabs(c - cos(angle))) / 2e-14);
        cr_assert(worst <= 1.0, "x = %g: %g of the tolerance", x, worst);
    }
    ledger_record("functions", "portable functions", checks, worst);
}

/* The bars of the benchmarks: a copy copies whole vectors, and multiply-adds of 0.999 and 0.001 lead to 1 in the
 * 16 lanes of every chain. */
Test(functions, the_roofline_does_what_it_measures) {
    enum { N = 8 * 16 };
    for (int i = 0; kernels_at(i); i++) {
        if (!kernels_supported(kernels_at(i))) continue;
        float from[N], to[N] = {0};
        for (int j = 0; j < N; j++) from[j] = (float)(j + 1);
        kernels_at(i)->roofline->copy(N, from, to);
        cr_assert(!memcmp(from, to, sizeof from), "%s", kernels_at(i)->isa);
        const double settled = (double)kernels_at(i)->roofline->fma(20000),
                     begun = (double)kernels_at(i)->roofline->fma(0);
        const double chains = nearbyint(settled / 16.0);
        cr_assert(chains >= 6.0 && fabs(settled - 16.0 * chains) < 0.2 &&
                      begun == 16.0 * chains * (7.5 + (chains - 1.0) / 2.0),
                  "%s: %g, %g", kernels_at(i)->isa, settled, begun);
    }
}
