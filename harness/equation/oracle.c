#include "equation/oracle.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An equation's tensors in one arithmetic. */
typedef struct Evaluation {
    const Reference *r;
    Call call;
    int inputs, outputs;
    int64_t in_size[EQUATION_ARGUMENTS], out_size[EQUATION_ARGUMENTS];
    void *in[EQUATION_ARGUMENTS], *out[EQUATION_ARGUMENTS];
} Evaluation;

const Equation *oracle_lookup(const Reference *r, const char *name) {
    for (const Equation *const *file = r->files; *file; file++)
        for (const Equation *e = *file; e->name; e++)
            if (!strcmp(e->name, name)) return e;
    return NULL;
}

const Equation *oracle_mixer(const char *name) {
    char full[64];
    snprintf(full, sizeof full, MIXERS "%s", name);
    return oracle_lookup(&reference_double, full);
}

const Equation *oracle_at(int i) {
    for (const Equation *const *file = reference_double.files; *file; file++)
        for (const Equation *e = *file; e->name; e++)
            if (e->run && i-- == 0) return e;
    return NULL;
}

static void *zeros(int64_t n, size_t size) {
    void *p = calloc(n > 0 ? (size_t)n : 1, size);
    if (!p) {
        fprintf(stderr, "oracle: out of memory for %lld numbers\n", (long long)n);
        abort();
    }
    return p;
}

double *oracle_zeros(int64_t n) { return zeros(n, sizeof(double)); }

static Evaluation evaluation_open(const Reference *r, const Dims *d, const double *const *in,
                                  const double *const *tangent) {
    Evaluation c = {.r = r, .call = dims_call(d)};
    c.call.equation = oracle_lookup(r, d->equation->name);
    c.call.mixer = d->mixer ? oracle_lookup(r, d->mixer->name) : NULL;
    c.inputs = argument_count(d->equation->in);
    c.outputs = argument_count(d->equation->out);
    dims_sizes(d, c.in_size, c.out_size);
    for (int i = 0; i < c.inputs; i++) {
        c.in[i] = zeros(c.in_size[i], r->real_size);
        r->from_double(c.in[i], in[i], tangent ? tangent[i] : NULL, (size_t)c.in_size[i]);
    }
    for (int i = 0; i < c.outputs; i++) c.out[i] = zeros(c.out_size[i], r->real_size);
    return c;
}

static void evaluation_run(Evaluation *c) {
    const void *in[EQUATION_ARGUMENTS];
    for (int i = 0; i < c->inputs; i++) in[i] = c->in[i];
    c->call.in = in;
    c->call.out = c->out;
    c->call.equation->run(&c->call);
}

static void evaluation_close(Evaluation *c) {
    for (int i = 0; i < c->inputs; i++) free(c->in[i]);
    for (int i = 0; i < c->outputs; i++) free(c->out[i]);
}

void oracle_run(const Reference *r, const Dims *d, const double *const *in, const double *const *tangent,
                double *const *out, double *const *out_tangent, double *const *out_error,
                double *const *out_tangent_error) {
    Evaluation c = evaluation_open(r, d, in, tangent);
    evaluation_run(&c);
    for (int i = 0; i < c.outputs; i++)
        r->to_double(c.out[i], out[i], out_tangent ? out_tangent[i] : NULL, out_error ? out_error[i] : NULL,
                     out_tangent_error ? out_tangent_error[i] : NULL, (size_t)c.out_size[i]);
    evaluation_close(&c);
}

/* Sum over outputs of cotangent * tangent as the call stands, and the bound of its float32 error: every
 * term brings |cotangent| tangent_error and rounds as a product, every addition rounds by u (|sum| + |term|).
 */
static double contract(const Evaluation *c, const double *const *cotangent, double *bound) {
    double sum = 0, u = 0x1p-24;
    *bound = 0;
    for (int i = 0; i < c->outputs; i++) {
        if (!cotangent[i]) continue;
        for (int64_t j = 0; j < c->out_size[i]; j++) {
            double tangent, error;
            const char *element = (const char *)c->out[i] + (size_t)j * c->r->real_size;
            c->r->to_double(element, NULL, &tangent, NULL, &error, 1);
            double term = cotangent[i][j] * tangent;
            *bound += fabs(cotangent[i][j]) * error + u * fabs(term) + u * (fabs(sum) + fabs(term));
            sum += term;
        }
    }
    return sum;
}

/* Derivative of the contraction with respect to element j of input i. */
static double slope(Evaluation *c, int i, int64_t j, const double *value, const double *const *cotangent,
                    double *bound) {
    const double one = 1;
    void *element = (char *)c->in[i] + (size_t)j * c->r->real_size;
    c->r->from_double(element, value, &one, 1);
    evaluation_run(c);
    c->r->from_double(element, value, NULL, 1);
    return contract(c, cotangent, bound);
}

void oracle_gradient(const Dims *d, const double *const *in, const double *const *cotangent,
                     double *const *grad, double *const *grad_bound) {
    Evaluation step = evaluation_open(&reference_complex_double, d, in, NULL), bounded = {0};
    if (grad_bound) bounded = evaluation_open(&reference_bound, d, in, NULL);
    for (int i = 0; i < step.inputs; i++)
        for (int64_t j = 0; j < step.in_size[i]; j++) {
            double none;
            if (grad[i]) grad[i][j] = slope(&step, i, j, in[i] + j, cotangent, &none);
            if (grad_bound && grad_bound[i]) slope(&bounded, i, j, in[i] + j, cotangent, &grad_bound[i][j]);
        }
    evaluation_close(&step);
    evaluation_close(&bounded);
}

void oracle_adjoint(const Dims *d, const double *const *in, const double *const *cotangent,
                    double *const *out, double *const *grad) {
    const Reference *r = &reference_adjoint;
    r->begin();
    Evaluation c = evaluation_open(r, d, in, NULL);
    evaluation_run(&c);
    for (int i = 0; i < c.outputs; i++) {
        r->to_double(c.out[i], out[i], NULL, NULL, NULL, (size_t)c.out_size[i]);
        if (cotangent[i]) r->seed(c.out[i], cotangent[i], (size_t)c.out_size[i]);
    }
    r->reverse();
    for (int i = 0; i < c.inputs; i++)
        if (grad[i]) r->to_double(c.in[i], NULL, grad[i], NULL, NULL, (size_t)c.in_size[i]);
    r->begin();
    evaluation_close(&c);
}
