/* Suite oracle: the reference against a second implementation, written without sight of it (oracle/). Quad
 * against quad, each rounded to double, leaves one unit in the last place; double is allowed a multiple. */
#include "equation/inputs.h"
#include "ledger.h"
#include "equation/oracle.h"
#include "oracle/oracle_equations.h"

#include <criterion/criterion.h>
#include <stdlib.h>

typedef struct Sizes {
    const char *names; /* of the equations that are run at these sizes */
    int64_t dims[EQUATION_DIMS];
} Sizes;

#define MIXERS "mixer_attention mixer_swa mixer_lmm mixer_mac mixer_mag mixer_mal_h3"
#define DELTA_RULES "diagonal_lmm delta_net gated_delta_net longhorn ttt_layer"
static const char memory_names[] = "surprise momentary_rule momentum_rule memory_step memory_read "
                                   "memory_sequential memory_chunk chunk_closed";
static const char recurrent_names[] = "memory_sequential memory_chunk chunk_closed mixer_lmm mixer_mac "
                                      "mixer_mag mixer_mal_h3";

static const Sizes sizes[] = {
    {"qkv", {1, 1}},
    {"qkv", {5, 7}},
    {"attention titans_gate norm_gate", {1, 1, 1}},
    {"attention", {6, 6, 4}},
    {"attention", {3, 9, 5}},
    {"window_attention", {1, 1, 2, 1, 0}},
    {"window_attention", {9, 9, 4, 1, 0}},
    {"window_attention", {9, 9, 4, 3, 2}},
    {"window_attention", {9, 9, 3, 20, 1}},
    {"window_attention", {4, 11, 4, 2, 5}},
    {"window_attention", {7, 7, 4, 0, 0}},
    {"persistent_prefix", {0, 3, 4}},
    {"persistent_prefix", {5, 1, 3}},
    {"softmax_ffn", {1, 1, 1, 1}},
    {"softmax_ffn", {5, 7, 3, 4}},
    {"titans_gate norm_gate", {6, 3, 4}},
    {"conv_silu_l2", {1, 1, 3, 4}},
    {"conv_silu_l2", {9, 2, 3, 4}},
    {"conv_silu_l2", {5, 2, 2, 1}},
    {"rope", {1, 1, 2, 0}},
    {"rope", {6, 3, 8, 1000}},
    {"gates", {5, 3, 0}},
    {"gates", {20, 3, 1}},
    {"chunk_linear " DELTA_RULES, {1, 1, 1}},
    {"chunk_linear " DELTA_RULES, {11, 4, 3}},
    {"chunk_linear " DELTA_RULES, {6, 2, 5}},
    {"chunk_momentum chunk_lti lti_kernel", {1, 1}},
    {"chunk_momentum chunk_lti lti_kernel", {16, 4}},
    {"linear_attention", {1, 1, 1, 0}},
    {"linear_attention", {9, 4, 3, 1}},
    {"linear_attention", {9, 4, 3, 2}},
    {"linear_memory", {7, 4, 3, 0, 0}},
    {"linear_memory", {7, 3, 5, 1, 0}},
    {"linear_memory", {7, 3, 5, 2, 0}},
    /* T D H w b L e kind gelu residual norm per_layer channelwise per_chunk no_decay no_momentum persistent
     * segment window literal */
    {MIXERS, {1, 4, 1, 4, 4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0}},
    {MIXERS, {9, 4, 2, 4, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 3, 0}},
    {MIXERS, {10, 8, 2, 3, 2, 2, 2, 0, 1, 1, 1, 1, 1, 0, 0, 0, 3, 4, 5, 0}},
    {MIXERS, {7, 4, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2, 1}},
    {MIXERS, {6, 6, 1, 4, 3, 3, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 12, 0, 1}},
    {MIXERS, {8, 4, 2, 2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 8, 1, 0}},
    {MIXERS, {8, 4, 1, 2, 4, 2, 2, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 4, 3, 1}},
    {MIXERS, {5, 4, 2, 1, 8, 1, 1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 4, 8, 2, 0}},
    {MIXERS, {13, 4, 1, 4, 4, 2, 2, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 8, 4, 1}},
    {MIXERS, {13, 8, 2, 4, 2, 3, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 5, 6, 4, 0}},
};

/* T b L n0 n1 n2 n3 n4, each with every option that the widths admit. */
static const int64_t memories[][8] = {
    {1, 1, 1, 3, 3}, {7, 3, 1, 2, 4},        {5, 2, 2, 3, 5, 3},       {6, 1, 2, 2, 3, 4},
    {9, 4, 1, 3, 3}, {6, 16, 3, 3, 2, 4, 3}, {7, 3, 4, 3, 2, 4, 3, 3},
};

typedef struct Difference {
    int64_t checks;
    double quad, real; /* the largest, in units of the tolerance */
} Difference;

/* Double's own errors, of a few operations and amplified by a memory's recurrence (largest seen: 2^-45.3 and
 * 2^-38.3). */
static const double double_tolerance = 0x1p-43, recurrent_tolerance = 0x1p-36;

static double real_tolerance(const char *name) {
    return name_index(recurrent_names, name) >= 0 ? recurrent_tolerance : double_tolerance;
}

/* Largest difference of an output, relative to its largest value, over the tolerance. */
static double compared(const double *got, const double *want, int64_t n, double tolerance) {
    double scale = 0, error = 0;
    for (int64_t i = 0; i < n; i++) {
        scale = fmax(scale, fabs(want[i]));
        error = fmax(error, isfinite(got[i]) && isfinite(want[i]) ? fabs(got[i] - want[i]) : INFINITY);
    }
    return error > 0 ? error / (scale * tolerance) : 0;
}

static void compare(const Reference *r, double tolerance, const OracleEquation *o, const Equation *e,
                    const int64_t *dims, const double *const *in, const int64_t *size, double *const *want,
                    Difference *d, double *worst) {
    double *got[EQUATION_TENSORS];
    const int outputs = oracle_count(e->out);
    for (int i = 0; i < outputs; i++) got[i] = calloc((size_t)size[i] + 1, sizeof(double));
    oracle_run(r, o->name, dims, in, NULL, got, NULL, NULL, NULL);
    for (int i = 0; i < outputs; i++) {
        const double ratio = compared(got[i], want[i], size[i], tolerance);
        cr_expect(ratio <= 1, "%s in %s, output %d, T = %lld: off by %g of %g", o->name, r->name, i,
                  (long long)dims[0], ratio * tolerance, tolerance);
        *worst = fmax(*worst, ratio);
        d->checks += size[i];
        free(got[i]);
    }
}

/* One equation at one size. The first seed is run with exact constants, the others as the reference holds
 * them. */
static void check_sizes(const OracleEquation *o, const int64_t *dims, uint64_t seeds, Difference *d) {
    const Equation *e = oracle_find(&reference_double, o->name);
    int64_t in_size[EQUATION_TENSORS], out_size[EQUATION_TENSORS];
    double *in[EQUATION_TENSORS], *out[EQUATION_TENSORS];
    e->shape(dims, in_size, out_size);
    const int inputs = oracle_count(e->in), outputs = oracle_count(e->out);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t state = seed * 1000 + (uint64_t)dims[0];
        for (int i = 0; i < inputs; i++) {
            in[i] = calloc((size_t)in_size[i] + 1, sizeof(double));
            inputs_fill(e, dims, i, in_size[i], in[i], &state);
        }
        for (int i = 0; i < outputs; i++) out[i] = calloc((size_t)out_size[i] + 1, sizeof(double));
        oracle_rounds_constants = seed > 1;
        o->run(dims, (const double *const *)in, out);
        compare(&reference_double, real_tolerance(o->name), o, e, dims, (const double *const *)in, out_size,
                out, d, &d->real);
        if (oracle_rounds_constants)
            compare(&reference_quad, 0x1p-52, o, e, dims, (const double *const *)in, out_size, out, d,
                    &d->quad);
        for (int i = 0; i < inputs; i++) free(in[i]);
        for (int i = 0; i < outputs; i++) free(out[i]);
    }
}

/* The options that a memory of these widths admits: a residual and channelwise decay need n0 = n_L. */
static void check_memory(const OracleEquation *o, Difference *d) {
    const Equation *e = oracle_find(&reference_double, o->name);
    for (size_t m = 0; m < sizeof memories / sizeof *memories; m++)
        for (int options = 0; options < 32; options++) {
            const int64_t *widths = memories[m] + 2;
            const int square = widths[1] == widths[1 + widths[0]];
            int64_t dims[EQUATION_DIMS], n = 0;
            if (!square && (options & 2 || options & 16)) continue;
            if (name_index(e->dims, "T") >= 0) dims[n++] = memories[m][0];
            if (name_index(e->dims, "b") >= 0) dims[n++] = memories[m][1];
            memcpy(dims + n, widths, 6 * sizeof *dims);
            for (int bit = 0; bit < 5; bit++) dims[n + 6 + bit] = options >> bit & 1;
            check_sizes(o, dims, 2, d);
        }
}

static void check_equation(const OracleEquation *o) {
    Difference d = {0};
    if (name_index(memory_names, o->name) >= 0) check_memory(o, &d);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (name_index(sizes[i].names, o->name) >= 0) check_sizes(o, sizes[i].dims, 3, &d);
    cr_assert(d.checks > 0, "%s: no sizes", o->name);
    ledger_record("oracle", o->name, d.checks, fmax(d.quad, d.real));
}

/* Every equation of the table between two names, so that the tests share the work. */
static void check_between(const char *first, const char *last) {
    const OracleEquation *o = oracle_equations;
    while (o->name && strcmp(o->name, first)) o++;
    for (; o->name; o++) {
        check_equation(o);
        if (!strcmp(o->name, last)) return;
    }
    cr_assert_fail("no %s after %s", last, first);
}

Test(oracle, layers) { check_between("qkv", "gates"); }
Test(oracle, memory_rules) { check_between("surprise", "memory_read"); }
Test(oracle, memory_sequential) { check_between("memory_sequential", "memory_sequential"); }
Test(oracle, memory_chunk) { check_between("memory_chunk", "chunk_closed"); }
Test(oracle, linear) { check_between("chunk_linear", "ttt_layer"); }
Test(oracle, mixers_without_context) { check_between("mixer_attention", "mixer_lmm"); }
Test(oracle, mixer_mac) { check_between("mixer_mac", "mixer_mac"); }
Test(oracle, mixers_gated_and_layered) { check_between("mixer_mag", "mixer_mal_h3"); }
