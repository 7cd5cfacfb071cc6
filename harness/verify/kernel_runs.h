/* One run of a kernel adapter on a case of the reference: float copies of its inputs, outputs full of NaN with
 * a guard behind each, at addresses that no vector load likes. */
#pragma once
#include "base/dispatch.h"
#include "equation/adapter.h"
#include "test_reference.h"

static const float run_guard_value = 12345.0f;

/* Floats of a guard: none under the address sanitizer, which sees what is read there as well. */
static inline int64_t run_guard(void) { return getenv("ASAN_OPTIONS") ? 0 : 16; }

/* n numbers equal to value at an address that is a multiple of 4 bytes only, and the guard. */
static inline float *run_array(int64_t n, float value) {
    float *base = calloc((size_t)(n + run_guard() + 1), sizeof(float));
    for (int64_t j = 0; j < n; j++) base[1 + j] = value;
    for (int64_t j = 0; j < run_guard(); j++) base[1 + n + j] = run_guard_value;
    return base + 1;
}

static inline void run_array_free(float *x) {
    if (x) free(x - 1);
}

static inline void run_new(KernelRun *r, const Case *c, int gradient) {
    *r = (KernelRun){.dims = &c->dims};
    memcpy(r->in_size, c->in_size, sizeof r->in_size);
    memcpy(r->out_size, c->out_size, sizeof r->out_size);
    for (int i = 0; i < c->inputs; i++) {
        r->in[i] = run_array(c->in_size[i], 0.0f);
        for (int64_t j = 0; j < c->in_size[i]; j++) r->in[i][j] = (float)c->in[i][j];
        if (gradient) r->grad[i] = run_array(c->in_size[i], 0.0f);
    }
    uint64_t state = c->seed + 77;
    for (int i = 0; i < c->outputs; i++) {
        r->out[i] = run_array(c->out_size[i], NAN);
        if (!gradient) continue;
        r->cotangent[i] = run_array(c->out_size[i], 0.0f);
        for (int64_t j = 0; j < c->out_size[i] && !kernel_output_is_constant(c->e, i); j++)
            r->cotangent[i][j] = (float)(2 * uniform(&state) - 1);
    }
}

static inline void run_free(KernelRun *r, const Case *c) {
    for (int i = 0; i < c->inputs; i++) run_array_free(r->in[i]), run_array_free(r->grad[i]);
    for (int i = 0; i < c->outputs; i++) run_array_free(r->out[i]), run_array_free(r->cotangent[i]);
}

static inline int run_guarded(const float *x, int64_t n) {
    for (int64_t j = 0; x && j < run_guard(); j++)
        if (x[n + j] != run_guard_value) return 0;
    return 1;
}

/* Nothing was written behind an array, nor into an input. */
static inline void run_expect_tidy(const KernelRun *r, const Case *c, const char *kernel) {
    for (int i = 0; i < c->inputs; i++) {
        cr_assert(run_guarded(r->in[i], c->in_size[i]) && run_guarded(r->grad[i], c->in_size[i]),
                  "%s writes behind input %d or its gradient", kernel, i);
        for (int64_t j = 0; j < c->in_size[i]; j++)
            cr_assert(r->in[i][j] == (float)c->in[i][j], "%s changes its input %d", kernel, i);
    }
    for (int i = 0; i < c->outputs; i++)
        cr_assert(run_guarded(r->out[i], c->out_size[i]) && run_guarded(r->cotangent[i], c->out_size[i]),
                  "%s writes behind output %d or its cotangent", kernel, i);
}

/* Largest |got - want| / allowed and where; a number that is not finite counts as infinitely far. */
static inline double largest_ratio(int64_t n, const float *got, const double *want, const double *allowed,
                                   int64_t *at) {
    double worst = 0;
    *at = 0;
    for (int64_t j = 0; j < n; j++) {
        const double ratio = fabs((double)got[j] - want[j]) / allowed[j];
        if (ratio <= worst) continue;
        worst = isfinite(ratio) ? ratio : INFINITY;
        *at = j;
    }
    return worst;
}

/* A bound must be seen from outside: after any of some outputs moves by twice what is allowed, or becomes NaN
 * or infinite, the same numbers are refused. The outputs are left as they were. */
static inline int64_t expect_refusals(const char *what, int64_t n, float *got, const double *want,
                                      const double *allowed) {
    const int64_t places[] = {0, n / 2, n - 1};
    int64_t checks = 0, at;
    for (int p = 0; p < 3 && n > 0; p++) {
        const int64_t j = places[p];
        const float was = got[j];
        const float wrong[] = {(float)(want[j] + 2 * allowed[j]), (float)(want[j] - 2 * allowed[j]), NAN,
                               INFINITY};
        for (int w = 0; w < 4; w++, checks++) {
            got[j] = wrong[w];
            cr_assert(largest_ratio(n, got, want, allowed, &at) > 1.0 && at == j,
                      "%s: %g in place of %g passes (allowed %g)", what, (double)wrong[w], want[j],
                      allowed[j]);
        }
        got[j] = was;
    }
    return checks;
}
