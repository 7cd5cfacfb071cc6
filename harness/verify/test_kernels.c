/* Every kernel that has an equation, on every instruction set that runs here: forward and backward inside the
 * derived bound, the same bits on every instruction set and with 1, 2 and 3 threads. */
#include "kernel_adapters.h"
#include "ledger.h"
#include "test_reference.h"

#include <omp.h>
#include <stdio.h>

enum { SEEDS = 2 };
enum { NORMWISE_FORWARD = 64, NORMWISE_GRADIENT = 256 }; /* units of 2^-24 of the largest value */

static void run_new(KernelRun *r, const Case *c, int gradient) {
    *r = (KernelRun){.dims = c->dims, .in_size = c->in_size, .out_size = c->out_size};
    for (int i = 0; i < c->inputs; i++) {
        r->in[i] = calloc((size_t)c->in_size[i] + 16, sizeof(float));
        for (int64_t j = 0; j < c->in_size[i]; j++) r->in[i][j] = (float)c->in[i][j];
        if (gradient) r->grad[i] = calloc((size_t)c->in_size[i] + 16, sizeof(float));
    }
    uint64_t state = c->seed + 77;
    for (int i = 0; i < c->outputs; i++) {
        r->out[i] = calloc((size_t)c->out_size[i] + 16, sizeof(float));
        for (int64_t j = 0; j < c->out_size[i]; j++) r->out[i][j] = NAN;
        if (!gradient) continue;
        r->cotangent[i] = calloc((size_t)c->out_size[i] + 16, sizeof(float));
        const int logits = !strcmp(c->name, "language_model") && i == 1;
        for (int64_t j = 0; j < c->out_size[i] && !logits; j++)
            r->cotangent[i][j] = (float)(2 * uniform(&state) - 1);
    }
}

static void run_free(KernelRun *r, const Case *c) {
    for (int i = 0; i < c->inputs; i++) free(r->in[i]), free(r->grad[i]);
    for (int i = 0; i < c->outputs; i++) free(r->out[i]), free(r->cotangent[i]);
}

static const char *case_dims(const Case *c) {
    static char text[512];
    size_t used = 0;
    for (int i = 0; i < oracle_count(c->e->dims) && used < sizeof text; i++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i ? " " : "", (long long)c->dims[i]);
    return text;
}

/* Largest |got - want| / bound; the bound is float32's running error of the same evaluation, plus one
 * rounding. */
static double worst_ratio(const KernelAdapter *a, const Case *c, const char *what, int64_t n,
                          const float *got, const double *want, const double *bound) {
    double worst = 0;
    for (int64_t j = 0; j < n; j++) {
        const double allowed = bound[j] + 0x1p-24 * fabs(want[j]) + 0x1p-126;
        const double ratio = fabs((double)got[j] - want[j]) / allowed;
        cr_assert(ratio <= 1.0,
                  "%s (%s %s) on %s, seed %llu: %s[%lld] = %.9g, want %.9g +- %.3g (ratio %.3g)", a->kernel,
                  a->equation, case_dims(c), K->isa, (unsigned long long)c->seed, what, (long long)j,
                  (double)got[j], want[j], allowed, ratio);
        if (!(ratio <= worst)) worst = ratio;
    }
    return worst;
}

static int64_t bounds_of(const KernelAdapter *a, const Case *c, const double *const *bound, double *worst) {
    KernelRun r;
    int64_t checks = 0;
    run_new(&r, c, 0);
    a->run(&r);
    for (int i = 0; i < c->outputs; i++) {
        const double ratio = worst_ratio(a, c, "out", c->out_size[i], r.out[i], c->out[i], bound[i]);
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

/* Attention's backward wants the whole sequence in the call. */
static int has_no_backward(const Case *c) {
    if (!strcmp(c->name, "window_attention")) return c->dims[0] + c->dims[4] != c->dims[1];
    return !strcmp(c->name, "attention") && c->dims[0] != c->dims[1];
}

static int is_forward_only(const Case *c) {
    return sizes_use(c) == USE_FORWARD || sizes_use(c) == USE_BITS || has_no_backward(c);
}

/* Every bound becomes the same share of the largest value. */
static void normwise(const Case *c, int64_t n, const double *value, double units, double *bound) {
    const double tolerance = units * 0x1p-24 * largest(value, n);
    for (int64_t j = 0; sizes_use(c) == USE_NORMWISE && j < n; j++) bound[j] = tolerance;
}

static int64_t check_forward(const KernelAdapter *a, Case *c, double *worst) {
    int64_t checks = 0;
    if (sizes_use(c) == USE_BITS) return 0;
    oracle_run(&reference_bound, c->name, c->dims, constant(c->in), NULL, c->out, NULL, c->tolerance, NULL);
    for (int i = 0; i < c->outputs; i++)
        normwise(c, c->out_size[i], c->out[i], NORMWISE_FORWARD, c->tolerance[i]);
    for (int i = 0; i < c->outputs; i++)
        cr_assert(largest(c->tolerance[i], c->out_size[i]) <=
                      0.01 * largest(c->out[i], c->out_size[i]) + 1e-6,
                  "%s: the bound of output %d says nothing (%s)", c->name, i, case_dims(c));
    for (int i = 0; kernels_at(i); i++) {
        if (!kernels_supported(kernels_at(i))) continue;
        K = kernels_at(i);
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
    run_free(&r, c);
    for (int k = 0; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        K = kernels_at(k);
        run_new(&r, c, 1);
        a->run(&r);
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
    K = kernels_at(0);
    run_new(&scalar, c, gradient);
    a->run(&scalar);
    for (int k = 1; kernels_at(k); k++) {
        if (!kernels_supported(kernels_at(k))) continue;
        K = kernels_at(k);
        run_new(&other, c, gradient);
        a->run(&other);
        checks += same_run(a, c, &scalar, &other, K->isa);
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
