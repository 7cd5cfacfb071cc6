/* Every kernel that has an equation, on every instruction set that runs here: forward and backward inside the
 * derived bound, which is tested from both sides; exact where float32 is; the same bits on every instruction set
 * and with 1, 2 and 3 threads. */
#include "kernel_runs.h"
#include "ledger.h"

#include <omp.h>
#include <stdio.h>

enum { SEEDS = 2 };
enum { NORMWISE_FORWARD = 64, NORMWISE_GRADIENT = 256 }; /* units of 2^-24 of the largest value */

static const char *case_dims(const Case *c) {
    static char text[512];
    size_t used = 0;
    for (int i = 0; i < oracle_count(c->e->dims) && used < sizeof text; i++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i ? " " : "", (long long)c->dims[i]);
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
              a->kernel, a->equation, case_dims(c), kernel->isa, (unsigned long long)c->seed, what, (long long)at,
              (double)got[at], want[at], allowed[at], worst);
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
        for (int64_t j = 0; j < c->in_size[i] && i != name_index(c->e->in, "alpha") &&
                            i != name_index(c->e->in, "theta") && i != name_index(c->e->in, "eta");
             j++)
            c->in[i][j] = ldexp(c->in[i][j], -powers);
}

typedef int64_t (*CaseCheck)(const KernelAdapter *a, Case *c, double *worst);

/* Runs check for every adapter, size and seed. */
static void for_every_case(const char *suite, CaseCheck check) {
    for (const KernelAdapter *a = kernel_adapters; a->equation; a++) {
        int64_t checks = 0;
        double worst = 0;
        for (int i = 0; kernel_sizes[i].equation; i++)
            for (uint64_t seed = 1; seed <= SEEDS && !strcmp(kernel_sizes[i].equation, a->equation); seed++) {
                Case c = case_new(a->equation, seed, kernel_sizes[i].dims);
                shrink(&c, kernel_sizes[i].shrink);
                checks += check(a, &c, &worst);
                case_free(&c);
            }
        cr_assert(checks > 0, "%s: nothing checked for %s", suite, a->kernel);
        ledger_record(suite, a->kernel, checks, worst);
    }
}

static SizesUse sizes_use(const Case *c) {
    for (int i = 0; kernel_sizes[i].equation; i++)
        if (!strcmp(kernel_sizes[i].equation, c->name) &&
            !memcmp(kernel_sizes[i].dims, c->dims, sizeof c->dims))
            return kernel_sizes[i].use;
    return USE_ALL;
}

static int has_no_backward(const Case *c) { return !kernel_has_gradient(c->name, c->dims); }

static int is_forward_only(const Case *c) {
    return sizes_use(c) == USE_FORWARD || sizes_use(c) == USE_BITS || has_no_backward(c);
}

/* Every bound becomes the same share of the largest value. */
static void normwise(const Case *c, int64_t n, const double *value, double units, double *bound) {
    const double tolerance = units * 0x1p-24 * largest(value, n);
    for (int64_t j = 0; sizes_use(c) == USE_NORMWISE && j < n; j++) bound[j] = tolerance;
}

/* The reference's outputs, and what a float32 evaluation of them may miss. */
static void derive_bounds(Case *c) {
    oracle_run(&reference_bound, c->name, c->dims, constant(c->in), NULL, c->out, NULL, c->tolerance, NULL);
    for (int i = 0; i < c->outputs; i++) {
        normwise(c, c->out_size[i], c->out[i], NORMWISE_FORWARD, c->tolerance[i]);
        allow(c->out_size[i], c->out[i], c->tolerance[i]);
    }
}

static void expect_telling_bounds(const Case *c) {
    for (int i = 0; i < c->outputs; i++)
        cr_assert(largest(c->tolerance[i], c->out_size[i]) <=
                      0.01 * largest(c->out[i], c->out_size[i]) + 1e-6,
                  "%s: the bound of output %d says nothing (%s)", c->name, i, case_dims(c));
}

static int64_t check_forward(const KernelAdapter *a, Case *c, double *worst) {
    int64_t checks = 0;
    if (sizes_use(c) == USE_BITS) return 0;
    derive_bounds(c);
    expect_telling_bounds(c);
    for (int i = 0; kernels_at(i); i++) {
        if (!kernels_supported(kernels_at(i))) continue;
        kernel = kernels_at(i);
        checks += bounds_of(a, c, constant(c->tolerance), worst);
    }
    return checks;
}
Test(kernels, forward_is_within_the_derived_bound) { for_every_case("kernel forward", check_forward); }

static int is_index(const Case *c, int i) {
    return i == name_index(c->e->in, "tokens") || i == name_index(c->e->in, "targets") ||
           i == name_index(c->e->in, "target") || i == name_index(c->e->in, "theta_max");
}

static int64_t check_gradient(const KernelAdapter *a, Case *c, double *worst) {
    double *cotangent[EQUATION_TENSORS] = {0}, *grad[EQUATION_TENSORS] = {0}, *bound[EQUATION_TENSORS] = {0};
    int64_t checks = 0;
    KernelRun r;
    if (is_forward_only(c)) return 0;
    run_new(&r, c, 1);
    for (int i = 0; i < c->outputs; i++) {
        cotangent[i] = calloc((size_t)c->out_size[i] + 1, sizeof(double));
        for (int64_t j = 0; j < c->out_size[i]; j++) cotangent[i][j] = (double)r.cotangent[i][j];
    }
    for (int i = 0; i < c->inputs; i++) {
        if (is_index(c, i)) continue;
        grad[i] = calloc((size_t)c->in_size[i] + 1, sizeof(double));
        bound[i] = calloc((size_t)c->in_size[i] + 1, sizeof(double));
    }
    oracle_gradient(c->name, c->dims, constant(c->in), constant(cotangent), grad, bound);
    for (int i = 0; i < c->inputs; i++)
        if (grad[i]) normwise(c, c->in_size[i], grad[i], NORMWISE_GRADIENT, bound[i]);
    for (int i = 0; i < c->inputs; i++)
        cr_assert(!grad[i] ||
                      largest(bound[i], c->in_size[i]) <= 0.05 * largest(grad[i], c->in_size[i]) + 1e-5,
                  "%s (%s): the gradient's bound of input %d says nothing: %g of %g", c->name, case_dims(c),
                  i, largest(bound[i], c->in_size[i]), largest(grad[i], c->in_size[i]));
    for (int i = 0; i < c->inputs; i++)
        if (grad[i]) allow(c->in_size[i], grad[i], bound[i]);
    run_free(&r, c);
    for (int k = 0; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        kernel = kernels_at(k);
        run_new(&r, c, 1);
        a->run(&r);
        run_expect_tidy(&r, c, a->kernel);
        for (int i = 0; i < c->inputs; i++) {
            if (!grad[i]) continue;
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
Test(kernels, gradient_equals_complex_step) { for_every_case("kernel gradient", check_gradient); }

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
    kernel = kernels_at(0);
    for (const KernelAdapter *a = kernel_adapters; a->equation; a++) {
        int seen[EQUATION_TENSORS] = {0}, inputs = 0;
        for (int i = 0; kernel_sizes[i].equation; i++) {
            if (strcmp(kernel_sizes[i].equation, a->equation) != 0 || kernel_sizes[i].use == USE_BITS)
                continue;
            Case c = case_new(a->equation, 1, kernel_sizes[i].dims);
            shrink(&c, kernel_sizes[i].shrink);
            derive_bounds(&c);
            inputs = c.inputs;
            for (int n = 0; n < inputs; n++)
                seen[n] |= is_index(&c, n) || (c.in_size[n] && leaves_its_bound(a, &c, n));
            case_free(&c);
        }
        for (int n = 0; n < inputs; n++)
            cr_assert(seen[n], "%s: no size shows that input %d is wrong by 2^-8", a->kernel, n);
        ledger_record("wrong input", a->kernel, inputs, 0);
    }
}

/* Errors against the widest arithmetic in units in the last place of the largest number, summed over outputs and
 * cases. */
typedef struct {
    double ours, plain;
    int64_t outputs;
} Errors;

static void add_errors(const KernelAdapter *a, const Case *c, Errors *sum) {
    double *single[EQUATION_TENSORS] = {0};
    KernelRun r;
    for (int o = 0; o < c->outputs; o++) single[o] = calloc((size_t)c->out_size[o] + 1, sizeof(double));
    oracle_run(&reference_quad, c->name, c->dims, constant(c->in), NULL, c->out, NULL, NULL, NULL);
    oracle_run(&reference_float, c->name, c->dims, constant(c->in), NULL, single, NULL, NULL, NULL);
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
    kernel = kernels_at(0);
    for (const KernelAdapter *a = kernel_adapters; a->equation; a++) {
        Errors sum = {0, 0, 0};
        for (int i = 0; kernel_sizes[i].equation; i++)
            for (uint64_t seed = 1; seed <= MANY && !strcmp(kernel_sizes[i].equation, a->equation); seed++) {
                if (kernel_sizes[i].use == USE_BITS || (kernel_sizes[i].use == USE_FORWARD && seed > 1))
                    continue;
                Case c = case_new(a->equation, seed, kernel_sizes[i].dims);
                shrink(&c, kernel_sizes[i].shrink);
                add_errors(a, &c, &sum);
                case_free(&c);
            }
        const double ratio = sum.ours / (2 * sum.plain + 2 * (double)sum.outputs);
        cr_assert(sum.outputs > 0 && ratio <= 1.0, "%s: %.3g ulp off on average, plain float32 %.3g",
                  a->kernel, sum.ours / (double)sum.outputs, sum.plain / (double)sum.outputs);
        ledger_record("twice plain", a->kernel, sum.outputs, ratio);
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
                          "%s (%s) on %s: output %d[%lld] = %.9g, exactly %.9g", a->kernel, case_dims(c),
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
    if (name_index(c->e->in, "alpha") < 0) return;
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
    double *single[EQUATION_TENSORS];
    int64_t checks = 0;
    for (int o = 0; o < c->outputs; o++) single[o] = oracle_zeros(c->out_size[o]);
    oracle_run(&reference_float, c->name, c->dims, constant(c->in), NULL, single, NULL, NULL, NULL);
    for (int o = 0; o < c->outputs; o++) {
        cr_assert(same_bits(single[o], c->out[o], c->out_size[o]), "%s (%s) is no exact case", c->name,
                  case_dims(c));
        checks += c->out_size[o];
        free(single[o]);
    }
    return checks;
}

Test(kernels, are_exact_where_float32_is) {
    static const KernelSizes dyadic[] = {
        {"qkv", {1, 1}},
        {"qkv", {7, 17}},
        {"qkv", {37, 300}},
        {"memory_read", {1, 33, 17}},
        {"memory_chunk", {4, 4, 1, 3, 3}},
        {"memory_chunk", {7, 8, 1, 5, 17}},
        {"memory_chunk", {6, 3, 1, 2, 33}},
        {"memory_chunk", {7, 3, 1, 2, 15}},
        {"memory_chunk", {36, 32, 1, 3, 17}}, /* a last chunk of fewer rows than the one before left behind */
        {0, {0}},
    };
    int64_t checks = 0;
    for (const KernelSizes *s = dyadic; s->equation; s++)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            Case c = case_new(s->equation, seed, s->dims);
            make_dyadic(&c);
            case_run(&c);
            checks += expect_exact_in_float(&c);
            for (const KernelAdapter *a = kernel_adapters; a->equation; a++)
                if (!strcmp(a->equation, c.name)) expect_exact(a, &c);
            case_free(&c);
        }
    ledger_record("exact", "gemm, memory", checks, 0);
}

/* Decay 0, 1 and the float32 next to 1, chunks of 64 and 512 with a rest: finite, and within the bound. Where the
 * products of decays underflow, nothing may divide by them. */
Test(kernels, gates_at_their_ends_stay_within_the_bound) {
    static const double ends[] = {0, 1, 1 - 0x1p-24};
    for (const KernelAdapter *a = kernel_adapters; a->equation; a++) {
        double worst = 0;
        int64_t checks = 0;
        for (int i = 0; i < 6 && !strcmp(a->equation, "memory_chunk"); i++) {
            const int64_t chunk = i < 3 ? 64 : 512;
            Case c =
                case_new("memory_chunk", (uint64_t)i, (int64_t[EQUATION_DIMS]){chunk + 7, chunk, 1, 5, 17});
            case_set(&c, "alpha", ends[i % 3]);
            shrink(&c, 5);
            derive_bounds(&c);
            expect_finite(&c);
            expect_telling_bounds(&c);
            kernel = kernels_at(0);
            checks += bounds_of(a, &c, constant(c.tolerance), &worst);
            case_free(&c);
        }
        if (checks) ledger_record("gates at their ends", a->kernel, checks, worst);
    }
}

/* <J v, w> = <v, J' w> for a direction v of all inputs at once, J v by one complex step: also at sizes too large for
 * one step an input. Right and left differ by the forward tangent's bound and the backward's, which associates the
 * same products otherwise: twice the bound. */
static int64_t check_adjoint(const KernelAdapter *a, Case *c, double *worst) {
    double *v[EQUATION_TENSORS], *tangent[EQUATION_TENSORS], *bound[EQUATION_TENSORS];
    uint64_t state = c->seed + 5;
    KernelRun r;
    double left = 0, right = 0, allowed = 0, size = 0;
    if (sizes_use(c) == USE_BITS || has_no_backward(c)) return 0;
    for (int i = 0; i < c->inputs; i++) {
        v[i] = calloc((size_t)c->in_size[i] + 1, sizeof(double));
        for (int64_t j = 0; j < c->in_size[i] && !is_index(c, i); j++)
            v[i][j] = floor(uniform(&state) * 17 - 8) / 8;
    }
    for (int o = 0; o < c->outputs; o++) {
        tangent[o] = calloc((size_t)c->out_size[o] + 1, sizeof(double));
        bound[o] = calloc((size_t)c->out_size[o] + 1, sizeof(double));
    }
    oracle_run(&reference_bound, c->name, c->dims, constant(c->in), constant(v), c->out, tangent, NULL,
               bound);
    kernel = kernels_at(0);
    run_new(&r, c, 1);
    a->run(&r);
    for (int o = 0; o < c->outputs; o++)
        for (int64_t j = 0; j < c->out_size[o]; j++) {
            const double w = (double)r.cotangent[o][j];
            left += w * tangent[o][j], size += fabs(w * tangent[o][j]), allowed += fabs(w) * bound[o][j];
        }
    for (int i = 0; i < c->inputs; i++)
        for (int64_t j = 0; j < c->in_size[i] && !is_index(c, i); j++)
            right += v[i][j] * (double)r.grad[i][j],
                allowed += 0x1p-24 * fabs(v[i][j] * (double)r.grad[i][j]);
    allowed = sizes_use(c) == USE_NORMWISE ? NORMWISE_GRADIENT * 0x1p-24 * size
                                           : 2 * allowed + 0x1p-24 * size + 0x1p-126;
    cr_assert(fabs(left - right) <= allowed,
              "%s (%s), seed %llu: <Jv, w> = %.9g, <v, J'w> = %.9g, allowed %g", a->kernel, case_dims(c),
              (unsigned long long)c->seed, left, right, allowed);
    *worst = fmax(*worst, fabs(left - right) / allowed);
    run_free(&r, c);
    for (int i = 0; i < c->inputs; i++) free(v[i]);
    for (int o = 0; o < c->outputs; o++) free(tangent[o]), free(bound[o]);
    return 1;
}
Test(kernels, gradient_is_the_adjoint_of_the_tangent) { for_every_case("adjoint", check_adjoint); }

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

static int64_t check_isas(const KernelAdapter *a, Case *c, double *worst) {
    const int gradient = !has_no_backward(c);
    int64_t checks = 0;
    KernelRun scalar, other;
    (void)worst;
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
Test(kernels, every_isa_gives_the_same_bits) { for_every_case("isa memcmp", check_isas); }

static int64_t check_threads(const KernelAdapter *a, Case *c, double *worst) {
    const int gradient = !has_no_backward(c);
    int64_t checks = 0;
    KernelRun one, other;
    (void)worst;
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
Test(kernels, every_number_of_threads_gives_the_same_bits) { for_every_case("thread memcmp", check_threads); }
