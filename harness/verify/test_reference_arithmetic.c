/* The arithmetics against each other, for every equation there is: each bound is derived, none is chosen. */
#include "equation/cases.h"
#include "ledger.h"
#include "test_reference.h"

enum { SEEDS = 3 };

/* The i-th case at which arithmetics are compared, of those without a word; 0 past the end. */
static int arithmetic_case_without(const char *word, int i, uint64_t seed, Case *c) {
    for (int k = 0; case_at(k); k++) {
        if (!case_used(case_at(k), "arithmetic") || (*word && case_used(case_at(k), word)) || i-- > 0)
            continue;
        const Dims dims = case_dims(case_at(k));
        *c = case_at_dims(&dims, seed);
        return 1;
    }
    return 0;
}

static int arithmetic_case(int i, uint64_t seed, Case *c) { return arithmetic_case_without("", i, seed, c); }

/* Another set of arrays shaped like a case's outputs. */
static void outputs_new(const Case *c, double **x) {
    for (int i = 0; i < c->outputs; i++) x[i] = calloc((size_t)c->out_size[i] + 1, sizeof(double));
}

static void outputs_free(const Case *c, double **x) {
    for (int i = 0; i < c->outputs; i++) free(x[i]);
}

/* A direction in the inputs: multiples of 1/8, zero for indices. */
static void tangent_new(const Case *c, double **x) {
    uint64_t state = c->seed + 1000;
    for (int i = 0; i < c->inputs; i++) {
        int index = role_is_index(c->e->in[i].role);
        x[i] = calloc((size_t)c->in_size[i] + 1, sizeof(double));
        for (int64_t j = 0; j < c->in_size[i] && !index; j++) x[i][j] = floor(uniform(&state) * 17 - 8) / 8;
    }
}

static void tangent_free(const Case *c, double **x) {
    for (int i = 0; i < c->inputs; i++) free(x[i]);
}

Test(reference_arithmetic, has_a_case_for_every_equation) {
    for (int k = 0; oracle_at(k); k++) {
        int found = 0;
        for (int i = 0; case_at(i); i++)
            found |= !strcmp(case_at(i)->equation, oracle_at(k)->name) && case_used(case_at(i), "arithmetic");
        cr_assert(found, "harness/case/%s.tsv has no row for arithmetic", oracle_at(k)->name);
    }
}

Test(reference_arithmetic, double_agrees_with_the_widest_within_the_bound) {
    Case c;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int i = 0; arithmetic_case(i, seed, &c); i++) {
            double *wide[EQUATION_ARGUMENTS];
            outputs_new(&c, wide);
            case_run(&c);
            expect_finite(&c);
            oracle_run(&reference_quad, &c.dims, constant(c.in), NULL, wide, NULL, NULL, NULL);
            for (int o = 0; o < c.outputs; o++)
                for (int64_t j = 0; j < c.out_size[o]; j++)
                    expect_near(&c, j, c.out[o][j], wide[o][j], c.tolerance[o][j]);
            outputs_free(&c, wide);
            case_free(&c);
        }
}

/* Not vacuous: the bound stays under 1 % of the largest element. */
Test(reference_arithmetic, float_is_within_its_bound_which_is_not_vacuous) {
    Case c;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int i = 0; arithmetic_case(i, seed, &c); i++) {
            double *single[EQUATION_ARGUMENTS], *error[EQUATION_ARGUMENTS];
            outputs_new(&c, single);
            outputs_new(&c, error);
            oracle_run(&reference_bound, &c.dims, constant(c.in), NULL, c.out, NULL, error, NULL);
            oracle_run(&reference_float, &c.dims, constant(c.in), NULL, single, NULL, NULL, NULL);
            for (int o = 0; o < c.outputs; o++) {
                double size = largest(c.out[o], c.out_size[o]), bound = largest(error[o], c.out_size[o]);
                cr_assert(bound < 0.01 * size, "%s case %d seed %d output %d: bound %g of %g", c.name, i,
                          (int)seed, o, bound, size);
                for (int64_t j = 0; j < c.out_size[o]; j++)
                    expect_near(&c, j, single[o][j], c.out[o][j], error[o][j]);
            }
            outputs_free(&c, single);
            outputs_free(&c, error);
            case_free(&c);
        }
}

/* Nearly equal large keys: the scores' errors, not the softmax's own roundings, are what the bound must carry
 * through exp. */
Test(reference_arithmetic, bound_carries_errors_through_exp) {
    enum { N = 8, DH = 8 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        Case c = case_new("attention", seed, "tokens=%d keys=%d head_width=%d", N, N, DH);
        double single[N * DH], error[N * DH], *single_out[] = {single}, *error_out[] = {error}, worst = 0;
        for (int64_t j = 0; j < N * DH; j++) c.in[0][j] = 64 + c.in[0][j], c.in[1][j] = 32 + c.in[1][j] / 64;
        oracle_run(&reference_bound, &c.dims, constant(c.in), NULL, c.out, NULL, error_out, NULL);
        oracle_run(&reference_float, &c.dims, constant(c.in), NULL, single_out, NULL, NULL, NULL);
        for (int64_t j = 0; j < N * DH; j++) {
            expect_near(&c, j, single[j], c.out[0][j], error[j]);
            worst = fmax(worst, fabs(single[j] - c.out[0][j]));
        }
        cr_assert(worst > 100 * 0x1p-24, "seed %d: error %g is no test", (int)seed, worst);
        case_free(&c);
    }
}

Test(reference_arithmetic, tangent_of_the_bound_is_the_complex_step) {
    Case c;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int i = 0; arithmetic_case(i, seed, &c); i++) {
            double *t[EQUATION_ARGUMENTS], *step[EQUATION_ARGUMENTS], *d[EQUATION_ARGUMENTS],
                *e[EQUATION_ARGUMENTS];
            tangent_new(&c, t);
            outputs_new(&c, step);
            outputs_new(&c, d);
            outputs_new(&c, e);
            oracle_run(&reference_complex_double, &c.dims, constant(c.in), constant(t), c.out, step, NULL,
                       NULL);
            oracle_run(&reference_bound, &c.dims, constant(c.in), constant(t), c.out, d, NULL, e);
            for (int o = 0; o < c.outputs; o++)
                for (int64_t j = 0; j < c.out_size[o]; j++)
                    expect_near(&c, j, step[o][j], d[o][j], 2 * 0x1p-29 * e[o][j]);
            tangent_free(&c, t);
            outputs_free(&c, step);
            outputs_free(&c, d);
            outputs_free(&c, e);
            case_free(&c);
        }
}

/* Independent of complex arithmetic: a central difference of the widest arithmetic at x +- h t, exact in
 * double. Its error is h^2 f''' / 6, with f''' some hundreds here, and 2^-53 / h from the result's rounding.
 */
Test(reference_arithmetic, complex_step_is_the_limit_of_central_differences) {
    const double h = 0x1p-18;
    Case c;
    for (int i = 0; arithmetic_case_without("detached", i, 7, &c); i++) {
        double *t[EQUATION_ARGUMENTS], *step[EQUATION_ARGUMENTS], *side[2][EQUATION_ARGUMENTS];
        tangent_new(&c, t);
        outputs_new(&c, step);
        oracle_run(&reference_complex_double, &c.dims, constant(c.in), constant(t), c.out, step, NULL, NULL);
        for (int s = 0; s < 2; s++) {
            outputs_new(&c, side[s]);
            for (int k = 0; k < c.inputs; k++)
                for (int64_t j = 0; j < c.in_size[k]; j++) c.in[k][j] += (s ? -2 : 1) * h * t[k][j];
            oracle_run(&reference_quad, &c.dims, constant(c.in), NULL, side[s], NULL, NULL, NULL);
        }
        for (int o = 0; o < c.outputs; o++) {
            double size = 1 + largest(step[o], c.out_size[o]);
            for (int64_t j = 0; j < c.out_size[o]; j++)
                expect_near(&c, j, (side[0][o][j] - side[1][o][j]) / (2 * h), step[o][j], 1e-7 * size);
        }
        tangent_free(&c, t);
        outputs_free(&c, step);
        for (int s = 0; s < 2; s++) outputs_free(&c, side[s]);
        case_free(&c);
    }
}

/* The hand-written float32 back-propagation of eq 12 lies within the bound derived for its complex step. */
Test(reference_arithmetic, gradient_bound_covers_back_propagation) {
    for (int64_t L = 1; L <= 4; L++) {
        Case c = case_new("surprise", (uint64_t)L, "memory_layers=%ld n0=4 n1=4 n2=4 n3=4 n4=4", L);
        int64_t P = c.in_size[0];
        double one = 1, *g = calloc((size_t)P, sizeof(double)), *bound = calloc((size_t)P, sizeof(double));
        double *grad[] = {g, NULL, NULL}, *grad_bound[] = {bound, NULL, NULL};
        const double *cotangent[] = {&one, NULL};
        oracle_gradient(&c.dims, constant(c.in), cotangent, grad, grad_bound);
        oracle_run(&reference_float, &c.dims, constant(c.in), NULL, c.out, NULL, NULL, NULL);
        for (int64_t p = 0; p < P; p++) expect_near(&c, p, c.out[1][p], g[p], bound[p]);
        cr_assert(largest(bound, P) < 0.01 * largest(g, P));
        free(g);
        free(bound);
        case_free(&c);
    }
}

/* Reverse mode is a derivation of its own: what arrives at the inputs, along a direction, is the complex step's change of
 * the outputs, contracted with the cotangent. */
Test(reference_arithmetic, reverse_mode_is_the_complex_step) {
    Case c;
    int64_t checks = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (int i = 0; arithmetic_case(i, seed, &c); i++) {
            double *t[EQUATION_ARGUMENTS], *step[EQUATION_ARGUMENTS], *cotangent[EQUATION_ARGUMENTS],
                *grad[EQUATION_ARGUMENTS], forward = 0, reverse = 0, size = 0;
            uint64_t state = seed + 77;
            tangent_new(&c, t);
            outputs_new(&c, step);
            outputs_new(&c, cotangent);
            for (int o = 0; o < c.outputs; o++)
                for (int64_t j = 0; j < c.out_size[o]; j++) cotangent[o][j] = 2 * uniform(&state) - 1;
            for (int k = 0; k < c.inputs; k++) grad[k] = oracle_zeros(c.in_size[k]);
            oracle_run(&reference_complex_double, &c.dims, constant(c.in), constant(t), c.out, step, NULL,
                       NULL);
            oracle_adjoint(&c.dims, constant(c.in), constant(cotangent), c.out, grad);
            for (int o = 0; o < c.outputs; o++)
                for (int64_t j = 0; j < c.out_size[o]; j++) {
                    forward += cotangent[o][j] * step[o][j];
                    size += fabs(cotangent[o][j] * step[o][j]);
                }
            for (int k = 0; k < c.inputs; k++)
                for (int64_t j = 0; j < c.in_size[k]; j++) {
                    reverse += grad[k][j] * t[k][j];
                    size += fabs(grad[k][j] * t[k][j]);
                }
            cr_assert(size > 0, "%s: no gradient at all", c.name);
            cr_assert(fabs(forward - reverse) <= 1e-11 * size,
                      "%s case %d: complex step %.17g, reverse mode %.17g", c.name, i, forward, reverse);
            checks++;
            for (int k = 0; k < c.inputs; k++) free(grad[k]);
            tangent_free(&c, t);
            outputs_free(&c, step);
            outputs_free(&c, cotangent);
            case_free(&c);
        }
    ledger_record("reference_arithmetic", "reverse mode", checks, 0);
}
