/* Suite oracle: the reference against a second implementation, written without sight of it (oracle/). Quad
 * against quad, each rounded to double, leaves one unit in the last place; double is allowed a multiple. */
#include "equation/cases.h"
#include "ledger.h"
#include "oracle/oracle.h"
#include "test_reference.h"

#include <criterion/parameterized.h>

/* Names in a list of words. */
static int listed(const char *list, const char *name) {
    const size_t n = strlen(name);
    for (const char *at = strstr(list, name); at; at = strstr(at + 1, name))
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return 1;
    return 0;
}

static const char memory_names[] = "surprise momentary_rule momentum_rule memory_step memory_read "
                                   "memory_sequential memory_chunk chunk_closed";

/* What amplifies errors: whatever carries a memory from token to token. */
static int recurrent(const Equation *e) {
    return listed("memory_sequential memory_chunk chunk_closed", e->name) ||
           argument_find(e->in, "theta_max") > 0;
}

/* tokens, chunk, layers and widths, each with every option that the widths admit. */
static const struct {
    int64_t tokens, chunk, layers;
    const char *widths;
} memories[] = {
    {1, 1, 1, "n0=3 n1=3"},
    {7, 3, 1, "n0=2 n1=4"},
    {5, 2, 2, "n0=3 n1=5 n2=3"},
    {6, 1, 2, "n0=2 n1=3 n2=4"},
    {9, 4, 1, "n0=3 n1=3"},
    {6, 16, 3, "n0=3 n1=2 n2=4 n3=3"},
    {7, 3, 4, "n0=3 n1=2 n2=4 n3=3 n4=3"},
};

typedef struct Difference {
    int64_t checks;
    double quad, real; /* the largest, in units of the tolerance */
} Difference;

/* Double's own errors, of a few operations and amplified by a memory's recurrence (largest seen: 2^-45.3 and
 * 2^-38.3). */
static const double double_tolerance = 0x1p-43, recurrent_tolerance = 0x1p-36;

/* Largest difference of an output, relative to its largest value, over the tolerance. */
static double compared(const double *got, const double *want, int64_t n, double tolerance) {
    double scale = 0, error = 0;
    for (int64_t i = 0; i < n; i++) {
        scale = fmax(scale, fabs(want[i]));
        error = fmax(error, isfinite(got[i]) && isfinite(want[i]) ? fabs(got[i] - want[i]) : INFINITY);
    }
    return error > 0 ? error / (scale * tolerance) : 0;
}

static void compare(const Reference *r, double tolerance, const Case *c, Difference *d, double *worst) {
    double *got[EQUATION_ARGUMENTS];
    char at[256];
    dims_write(&c->dims, at, sizeof at);
    for (int i = 0; i < c->outputs; i++) got[i] = oracle_zeros(c->out_size[i]);
    oracle_run(r, &c->dims, constant(c->in), NULL, got, NULL, NULL, NULL);
    for (int i = 0; i < c->outputs; i++) {
        const double ratio = compared(got[i], c->out[i], c->out_size[i], tolerance);
        cr_expect(ratio <= 1, "%s in %s, output %s, %s: off by %g of %g", c->name, r->name, c->e->out[i].name,
                  at, ratio * tolerance, tolerance);
        *worst = fmax(*worst, ratio);
        d->checks += c->out_size[i];
        free(got[i]);
    }
}

/* One equation at one size. The first seed is run with exact constants, the others as the reference holds
 * them. */
static void check_sizes(const OracleEquation *o, const Dims *dims, uint64_t seeds, Difference *d) {
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        Case c = case_at_dims(dims, seed * 1000 + (uint64_t)dims_get_or(dims, "tokens", 1));
        const OracleCall call = {dims, constant(c.in), c.out};
        oracle_rounds_constants = seed > 1;
        oracle_equation_run(o, &call);
        compare(&reference_double, recurrent(c.e) ? recurrent_tolerance : double_tolerance, &c, d, &d->real);
        if (oracle_rounds_constants) compare(&reference_quad, 0x1p-52, &c, d, &d->quad);
        case_free(&c);
    }
}

/* The options that a memory of these widths admits: a residual needs n0 = n_L. */
static void check_memory(const OracleEquation *o, Difference *d) {
    static const char *const option[] = {"activation", "memory_residual", "memory_norm", "gates_per_layer",
                                         "channelwise"};
    for (size_t m = 0; m < sizeof memories / sizeof *memories; m++)
        for (int options = 0; options < 32; options++) {
            Dims dims = dims_of(o->name, "memory_layers=%ld %s", memories[m].layers, memories[m].widths);
            if (dims_get_or(&dims, "tokens", -1) >= 0) dims_set(&dims, "tokens", memories[m].tokens);
            if (dims_get_or(&dims, "chunk", -1) >= 0) dims_set(&dims, "chunk", memories[m].chunk);
            for (int bit = 0; bit < 5; bit++) dims_set(&dims, option[bit], options >> bit & 1);
            if (!dims_objection(&dims)) check_sizes(o, &dims, 2, d);
        }
}

ParameterizedTestParameters(oracle, equation) {
    static int index[256];
    int n = 0;
    for (; oracle_equation(n); n++) index[n] = n;
    return cr_make_param_array(int, index, (size_t)n);
}

ParameterizedTest(int *index, oracle, equation) {
    const OracleEquation *o = oracle_equation(*index);
    Difference d = {0};
    if (listed(memory_names, o->name)) check_memory(o, &d);
    for (int i = 0; case_at(i); i++) {
        if (strcmp(case_at(i)->equation, o->name) || !case_used(case_at(i), "oracle")) continue;
        const Dims dims = case_dims(case_at(i));
        check_sizes(o, &dims, 3, &d);
    }
    cr_assert(d.checks > 0, "harness/case/%s.tsv has no row for the oracle", o->name);
    ledger_record("oracle", o->name, d.checks, fmax(d.quad, d.real));
}
