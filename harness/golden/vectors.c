/* The numbers of the golden vectors. Needs no library but libm. */
#include "base/check.h"
#include "golden/golden.h"
#include "golden/cases.h"
#include "equation/inputs.h"
#include "file/safetensors.h"
#include "equation/oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PER_CASE = 6 * EQUATION_ARGUMENTS, NORMWISE_OUT = 64, NORMWISE_GRAD = 256 };

typedef struct {
    const EquationCase *row;
    Dims dims;
    const Equation *e;
    int inputs, outputs;
    int64_t in_size[EQUATION_ARGUMENTS], out_size[EQUATION_ARGUMENTS];
    double *in[EQUATION_ARGUMENTS], *out[EQUATION_ARGUMENTS], *cot[EQUATION_ARGUMENTS],
        *grad[EQUATION_ARGUMENTS];
    double *gauge_out[EQUATION_ARGUMENTS], *gauge_grad[EQUATION_ARGUMENTS];
} Vectors;

/* Nearest number with 8 significant bits, ties to even: what bf16 holds. */
static double bf16(double x) {
    int exponent;
    const double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

/* Smallest power of two that is not less: the gauge's last bits would be the library's choice. */
static double power_above(double x) {
    int exponent;
    if (!(x > 0.0)) return 0.0;
    const double fraction = frexp(x, &exponent);
    return ldexp(1.0, fraction == 0.5 ? exponent - 1 : exponent);
}

static void set_all(int64_t n, double *x, double value) {
    for (int64_t j = 0; j < n; j++) x[j] = value;
}

/* What a flag does to the input of that name (rows of `width` numbers). */
static void apply_flag(const char *flag, const char *name, int64_t n, int64_t width, double *x) {
    const int alpha = !strcmp(name, "alpha");
    if (!strcmp(flag, "GateZero") && alpha) set_all(n, x, 0.0);
    if (!strcmp(flag, "GateOne") && alpha) set_all(n, x, 1.0);
    if (!strcmp(flag, "LongChunkUnderflow") && alpha) set_all(n, x, 1.0 - 0x1p-7);
    if (!strcmp(flag, "NoMomentum") && !strcmp(name, "eta")) set_all(n, x, 0.0);
    if (!strcmp(flag, "NoStep") && !strcmp(name, "theta")) set_all(n, x, 0.0);
    if (!strcmp(flag, "Confluent")) set_all(n, x, alpha ? 0.25 : 0.75);
    if (!strcmp(flag, "RepeatedKey") && (!strcmp(name, "k") || !strcmp(name, "v")))
        for (int64_t j = width; j < n; j++) x[j] = x[j % width];
    for (int64_t j = 0; !strcmp(flag, "TinyNorm") && j < n; j++) x[j] = ldexp(x[j], -20);
    for (int64_t j = 0; !strcmp(flag, "LargeLogits") && strcmp(name, "v") && j < n; j++)
        x[j] = ldexp(x[j], 5);
}

static void fill_inputs(Vectors *v, uint64_t seed) {
    uint64_t state = seed;
    const int64_t T = dims_get_or(&v->dims, "tokens", 1);
    for (int i = 0; i < v->inputs; i++) {
        const Argument *a = &v->e->in[i];
        v->in[i] = oracle_zeros(v->in_size[i]);
        inputs_fill(&v->dims, i, v->in_size[i], v->in[i], &state);
        const int rounded = !role_is_index(a->role) && strcmp(v->row->flag, "Rounded") != 0;
        for (int64_t j = 0; rounded && j < v->in_size[i]; j++) v->in[i][j] = bf16(v->in[i][j]);
        const int64_t rows = v->in_size[i] % T == 0 ? T : 1;
        apply_flag(v->row->flag, a->name, v->in_size[i], v->in_size[i] / rows, v->in[i]);
    }
    for (int i = 0; i < v->outputs; i++) {
        v->cot[i] = oracle_zeros(v->out_size[i]);
        for (int64_t j = 0; j < v->out_size[i]; j++) v->cot[i][j] = bf16(2 * uniform(&state) - 1);
    }
}

/* sum a b with the error of every product and sum carried along: the last bit is right. */
typedef struct {
    double sum, rest;
} Careful;

static void careful_add(Careful *c, double a, double b) {
    const double product = a * b, error = fma(a, b, -product);
    const double sum = c->sum + product, part = sum - c->sum;
    c->rest += (c->sum - (sum - part)) + (product - part) + error;
    c->sum = sum;
}

/* Complex step in quad: tangents of all outputs for one input number at a time. */
static void quad_gradient(Vectors *v, int i) {
    double *tangent[EQUATION_ARGUMENTS] = {0}, *slope[EQUATION_ARGUMENTS] = {0},
           *unused[EQUATION_ARGUMENTS] = {0};
    for (int k = 0; k < v->inputs; k++) tangent[k] = oracle_zeros(v->in_size[k]);
    for (int k = 0; k < v->outputs; k++) slope[k] = oracle_zeros(v->out_size[k]);
    for (int64_t j = 0; j < v->in_size[i]; j++) {
        Careful c = {0.0, 0.0};
        tangent[i][j] = 1.0;
        oracle_run(&reference_complex_quad, &v->dims, constant(v->in), constant(tangent), unused, slope, 0,
                   0);
        tangent[i][j] = 0.0;
        for (int k = 0; k < v->outputs; k++)
            for (int64_t m = 0; m < v->out_size[k]; m++) careful_add(&c, v->cot[k][m], slope[k][m]);
        v->grad[i][j] = c.sum + c.rest;
    }
    for (int k = 0; k < v->inputs; k++) free(tangent[k]);
    for (int k = 0; k < v->outputs; k++) free(slope[k]);
}

static double largest(int64_t n, const double *x) {
    double most = 0.0;
    for (int64_t j = 0; j < n; j++) most = fmax(most, fabs(x[j]));
    return most;
}

/* The running bound in units of 2^-24; where it compounds until it says nothing, a normwise one takes its
 * place. */
static void gauge(int64_t n, double *bound, const double *value, double normwise) {
    const double most = normwise * largest(n, value);
    for (int64_t j = 0; j < n; j++) bound[j] = power_above(fmin(bound[j] * 0x1p24, most));
}

static void fill_gauges(Vectors *v) {
    double *grad[EQUATION_ARGUMENTS] = {0}, *out[EQUATION_ARGUMENTS] = {0};
    for (int i = 0; i < v->outputs; i++) out[i] = oracle_zeros(v->out_size[i]);
    for (int i = 0; i < v->inputs; i++)
        if (v->grad[i]) grad[i] = oracle_zeros(v->in_size[i]);
    oracle_run(&reference_bound, &v->dims, constant(v->in), 0, out, 0, v->gauge_out, 0);
    oracle_gradient(&v->dims, constant(v->in), constant(v->cot), grad, v->gauge_grad);
    for (int i = 0; i < v->outputs; i++) gauge(v->out_size[i], v->gauge_out[i], v->out[i], NORMWISE_OUT);
    for (int i = 0; i < v->inputs; i++)
        if (v->grad[i]) gauge(v->in_size[i], v->gauge_grad[i], v->grad[i], NORMWISE_GRAD);
    for (int i = 0; i < EQUATION_ARGUMENTS; i++) free(grad[i]), free(out[i]);
}

static Vectors vectors_new(const GoldenCase *c) {
    Vectors v = {.row = c->row, .dims = case_dims(c->row)};
    v.e = v.dims.equation;
    v.inputs = argument_count(v.e->in);
    v.outputs = argument_count(v.e->out);
    dims_sizes(&v.dims, v.in_size, v.out_size);
    fill_inputs(&v, c->seed);
    for (int i = 0; i < v.outputs; i++) {
        v.out[i] = oracle_zeros(v.out_size[i]);
        v.gauge_out[i] = oracle_zeros(v.out_size[i]);
    }
    oracle_run(&reference_quad, &v.dims, constant(v.in), 0, v.out, 0, 0, 0);
    for (int i = 0; i < v.inputs; i++) {
        if (role_is_index(v.e->in[i].role) || v.in_size[i] == 0) continue;
        v.grad[i] = oracle_zeros(v.in_size[i]);
        v.gauge_grad[i] = oracle_zeros(v.in_size[i]);
        quad_gradient(&v, i);
    }
    fill_gauges(&v);
    return v;
}

static void vectors_free(Vectors *v) {
    for (int i = 0; i < EQUATION_ARGUMENTS; i++) {
        free(v->in[i]), free(v->out[i]), free(v->cot[i]), free(v->grad[i]);
        free(v->gauge_out[i]), free(v->gauge_grad[i]);
    }
}

static void add_tensor(SafeTensor *list, int *count, int id, const char *part, const char *name, int64_t n,
                       const double *x) {
    if (!x || n == 0) return;
    SafeTensor *t = &list[(*count)++];
    *t = (SafeTensor){.type = SAFE_F64, .dims = 1, .shape = {n}, .count = n, .data = x};
    snprintf(t->name, sizeof t->name, "tc%04d/%s/%s", id, part, name);
}

/* Tensors keep the names under which they were published. */
static const char *published_name(const Argument *a) { return a->symbol ? a->symbol : a->name; }

static void add_vectors(SafeTensor *list, int *count, int id, const Vectors *v) {
    for (int i = 0; i < v->inputs; i++) {
        const char *name = published_name(&v->e->in[i]);
        add_tensor(list, count, id, "in", name, v->in_size[i], v->in[i]);
        add_tensor(list, count, id, "grad", name, v->in_size[i], v->grad[i]);
        add_tensor(list, count, id, "gauge/grad", name, v->in_size[i], v->gauge_grad[i]);
    }
    for (int i = 0; i < v->outputs; i++) {
        const char *name = published_name(&v->e->out[i]);
        add_tensor(list, count, id, "out", name, v->out_size[i], v->out[i]);
        add_tensor(list, count, id, "cot", name, v->out_size[i], v->cot[i]);
        add_tensor(list, count, id, "gauge/out", name, v->out_size[i], v->gauge_out[i]);
    }
}

GoldenNumbers golden_numbers(const char *family) {
    GoldenNumbers g = {0};
    GoldenCase c;
    int most = 0;
    for (int k = 0; golden_case(k, &c); k++) most += !strcmp(c.family, family);
    Vectors *all = calloc((size_t)most + 1, sizeof *all);
    g.owned = all;
    g.list = calloc((size_t)most * PER_CASE + 1, sizeof *g.list);
    CHECK(all && g.list, "no memory for %d cases", most);
    for (int k = 0; golden_case(k, &c); k++) {
        if (strcmp(c.family, family)) continue;
        Vectors *v = &all[g.cases++];
        *v = vectors_new(&c);
        for (int i = 0; i < v->inputs; i++) g.gradients += v->grad[i] ? v->in_size[i] : 0;
        add_vectors(g.list, &g.count, c.number, v);
    }
    return g;
}

void golden_numbers_free(GoldenNumbers *g) {
    for (int64_t i = 0; i < g->cases; i++) vectors_free(&((Vectors *)g->owned)[i]);
    free(g->owned);
    free(g->list);
}
