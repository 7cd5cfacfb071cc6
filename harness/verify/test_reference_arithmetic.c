/* The arithmetics against each other, for every equation there is: each bound is derived, none is chosen. */
#include "test_reference.h"

typedef struct Sizes {
    const char *name;
    int64_t dims[EQUATION_DIMS];
} Sizes;

static const Sizes table[] = {
    {"silu", {17}},
    {"l2_norm", {3, 5}},
    {"rms_norm", {3, 5}},
    {"conv", {6, 3, 4}},
    {"conv_silu", {6, 2, 2, 3}},
    {"conv_silu_l2", {6, 2, 2, 3}},
    {"norm_gate", {4, 2, 3}},
    {"gates", {4, 2, 0}},
    {"gates", {4, 2, 1}},
    {"swiglu", {3, 4}},
    {"rope", {4, 2, 6, 100}},
    {"cross_entropy", {4, 6}},
    {"qkv", {3, 4}},
    {"attention", {3, 5, 4}},
    {"window_attention", {4, 7, 4, 2, 1}},
    {"window_attention", {6, 6, 3, 3, 0}},
    {"persistent_prefix", {2, 3, 4}},
    {"softmax_ffn", {3, 5, 4, 2}},
    {"titans_gate", {4, 2, 3}},
    {"surprise", {1, 3, 2}},
    {"surprise", {3, 4, 5, 5, 4, 0, 1, 1, 1, 0, 0}},
    {"momentary_rule", {2, 3, 4, 3, 0, 0, 0, 1, 0, 1, 0}},
    {"momentum_rule", {2, 3, 4, 3, 0, 0, 1, 0, 0, 1, 0}},
    {"memory_step", {2, 3, 6, 3, 0, 0, 1, 1, 1, 1, 1}},
    {"memory_read", {2, 4, 5, 4, 0, 0, 1, 1, 1, 0, 0}},
    {"memory_sequential", {3, 1, 6, 6, 0, 0, 0, 1, 1, 1, 1, 1}},
    {"memory_chunk", {4, 4, 2, 6, 6, 6, 0, 0, 1, 1, 1, 1, 1}},
    {"memory_chunk", {5, 3, 1, 8, 8, 0, 0, 0, 1, 1, 1, 1, 1}},
    {"memory_chunk", {7, 3, 3, 4, 5, 5, 4, 0, 0, 1, 0, 1, 0}},
    {"chunk_closed", {4, 2, 6, 6, 6, 0, 0, 1, 1, 1, 1, 1}},
    {"surprise", {3, 3, 4, 4, 2}},
    {"momentary_rule", {2, 3, 4, 2}},
    {"momentum_rule", {2, 3, 4, 2}},
    {"memory_step", {4, 3, 4, 4, 4, 2}},
    {"memory_read", {4, 3, 4, 4, 4, 2}},
    {"memory_sequential", {6, 2, 3, 4, 2}},
    {"memory_chunk", {7, 3, 1, 4, 4}},
    {"memory_chunk", {7, 3, 2, 3, 4, 2}},
    {"chunk_closed", {5, 2, 3, 4, 2}},
    {"chunk_linear", {6, 4, 3}},
    {"chunk_momentum", {6, 4}},
    {"lti_kernel", {9}},
    {"lti_kernel_closed", {9}},
    {"chunk_lti", {7, 3}},
    {"linear_attention", {5, 4, 3, 1}},
    {"linear_attention", {5, 4, 3, 2}},
    {"linear_memory", {5, 4, 3, 0, 0}},
    {"linear_memory", {5, 4, 3, 1, 1}},
    {"diagonal_lmm", {6, 4, 3}},
    {"delta_net", {6, 4, 3}},
    {"gated_delta_net", {6, 4, 3}},
    {"longhorn", {6, 4, 3}},
    {"ttt_layer", {6, 4, 3}},
    {"mixer_attention", {5, 4, 2}},
    {"mixer_lmm", {5, 4, 2, 3, 2, 1, 1, 0}},
    {"mixer_lmm", {5, 4, 2, 2, 2, 2, 2, 1}},
    {"mixer_lmm", {6, 6, 1, 3, 8, 1, 2, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0}},
    {"mixer_lmm", {6, 6, 2, 3, 2, 2, 2, 0, 1, 1, 0, 1, 1, 1, 0, 0, 2}},
    {"mixer_lmm", {6, 4, 2, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1}},
    {"mixer_swa", {6, 4, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3}},
    {"mixer_mag", {6, 4, 2, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3}},
    {"mixer_mal_h3", {6, 4, 2, 3, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3}},
    {"mixer_mac", {7, 4, 2, 3, 2, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0}},
    {"mixer_mac", {7, 4, 2, 0, 2, 2, 1, 0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 4, 0, 1}},
    {"language_model", {5, 5, 4, 2, 2, 3, 0, 1, 1, 1, 1, 0}},
    {"language_model", {5, 5, 4, 2, 1, 3, 1, 2, 2, 2, 1, 0}},
    {"language_model", {5, 5, 4, 2, 1, 3, 3, 2, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0}},
    {"language_model", {5, 5, 4, 2, 2, 3, 5, 2, 2, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 2, 0}},
};

enum { CASES = sizeof table / sizeof *table, SEEDS = 3 };

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
        int index = i == name_index(c->e->in, "tokens") || i == name_index(c->e->in, "targets") ||
                    i == name_index(c->e->in, "target");
        x[i] = calloc((size_t)c->in_size[i] + 1, sizeof(double));
        for (int64_t j = 0; j < c->in_size[i] && !index; j++) x[i][j] = floor(uniform(&state) * 17 - 8) / 8;
    }
}

static void tangent_free(const Case *c, double **x) {
    for (int i = 0; i < c->inputs; i++) free(x[i]);
}

Test(reference_arithmetic, has_a_case_for_every_equation) {
    for (const Equation *const *file = reference_double.files; *file; file++)
        for (const Equation *e = *file; e->name; e++) {
            int found = 0;
            for (int i = 0; i < CASES; i++) found |= !strcmp(table[i].name, e->name);
            cr_assert(found, "no case for %s", e->name);
        }
}

/* Whatever the caller's arrays held before. */
Test(reference_arithmetic, shapes_set_every_size) {
    for (int i = 0; i < CASES; i++) {
        const Equation *e = oracle_find(&reference_double, table[i].name);
        int64_t in[2][EQUATION_TENSORS], out[2][EQUATION_TENSORS];
        for (int k = 0; k < EQUATION_TENSORS; k++) in[0][k] = out[0][k] = 1000, in[1][k] = out[1][k] = -7;
        for (int k = 0; k < 2; k++) e->shape(table[i].dims, in[k], out[k]);
        for (int k = 0; k < EQUATION_TENSORS; k++)
            cr_assert((k >= oracle_count(e->in) || in[0][k] == in[1][k]) &&
                          (k >= oracle_count(e->out) || out[0][k] == out[1][k]),
                      "%s: tensor %d has no size", e->name, k);
    }
}

Test(reference_arithmetic, double_agrees_with_the_widest_within_the_bound) {
    for (int i = 0; i < CASES; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case c = case_new(table[i].name, seed, table[i].dims);
            double *wide[EQUATION_TENSORS];
            outputs_new(&c, wide);
            case_run(&c);
            expect_finite(&c);
            oracle_run(&reference_quad, c.name, c.dims, constant(c.in), NULL, wide, NULL, NULL, NULL);
            for (int o = 0; o < c.outputs; o++)
                for (int64_t j = 0; j < c.out_size[o]; j++)
                    expect_near(&c, j, c.out[o][j], wide[o][j], c.tolerance[o][j]);
            outputs_free(&c, wide);
            case_free(&c);
        }
}

/* Not vacuous: the bound stays under 1 % of the largest element. */
Test(reference_arithmetic, float_is_within_its_bound_which_is_not_vacuous) {
    for (int i = 0; i < CASES; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case c = case_new(table[i].name, seed, table[i].dims);
            double *single[EQUATION_TENSORS], *error[EQUATION_TENSORS];
            outputs_new(&c, single);
            outputs_new(&c, error);
            oracle_run(&reference_bound, c.name, c.dims, constant(c.in), NULL, c.out, NULL, error, NULL);
            oracle_run(&reference_float, c.name, c.dims, constant(c.in), NULL, single, NULL, NULL, NULL);
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
        Case c = case_new("attention", seed, (int64_t[]){N, N, DH});
        double single[N * DH], error[N * DH], *single_out[] = {single}, *error_out[] = {error}, worst = 0;
        for (int64_t j = 0; j < N * DH; j++) c.in[0][j] = 64 + c.in[0][j], c.in[1][j] = 32 + c.in[1][j] / 64;
        oracle_run(&reference_bound, c.name, c.dims, constant(c.in), NULL, c.out, NULL, error_out, NULL);
        oracle_run(&reference_float, c.name, c.dims, constant(c.in), NULL, single_out, NULL, NULL, NULL);
        for (int64_t j = 0; j < N * DH; j++) {
            expect_near(&c, j, single[j], c.out[0][j], error[j]);
            worst = fmax(worst, fabs(single[j] - c.out[0][j]));
        }
        cr_assert(worst > 100 * 0x1p-24, "seed %d: error %g is no test", (int)seed, worst);
        case_free(&c);
    }
}

Test(reference_arithmetic, tangent_of_the_bound_is_the_complex_step) {
    for (int i = 0; i < CASES; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Case c = case_new(table[i].name, seed, table[i].dims);
            double *t[EQUATION_TENSORS], *step[EQUATION_TENSORS], *d[EQUATION_TENSORS], *e[EQUATION_TENSORS];
            tangent_new(&c, t);
            outputs_new(&c, step);
            outputs_new(&c, d);
            outputs_new(&c, e);
            oracle_run(&reference_complex_double, c.name, c.dims, constant(c.in), constant(t), c.out, step,
                       NULL, NULL);
            oracle_run(&reference_bound, c.name, c.dims, constant(c.in), constant(t), c.out, d, NULL, e);
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
    for (int i = 0; i < CASES; i++) {
        Case c = case_new(table[i].name, 7, table[i].dims);
        double *t[EQUATION_TENSORS], *step[EQUATION_TENSORS], *side[2][EQUATION_TENSORS];
        tangent_new(&c, t);
        outputs_new(&c, step);
        oracle_run(&reference_complex_double, c.name, c.dims, constant(c.in), constant(t), c.out, step, NULL,
                   NULL);
        for (int s = 0; s < 2; s++) {
            outputs_new(&c, side[s]);
            for (int k = 0; k < c.inputs; k++)
                for (int64_t j = 0; j < c.in_size[k]; j++) c.in[k][j] += (s ? -2 : 1) * h * t[k][j];
            oracle_run(&reference_quad, c.name, c.dims, constant(c.in), NULL, side[s], NULL, NULL, NULL);
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
        const int64_t dims[EQUATION_DIMS] = {L, 4, 4, 4, 4, 4};
        Case c = case_new("surprise", (uint64_t)L, dims);
        int64_t P = c.in_size[0];
        double one = 1, *g = calloc((size_t)P, sizeof(double)), *bound = calloc((size_t)P, sizeof(double));
        double *grad[] = {g, NULL, NULL}, *grad_bound[] = {bound, NULL, NULL};
        const double *cotangent[] = {&one, NULL};
        oracle_gradient(c.name, c.dims, constant(c.in), cotangent, grad, grad_bound);
        oracle_run(&reference_float, c.name, c.dims, constant(c.in), NULL, c.out, NULL, NULL, NULL);
        for (int64_t p = 0; p < P; p++) expect_near(&c, p, c.out[1][p], g[p], bound[p]);
        cr_assert(largest(bound, P) < 0.01 * largest(g, P));
        free(g);
        free(bound);
        case_free(&c);
    }
}
