#include "bench/shared/judge.h"
#include "base/check.h"
#include "equation/adapter.h"
#include "equation/inputs.h"
#include "equation/oracle.h"

#include <math.h>
#include <string.h>

static const double UNIT = 0x1p-24;
/* Decays are scaled by 2^-SLOWER, so that at the end of long sequences something is left of their beginning. */
enum { SLOWER = 6 };
/* Kernels take states below 2^-100 for 0 (docs/numerics.md). */
static const double TOLD = 0x1p-76;

/* Arrays of an equation's arguments, as many as it has. */
typedef struct {
    int count;
    int64_t size[EQUATION_ARGUMENTS];
    double *x[EQUATION_ARGUMENTS];
} Arrays;

static Arrays arrays_of(int count, const int64_t *sizes) {
    Arrays a = {.count = count};
    for (int i = 0; i < count; i++) a.size[i] = sizes[i], a.x[i] = oracle_zeros(sizes[i]);
    return a;
}

static void arrays_free(Arrays *a) {
    for (int i = 0; i < a->count; i++) free(a->x[i]);
}

static KernelAdapter adapter_of(const char *kernel) {
    KernelAdapter a;
    for (int i = 0; kernel_adapter_at(i, &a); i++)
        if (!strcmp(a.kernel, kernel)) return a;
    CHECK(0, "no kernel '%s'", kernel);
    return a;
}

static void fill(const Dims *dims, int shrink, Arrays *in) {
    uint64_t state = 1;
    for (int i = 0; i < in->count; i++) {
        const Role role = dims->equation->in[i].role;
        inputs_fill(dims, i, in->size[i], in->x[i], &state);
        const int by = role == DECAY || role == LOG_DECAY ? SLOWER : shrink;
        const int scaled = by == SLOWER || (!role_is_gate(role) && !role_is_index(role));
        for (int64_t j = 0; scaled && j < in->size[i]; j++) in->x[i][j] = ldexp(in->x[i][j], -by);
    }
}

/* Once NaN, always NaN. */
static double worse(double worst, double error) { return isnan(worst) || error <= worst ? worst : error; }

static double largest_of(int64_t n, const double *x) {
    double most = 0.0;
    for (int64_t j = 0; j < n; j++) most = fmax(most, fabs(x[j]));
    return most;
}

static Judged judge_forward(const KernelAdapter *a, const Dims *dims, const Arrays *in, Arrays *out) {
    Arrays want = arrays_of(out->count, out->size);
    Judged judged = {0.0, NORMWISE_FORWARD * UNIT};
    kernel_evaluate(a, dims, constant(in->x), 0, out->x, 0);
    oracle_run(&reference_double, dims, constant(in->x), 0, want.x, 0, 0, 0);
    for (int i = 0; i < out->count; i++) {
        const double most = fmax(largest_of(out->size[i], want.x[i]), TOLD);
        for (int64_t j = 0; j < out->size[i]; j++)
            judged.error = worse(judged.error, fabs(out->x[i][j] - want.x[i][j]) / most);
    }
    arrays_free(&want);
    return judged;
}

static double inner(const Arrays *a, const Arrays *b) {
    double sum = 0.0;
    for (int i = 0; i < a->count; i++)
        for (int64_t j = 0; j < a->size[i]; j++) sum += a->x[i][j] * b->x[i][j];
    return sum;
}

static Judged judge_gradient(const KernelAdapter *a, const Dims *dims, const Arrays *in, Arrays *out) {
    Arrays cotangent = arrays_of(out->count, out->size), tangent = arrays_of(out->count, out->size),
           grad = arrays_of(in->count, in->size), signs = arrays_of(in->count, in->size);
    uint64_t state = 2;
    for (int i = 0; i < cotangent.count; i++)
        for (int64_t j = 0; j < cotangent.size[i] && !kernel_output_is_constant(dims->equation, i); j++)
            cotangent.x[i][j] = 2.0 * uniform(&state) - 1.0;
    kernel_evaluate(a, dims, constant(in->x), constant(cotangent.x), out->x, grad.x);
    for (int i = 0; i < signs.count; i++)
        for (int64_t j = 0; j < signs.size[i] && kernel_gradient_is_computed(dims->equation, i); j++)
            signs.x[i][j] = copysign(1.0, grad.x[i][j]);
    oracle_run(&reference_complex_double, dims, constant(in->x), constant(signs.x), out->x, tangent.x, 0, 0);
    const double ours = inner(&grad, &signs), theirs = inner(&cotangent, &tangent);
    arrays_free(&cotangent);
    arrays_free(&tangent);
    arrays_free(&grad);
    arrays_free(&signs);
    return (Judged){fabs(ours - theirs) / ours, NORMWISE_GRADIENT * UNIT};
}

Judged judge_kernel(const char *name, int gradient, int shrink, const char *text) {
    const KernelAdapter a = adapter_of(name);
    const Dims dims = dims_of(a.equation, "%s", text);
    int64_t in_size[EQUATION_ARGUMENTS], out_size[EQUATION_ARGUMENTS];
    dims_sizes(&dims, in_size, out_size);
    Arrays in = arrays_of(argument_count(dims.equation->in), in_size),
           out = arrays_of(argument_count(dims.equation->out), out_size);
    fill(&dims, shrink, &in);
    const Judged judged =
        gradient ? judge_gradient(&a, &dims, &in, &out) : judge_forward(&a, &dims, &in, &out);
    arrays_free(&in);
    arrays_free(&out);
    return judged;
}

Judged judge_product(Product run, GemmForm form, int64_t M, int64_t N, int64_t K, const float *a,
                     const float *b) {
    float *c = run_zeros(M * N);
    double *row = oracle_zeros(N);
    Judged judged = {0.0, NORMWISE_FORWARD * UNIT};
    double most = 0.0, worst = 0.0;
    run(form, M, N, K, a, form == GEMM_TN ? M : K, b, form == GEMM_NT ? K : N, c, N, form == GEMM_TN);
    for (int64_t i = 0; i < M; i++) {
        memset(row, 0, (size_t)N * sizeof *row);
        for (int64_t k = 0; k < K; k++) {
            const double x = (double)a[form == GEMM_TN ? k * M + i : i * K + k];
            for (int64_t j = 0; j < N; j++) row[j] += x * (double)b[form == GEMM_NT ? j * K + k : k * N + j];
        }
        for (int64_t j = 0; j < N; j++) {
            most = fmax(most, fabs(row[j]));
            worst = worse(worst, fabs(row[j] - (double)c[i * N + j]));
        }
    }
    judged.error = worst / most;
    free(row);
    free(c);
    return judged;
}
