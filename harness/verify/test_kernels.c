/* Every kernel that has an equation, on every instruction set that runs here: forward and backward inside the
 * derived bound, which is tested from both sides; exact where float32 is; the same bits on every instruction set
 * and with 1, 2 and 3 threads. */
#include "equation/cases.h"
#include "kernel_runs.h"
#include "ledger.h"

#include <omp.h>
#include <stdio.h>

enum { SEEDS = 2 };

static const char *dims_text(const Case *c) {
    static char text[512];
    dims_write(&c->dims, text, sizeof text);
    return text;
}

/* What float32's running error of the same evaluation allows, and one rounding of the result. */
static void allow(int64_t n, const double *want, double *bound) {
    for (int64_t j = 0; j < n; j++) bound[j] += 0x1p-24 * fabs(want[j]) + 0x1p-126;
}

/* Largest |got - want| / allowed, which is at most 1; and twice as much would have been refused. */
static double worst_ratio(const KernelAdapter *a, const Case *c, const char *what, int64_t n, float *got,
                          const double *want, const double *allowed) {
    int64_t at;
    const double worst = largest_ratio(n, got, want, allowed, &at);
    cr_assert(worst <= 1.0, "%s (%s %s) on %s, seed %llu: %s[%lld] = %.9g, want %.9g +- %.3g (ratio %.3g)",
              a->kernel, a->equation, dims_text(c), kernel->isa, (unsigned long long)c->seed, what,
              (long long)at, (double)got[at], want[at], allowed[at], worst);
    expect_refusals(a->kernel, n, got, want, allowed);
    return worst;
}

static int64_t bounds_of(const KernelAdapter *a, const Case *c, const double *const *allowed, double *worst) {
    KernelRun r;
    int64_t checks = 0;
    run_new(&r, c, 0);
    a->run(&r);
    run_expect_tidy(&r, c, a->kernel);
    for (int i = 0; i < c->outputs; i++) {
        const double ratio = worst_ratio(a, c, "out", c->out_size[i], r.out[i], c->out[i], allowed[i]);
        if (ratio > *worst) *worst = ratio;
        checks += c->out_size[i];
    }
    run_free(&r, c);
    return checks;
}

static void shrink(Case *c, int powers) {
    for (int i = 0; powers != 0 && i < c->inputs; i++)
        for (int64_t j = 0; j < c->in_size[i]; j++)
            if (!role_is_gate(c->e->in[i].role) && !role_is_index(c->e->in[i].role))
                c->in[i][j] = ldexp(c->in[i][j], -powers);
}

/* Whether the row of an adapter's equation is tried with that word of `use`. */
static int tried(const KernelAdapter *a, const EquationCase *row, const char *use) {
    return !strcmp(row->equation, a->equation) && case_used(row, use);
}

static Case row_case(const EquationCase *row, uint64_t seed) {
    const Dims dims = case_dims(row);
    Case c = case_at_dims(&dims, seed);
    shrink(&c, row->shrink);
    return c;
}

typedef int64_t (*CaseCheck)(const KernelAdapter *a, const EquationCase *row, Case *c, double *worst);

/* Large cases are tried once. */
static uint64_t seeds_of(const EquationCase *row) { return case_used(row, "reverse") ? 1 : SEEDS; }

/* Runs check for every adapter, and every row and seed that is there for `use`. */
static void for_every_case(const char *suite, const char *use, CaseCheck check) {
    KernelAdapter a;
    for (int k = 0; kernel_adapter_at(k, &a); k++) {
        int64_t checks = 0;
        double worst = 0;
        for (int i = 0; case_at(i); i++)
            for (uint64_t seed = 1; seed <= seeds_of(case_at(i)) && tried(&a, case_at(i), use); seed++) {
                Case c = row_case(case_at(i), seed);
                checks += check(&a, case_at(i), &c, &worst);
                case_free(&c);
            }
        cr_assert(checks > 0, "%s: nothing checked for %s (harness/case/%s.tsv)", suite, a.kernel,
                  a.equation);
        ledger_record(suite, a.kernel, checks, worst);
    }
}

/* Whether a row has no bound of its own. */
static int is_normwise(const EquationCase *row) {
    return case_used(row, "normwise") || case_used(row, "bf16");
}

/* Every bound becomes the same share of the largest value. */
static void normwise(const EquationCase *row, int64_t n, const double *value, double units, double *bound) {
    const double unit = case_used(row, "bf16") ? 0x1p-16 : 0x1p-24;
    const double tolerance = units * unit * largest(value, n);
    for (int64_t j = 0; j < n; j++) bound[j] = tolerance;
}

/* The reference's outputs, and what a float32 evaluation of them may miss. */
static void derive_bounds(const EquationCase *row, Case *c) {
    oracle_run(&reference_bound, &c->dims, constant(c->in), NULL, c->out, NULL, c->tolerance, NULL);
    for (int i = 0; i < c->outputs; i++) {
        if (is_normwise(row)) normwise(row, c->out_size[i], c->out[i], NORMWISE_FORWARD, c->tolerance[i]);
        allow(c->out_size[i], c->out[i], c->tolerance[i]);
    }
}

static void expect_telling_bounds(const Case *c) {
    for (int i = 0; i < c->outputs; i++)
        cr_assert(largest(c->tolerance[i], c->out_size[i]) <=
                      0.01 * largest(c->out[i], c->out_size[i]) + 1e-6,
                  "%s: the bound of output %d says nothing (%s)", c->name, i, dims_text(c));
}

static int64_t check_forward(const KernelAdapter *a, const EquationCase *row, Case *c, double *worst) {
    int64_t checks = 0;
    derive_bounds(row, c);
    expect_telling_bounds(c);
    for (int i = 0; kernels_at(i); i++) {
        if (!kernels_supported(kernels_at(i))) continue;
        kernel = kernels_at(i);
        checks += bounds_of(a, c, constant(c->tolerance), worst);
    }
    return checks;
}
Test(kernels, forward_is_within_the_derived_bound) {
    for_every_case("kernel forward", "forward", check_forward);
}

/* Nothing to compare: named as not computed (every_gradient_is_compared_or_named holds this against the kernels). */
static int is_fixed(const Case *c, int i) { return !kernel_gradient_is_computed(c->e, i); }

/* By complex step, with a derived bound; in one run by reverse mode, without one, where there are too many inputs. */
static void gradient_of(const EquationCase *row, const Case *c, double *const *cotangent, double *const *grad,
                        double *const *bound) {
    double *none[EQUATION_ARGUMENTS] = {0};
    if (case_used(row, "reverse"))
        oracle_adjoint(&c->dims, constant(c->in), constant(cotangent), none, grad);
    else
        oracle_gradient(&c->dims, constant(c->in), constant(cotangent), grad, bound);
}

static int64_t check_gradient(const KernelAdapter *a, const EquationCase *row, Case *c, double *worst) {
    double *cotangent[EQUATION_ARGUMENTS] = {0}, *grad[EQUATION_ARGUMENTS] = {0},
           *bound[EQUATION_ARGUMENTS] = {0};
    int64_t checks = 0;
    KernelRun r;
    if (!kernel_differentiable(a, &c->dims)) return 0;
    run_new(&r, c, 1);
    for (int i = 0; i < c->outputs; i++) {
        cotangent[i] = oracle_zeros(c->out_size[i]);
        for (int64_t j = 0; j < c->out_size[i]; j++) cotangent[i][j] = (double)r.cotangent[i][j];
    }
    for (int i = 0; i < c->inputs; i++) {
        if (is_fixed(c, i)) continue;
        grad[i] = oracle_zeros(c->in_size[i]);
        bound[i] = oracle_zeros(c->in_size[i]);
    }
    gradient_of(row, c, cotangent, grad, bound);
    for (int i = 0; i < c->inputs; i++)
        if (grad[i] && bound[i] && (is_normwise(row) || case_used(row, "reverse")))
            normwise(row, c->in_size[i], grad[i], NORMWISE_GRADIENT, bound[i]);
    for (int i = 0; i < c->inputs; i++)
        cr_assert(!grad[i] || !bound[i] ||
                      largest(bound[i], c->in_size[i]) <= 0.05 * largest(grad[i], c->in_size[i]) + 1e-5,
                  "%s (%s): the gradient's bound of input %d says nothing: %g of %g", c->name, dims_text(c),
                  i, largest(bound[i], c->in_size[i]), largest(grad[i], c->in_size[i]));
    for (int i = 0; i < c->inputs; i++)
        if (grad[i] && bound[i]) allow(c->in_size[i], grad[i], bound[i]);
    run_free(&r, c);
    for (int k = 0; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        kernel = kernels_at(k);
        run_new(&r, c, 1);
        a->run(&r);
        run_expect_tidy(&r, c, a->kernel);
        for (int i = 0; i < c->inputs; i++) {
            if (!grad[i] || !bound[i]) continue;
            const double ratio = worst_ratio(a, c, "gradient", c->in_size[i], r.grad[i], grad[i], bound[i]);
            if (ratio > *worst) *worst = ratio;
            checks += c->in_size[i];
        }
        run_free(&r, c);
    }
    for (int i = 0; i < c->inputs; i++) free(grad[i]), free(bound[i]);
    for (int i = 0; i < c->outputs; i++) free(cotangent[i]);
    return checks;
}
Test(kernels, gradient_equals_complex_step) { for_every_case("kernel gradient", "gradient", check_gradient); }

/* What is known of an input's gradient after all rows: how many numbers are compared, the largest of the complex step
 * and of the kernel. */
typedef struct {
    int64_t compared;
    double reference, kernel;
} GradientSeen;

static void see_gradients(const KernelAdapter *a, const EquationCase *row, const Case *c,
                          GradientSeen *seen) {
    double *cotangent[EQUATION_ARGUMENTS] = {0}, *grad[EQUATION_ARGUMENTS] = {0};
    KernelRun r;
    run_new(&r, c, 1);
    a->run(&r);
    for (int o = 0; o < c->outputs; o++) {
        cotangent[o] = oracle_zeros(c->out_size[o]);
        for (int64_t j = 0; j < c->out_size[o]; j++) cotangent[o][j] = (double)r.cotangent[o][j];
    }
    for (int i = 0; i < c->inputs; i++) grad[i] = oracle_zeros(c->in_size[i]);
    gradient_of(row, c, cotangent, grad, NULL);
    for (int i = 0; i < c->inputs; i++) {
        seen[i].compared += is_fixed(c, i) ? 0 : c->in_size[i];
        seen[i].reference = fmax(seen[i].reference, largest(grad[i], c->in_size[i]));
        for (int64_t j = 0; j < c->in_size[i]; j++)
            seen[i].kernel = fmax(seen[i].kernel, fabs((double)r.grad[i][j]));
    }
    for (int i = 0; i < c->inputs; i++) free(grad[i]);
    for (int o = 0; o < c->outputs; o++) free(cotangent[o]);
    run_free(&r, c);
}

/* Compared, with neither side 0 all over, or 0 on both where the input is not read; or named as not computed, and then the kernel leaves it alone although there
 * is one; indices have none. */
static int gradient_is_sound(const Equation *e, int i, const GradientSeen *seen) {
    if (!kernel_input_is_read(e, i)) return seen->reference == 0 && seen->kernel == 0;
    if (kernel_gradient_is_computed(e, i)) return seen->compared && seen->reference > 0 && seen->kernel > 0;
    return seen->kernel == 0 && (seen->reference > 0) == !role_is_index(e->in[i].role);
}

/* Every input of every kernel. */
Test(kernels, every_gradient_is_compared_or_named) {
    KernelAdapter a;
    kernel = kernels_at(0);
    for (int k = 0; kernel_adapter_at(k, &a); k++) {
        GradientSeen seen[EQUATION_ARGUMENTS] = {{0, 0, 0}};
        const Equation *e = oracle_lookup(&reference_double, a.equation);
        for (int i = 0; case_at(i); i++) {
            if (!tried(&a, case_at(i), "gradient")) continue;
            Case c = row_case(case_at(i), 1);
            if (kernel_differentiable(&a, &c.dims)) see_gradients(&a, case_at(i), &c, seen);
            case_free(&c);
        }
        for (int i = 0; e->in[i].name; i++)
            cr_assert(gradient_is_sound(e, i, &seen[i]),
                      "%s: the gradient of %s: %lld numbers compared, largest %g, the kernel's %g", a.kernel,
                      e->in[i].name, (long long)seen[i].compared, seen[i].reference, seen[i].kernel);
        ledger_record("named gradients", a.kernel, argument_count(e->in), 0);
    }
}

/* ---- the bound from the other side ------------------------------------------------------------------------ */

/* The largest element of input i grows by 2^-8 of itself: which outputs leave their bound? */
static int leaves_its_bound(const KernelAdapter *a, Case *c, int i) {
    int64_t most = 0, at;
    int left = 0;
    for (int64_t j = 1; j < c->in_size[i]; j++)
        if (fabs(c->in[i][j]) > fabs(c->in[i][most])) most = j;
    const double was = c->in[i][most];
    KernelRun r;
    c->in[i][most] += ldexp(was, -8);
    run_new(&r, c, 0);
    c->in[i][most] = was;
    a->run(&r);
    for (int o = 0; o < c->outputs; o++)
        left |= largest_ratio(c->out_size[o], r.out[o], c->out[o], c->tolerance[o], &at) > 1.0;
    run_free(&r, c);
    return left;
}

/* No input of any kernel may be a little wrong unnoticed, in at least one of the sizes checked. */
Test(kernels, a_slightly_wrong_input_leaves_the_bound) {
    KernelAdapter a;
    kernel = kernels_at(0);
    for (int k = 0; kernel_adapter_at(k, &a); k++) {
        int seen[EQUATION_ARGUMENTS] = {0}, inputs = 0;
        for (int i = 0; case_at(i); i++) {
            if (!tried(&a, case_at(i), "forward")) continue;
            Case c = row_case(case_at(i), 1);
            derive_bounds(case_at(i), &c);
            inputs = c.inputs;
            for (int n = 0; n < inputs; n++)
                seen[n] |= is_fixed(&c, n) || !kernel_input_is_read(c.e, n) ||
                           (c.in_size[n] && leaves_its_bound(&a, &c, n));
            case_free(&c);
        }
        for (int n = 0; n < inputs; n++)
            cr_assert(seen[n], "%s: no size shows that input %s is wrong by 2^-8", a.kernel,
                      oracle_lookup(&reference_double, a.equation)->in[n].name);
        ledger_record("wrong input", a.kernel, inputs, 0);
    }
}

/* Errors against the widest arithmetic in units in the last place of the largest number, summed over outputs and
 * cases. */
typedef struct {
    double ours, plain;
    int64_t outputs;
} Errors;

static void add_errors(const KernelAdapter *a, const Case *c, Errors *sum) {
    double *single[EQUATION_ARGUMENTS] = {0};
    KernelRun r;
    for (int o = 0; o < c->outputs; o++) single[o] = calloc((size_t)c->out_size[o] + 1, sizeof(double));
    oracle_run(&reference_quad, &c->dims, constant(c->in), NULL, c->out, NULL, NULL, NULL);
    oracle_run(&reference_float, &c->dims, constant(c->in), NULL, single, NULL, NULL, NULL);
    run_new(&r, c, 0);
    a->run(&r);
    for (int o = 0; o < c->outputs; o++) {
        double plain = 0, ours = 0;
        const double ulp = 0x1p-23 * largest(c->out[o], c->out_size[o]) + 0x1p-126;
        for (int64_t j = 0; j < c->out_size[o]; j++) {
            plain = fmax(plain, fabs(single[o][j] - c->out[o][j]));
            ours = fmax(ours, fabs((double)r.out[o][j] - c->out[o][j]));
        }
        sum->ours += ours / ulp, sum->plain += plain / ulp, sum->outputs++;
        free(single[o]);
    }
    run_free(&r, c);
}

/* On average over its cases no kernel is more than twice as far off as the plain loops of the reference in float32
 * are, and two units in the last place: also where the running bound says nothing. */
Test(kernels, error_is_at_most_twice_that_of_plain_float) {
    enum { MANY = 6 };
    KernelAdapter a;
    kernel = kernels_at(0);
    for (int k = 0; kernel_adapter_at(k, &a); k++) {
        Errors sum = {0, 0, 0};
        for (int i = 0; case_at(i); i++) {
            const uint64_t seeds = case_used(case_at(i), "gradient") ? MANY : 1;
            for (uint64_t seed = 1; seed <= seeds && tried(&a, case_at(i), "forward"); seed++) {
                Case c = row_case(case_at(i), seed);
                add_errors(&a, &c, &sum);
                case_free(&c);
            }
        }
        const double ratio = sum.ours / (2 * sum.plain + 2 * (double)sum.outputs);
        cr_assert(sum.outputs > 0 && ratio <= 1.0, "%s: %.3g ulp off on average, plain float32 %.3g",
                  a.kernel, sum.ours / (double)sum.outputs, sum.plain / (double)sum.outputs);
        ledger_record("twice plain", a.kernel, sum.outputs, ratio);
    }
}

/* ---- where float32 is exact ------------------------------------------------------------------------------- */

static void expect_exact(const KernelAdapter *a, const Case *c) {
    for (int k = 0; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        KernelRun r;
        kernel = kernels_at(k);
        run_new(&r, c, 0);
        a->run(&r);
        for (int o = 0; o < c->outputs; o++)
            for (int64_t j = 0; j < c->out_size[o]; j++)
                cr_assert((double)r.out[o][j] == c->out[o][j],
                          "%s (%s) on %s: output %d[%lld] = %.9g, exactly %.9g", a->kernel, dims_text(c),
                          kernel->isa, o, (long long)j, (double)r.out[o][j], c->out[o][j]);
        run_free(&r, c);
    }
}

/* Integers, decay and momentum 0, 1/2 or 1, theta a power of 2: every product and every sum is a float32 number, so
 * that no order of evaluation can show, and one wrong index does. */
static void make_dyadic(Case *c) {
    static const double decay[] = {0, 1, 0.5, 0}, carry[] = {1, 0, 0.5, 1};
    for (int i = 0; i < c->inputs; i++)
        for (int64_t j = 0; j < c->in_size[i]; j++) c->in[i][j] = floor(c->in[i][j] * 2.5 + 0.5);
    if (argument_find(c->e->in, "alpha") < 0) return;
    /* many tokens: the momentum adds up, nothing decays, the last four are learned */
    if (case_dim(c, "T") > 16) {
        case_set(c, "alpha", 0), case_set(c, "theta", 0), case_set(c, "eta", 1);
        for (int64_t t = case_dim(c, "T") - 4; t < case_dim(c, "T"); t++) case_in(c, "theta")[t] = 0.5;
        return;
    }
    for (int64_t t = 0; t < case_in_size(c, "alpha"); t++) {
        case_in(c, "alpha")[t] = decay[(t + (int64_t)c->seed) % 4];
        case_in(c, "eta")[t] = carry[(t / 2 + (int64_t)c->seed) % 4];
        case_in(c, "theta")[t] = t % 3 ? 0.5 : 0.25;
    }
}

/* An exact case indeed: float32 makes the same numbers as double. How many there are. */
static int64_t expect_exact_in_float(const Case *c) {
    double *single[EQUATION_ARGUMENTS];
    int64_t checks = 0;
    for (int o = 0; o < c->outputs; o++) single[o] = oracle_zeros(c->out_size[o]);
    oracle_run(&reference_float, &c->dims, constant(c->in), NULL, single, NULL, NULL, NULL);
    for (int o = 0; o < c->outputs; o++) {
        cr_assert(same_bits(single[o], c->out[o], c->out_size[o]), "%s (%s) is no exact case", c->name,
                  dims_text(c));
        checks += c->out_size[o];
        free(single[o]);
    }
    return checks;
}

Test(kernels, are_exact_where_float32_is) {
    KernelAdapter a;
    int64_t checks = 0;
    for (int i = 0; case_at(i); i++)
        for (uint64_t seed = 1; seed <= 4 && case_used(case_at(i), "exact"); seed++) {
            const Dims dims = case_dims(case_at(i));
            Case c = case_at_dims(&dims, seed);
            make_dyadic(&c);
            case_run(&c);
            checks += expect_exact_in_float(&c);
            for (int k = 0; kernel_adapter_at(k, &a); k++)
                if (!strcmp(a.equation, c.name)) expect_exact(&a, &c);
            case_free(&c);
        }
    ledger_record("exact", "gemm, memory", checks, 0);
}

/* Decay 0, 1 and the float32 next to 1, chunks of 64 and 512 with a rest: finite, and within the bound. Where the
 * products of decays underflow, nothing may divide by them. */
Test(kernels, gates_at_their_ends_stay_within_the_bound) {
    static const double ends[] = {0, 1, 1 - 0x1p-24};
    static const EquationCase plain = {.equation = "memory_chunk", .use = ""};
    KernelAdapter a;
    for (int k = 0; kernel_adapter_at(k, &a); k++) {
        double worst = 0;
        int64_t checks = 0;
        for (int i = 0; i < 6 && !strcmp(a.equation, "memory_chunk"); i++) {
            const int64_t chunk = i < 3 ? 64 : 512;
            Case c = case_new("memory_chunk", (uint64_t)i, "tokens=%ld chunk=%ld memory_layers=1 n0=5 n1=17",
                              chunk + 7, chunk);
            case_set(&c, "alpha", ends[i % 3]);
            shrink(&c, 5);
            derive_bounds(&plain, &c);
            expect_finite(&c);
            expect_telling_bounds(&c);
            kernel = kernels_at(0);
            checks += bounds_of(&a, &c, constant(c.tolerance), &worst);
            case_free(&c);
        }
        if (checks) ledger_record("gates at their ends", a.kernel, checks, worst);
    }
}

/* Decays of 0, and of exp(-90), which float32 does not have, within a chunk of the delta rules: gradients like others. */
/* Kernels whose gates are logarithms of decays. */
static const struct {
    const char *kernel, *gates[2];
} decaying[] = {{"delta", {"g"}}, {"momentum", {"log_alpha", "log_mu"}}};

/* Decays of 0 at one token and of exp(-90) at another; how many numbers a token's decays are. */
static int64_t close_gates(Case *c, const char *const *gates) {
    int64_t closed = 0;
    for (int i = 0; i < 2 && gates[i]; i++) {
        const int64_t row = case_in_size(c, gates[i]) / dims_get(&c->dims, "tokens");
        for (int64_t j = 0; j < row; j++)
            case_in(c, gates[i])[5 * row + j] = -INFINITY, case_in(c, gates[i])[11 * row + j] = -90;
        closed += row;
    }
    return closed;
}

static int64_t check_closed_gates(const KernelAdapter *a, const char *const *gates, double *worst) {
    int64_t checks = 0;
    for (int i = 0; case_at(i); i++) {
        if (!tried(a, case_at(i), "reverse")) continue;
        Case c = row_case(case_at(i), 1);
        if (close_gates(&c, gates)) checks += check_gradient(a, case_at(i), &c, worst);
        case_free(&c);
    }
    return checks;
}

Test(kernels, gradients_pass_decays_of_nothing) {
    KernelAdapter a;
    for (int k = 0; kernel_adapter_at(k, &a); k++)
        for (size_t i = 0; i < sizeof decaying / sizeof *decaying; i++) {
            double worst = 0;
            if (strcmp(a.kernel, decaying[i].kernel) != 0) continue;
            const int64_t checks = check_closed_gates(&a, decaying[i].gates, &worst);
            cr_assert(checks > 0, "no decays of %s", a.kernel);
            ledger_record("decays of nothing", a.kernel, checks, worst);
        }
}

/* <J v, w> = <v, J' w> for a direction v of all inputs at once, J v by one complex step: also at sizes too large for
 * one step an input. Right and left differ by the forward tangent's bound and the backward's, which associates the
 * same products otherwise: twice the bound. */
static int64_t check_adjoint(const KernelAdapter *a, const EquationCase *row, Case *c, double *worst) {
    double *v[EQUATION_ARGUMENTS], *tangent[EQUATION_ARGUMENTS], *bound[EQUATION_ARGUMENTS];
    uint64_t state = c->seed + 5;
    KernelRun r;
    double left = 0, right = 0, allowed = 0, size = 0;
    if (!kernel_differentiable(a, &c->dims)) return 0;
    for (int i = 0; i < c->inputs; i++) {
        v[i] = calloc((size_t)c->in_size[i] + 1, sizeof(double));
        for (int64_t j = 0; j < c->in_size[i] && !is_fixed(c, i); j++)
            v[i][j] = floor(uniform(&state) * 17 - 8) / 8;
    }
    for (int o = 0; o < c->outputs; o++) {
        tangent[o] = calloc((size_t)c->out_size[o] + 1, sizeof(double));
        bound[o] = calloc((size_t)c->out_size[o] + 1, sizeof(double));
    }
    oracle_run(&reference_bound, &c->dims, constant(c->in), constant(v), c->out, tangent, NULL, bound);
    kernel = kernels_at(0);
    run_new(&r, c, 1);
    a->run(&r);
    for (int o = 0; o < c->outputs; o++)
        for (int64_t j = 0; j < c->out_size[o]; j++) {
            const double w = (double)r.cotangent[o][j];
            left += w * tangent[o][j], size += fabs(w * tangent[o][j]), allowed += fabs(w) * bound[o][j];
        }
    for (int i = 0; i < c->inputs; i++)
        for (int64_t j = 0; j < c->in_size[i] && !is_fixed(c, i); j++)
            right += v[i][j] * (double)r.grad[i][j],
                allowed += 0x1p-24 * fabs(v[i][j] * (double)r.grad[i][j]);
    allowed = case_used(row, "normwise") ? NORMWISE_GRADIENT * 0x1p-24 * size
                                         : 2 * allowed + 0x1p-24 * size + 0x1p-126;
    cr_assert(fabs(left - right) <= allowed,
              "%s (%s), seed %llu: <Jv, w> = %.9g, <v, J'w> = %.9g, allowed %g", a->kernel, dims_text(c),
              (unsigned long long)c->seed, left, right, allowed);
    *worst = fmax(*worst, fabs(left - right) / allowed);
    run_free(&r, c);
    for (int i = 0; i < c->inputs; i++) free(v[i]);
    for (int o = 0; o < c->outputs; o++) free(tangent[o]), free(bound[o]);
    return 1;
}
Test(kernels, gradient_is_the_adjoint_of_the_tangent) { for_every_case("adjoint", "forward", check_adjoint); }

/* ---- the same bits ---------------------------------------------------------------------------------------- */

static int64_t same_run(const KernelAdapter *a, const Case *c, const KernelRun *x, const KernelRun *y,
                        const char *what) {
    int64_t checks = 0;
    for (int i = 0; i < c->outputs; i++) {
        cr_assert(!memcmp(x->out[i], y->out[i], (size_t)c->out_size[i] * sizeof(float)),
                  "%s: output %d differs: %s", a->kernel, i, what);
        checks += c->out_size[i];
    }
    for (int i = 0; x->grad[0] && i < c->inputs; i++) {
        cr_assert(!memcmp(x->grad[i], y->grad[i], (size_t)c->in_size[i] * sizeof(float)),
                  "%s: gradient of input %d differs: %s", a->kernel, i, what);
        checks += c->in_size[i];
    }
    return checks;
}

static int64_t check_isas(const KernelAdapter *a, const EquationCase *row, Case *c, double *worst) {
    const int gradient = kernel_differentiable(a, &c->dims);
    int64_t checks = 0;
    KernelRun scalar, other;
    (void)worst, (void)row;
    kernel = kernels_at(0);
    run_new(&scalar, c, gradient);
    a->run(&scalar);
    for (int k = 1; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        kernel = kernels_at(k);
        run_new(&other, c, gradient);
        a->run(&other);
        checks += same_run(a, c, &scalar, &other, kernel->isa);
        run_free(&other, c);
    }
    run_free(&scalar, c);
    cr_assert(checks > 0, "no second instruction set to compare with");
    return checks;
}
Test(kernels, every_isa_gives_the_same_bits) { for_every_case("isa memcmp", "bits", check_isas); }

static int64_t check_threads(const KernelAdapter *a, const EquationCase *row, Case *c, double *worst) {
    const int gradient = kernel_differentiable(a, &c->dims);
    int64_t checks = 0;
    KernelRun one, other;
    (void)worst, (void)row;
    omp_set_num_threads(1);
    run_new(&one, c, gradient);
    a->run(&one);
    for (int threads = 2; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        run_new(&other, c, gradient);
        a->run(&other);
        checks += same_run(a, c, &one, &other, threads == 2 ? "2 threads" : "3 threads");
        run_free(&other, c);
    }
    run_free(&one, c);
    return checks;
}
Test(kernels, every_number_of_threads_gives_the_same_bits) {
    for_every_case("thread memcmp", "bits", check_threads);
}
