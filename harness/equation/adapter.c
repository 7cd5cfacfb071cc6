#include "equation/adapter.h"
#include "base/check.h"
#include "equation/inputs.h"
#include "equation/kernel/model.h"

#include "kernel_adapters.h"
#include <math.h>
#include <string.h>

int kernel_adapter_at(int i, KernelAdapter *adapter) {
    for (int file = 0; kernel_adapters[file]; file++)
        for (const KernelAdapter *a = kernel_adapters[file]->list; *a->equation; a++)
            if (i-- == 0) return *adapter = *a, 1;
    return mixer_adapter_at(i, adapter);
}

int kernel_adapter_find(const char *equation, KernelAdapter *adapter) {
    for (int i = 0; kernel_adapter_at(i, adapter); i++)
        if (!strcmp(adapter->equation, equation)) return 1;
    return 0;
}

int kernel_accepts(const KernelAdapter *a, const Dims *dims, char *message, size_t size) {
    return a->accepts ? a->accepts(dims, message, size) : 0;
}

int kernel_differentiable(const KernelAdapter *a, const Dims *dims) {
    return a->differentiable ? a->differentiable(dims) : 1;
}

int kernel_output_is_constant(const Equation *equation, int output) {
    return !strcmp(equation->name, "language_model") && !strcmp(equation->out[output].name, "logits");
}

int kernel_takes(const KernelAdapter *a, const Dims *dims, const double *const *in, char *message,
                 size_t size) {
    return a->takes ? a->takes(dims, in, message, size) : 0;
}

int kernel_input_is_read(const Equation *equation, int input) {
    static const char *const unread[] = {"v0", "v1", "v2", "v_first", 0};
    int found = 0;
    for (int i = 0; unread[i]; i++) found |= !strcmp(equation->in[input].name, unread[i]);
    return !found || strcmp(equation->name, "rwkv7_layer") != 0;
}

/* A key of the mixer that is an input of another role than LIMIT. */
static int is_step_limit(const Equation *equation, int input) {
    const char *name = equation->in[input].name;
    return !strcmp(equation->name, "mamba2_layer") && (!strcmp(name, "dt_min") || !strcmp(name, "dt_max"));
}

int kernel_gradient_is_computed(const Equation *equation, int input) {
    const Role role = equation->in[input].role;
    if (is_step_limit(equation, input)) return 0;
    return !role_is_index(role) && role != LIMIT;
}

int64_t run_dim(const KernelRun *r, const char *name) { return dims_get(r->dims, name); }

static int place(const KernelRun *r, const Argument *list, const char *name) {
    const int i = argument_find(list, name);
    CHECK(i >= 0, "%s has no argument %s", r->dims->equation->name, name);
    return i;
}

int64_t run_size(const KernelRun *r, const char *input) {
    return r->in_size[place(r, r->dims->equation->in, input)];
}
float *run_in(const KernelRun *r, const char *input) { return r->in[place(r, r->dims->equation->in, input)]; }
float *run_grad(const KernelRun *r, const char *input) {
    return r->grad[place(r, r->dims->equation->in, input)];
}
float *run_out(const KernelRun *r, const char *output) {
    return r->out[place(r, r->dims->equation->out, output)];
}
float *run_cotangent(const KernelRun *r, const char *output) {
    return r->cotangent[place(r, r->dims->equation->out, output)];
}
int run_backward(const KernelRun *r) { return r->grad[0] != 0; }

float *run_zeros(int64_t n) {
    float *p = calloc(n > 0 ? (size_t)n : 1, sizeof *p);
    CHECK(p, "no memory for %ld floats", n);
    return p;
}

float *run_scratch(int64_t n) {
    float *p = run_zeros(n);
    for (int64_t j = 0; j < n; j++) p[j] = NAN;
    return p;
}

int32_t *run_integers(int64_t n, const float *x) {
    int32_t *y = calloc((size_t)n + 1, sizeof *y);
    CHECK(y, "no memory for %ld integers", n);
    for (int64_t i = 0; i < n; i++) y[i] = (int32_t)x[i];
    return y;
}

static float *narrow(int64_t n, const double *x) {
    float *y = run_zeros(n + 16);
    for (int64_t i = 0; x && i < n; i++) y[i] = (float)x[i];
    return y;
}

static void widen(int64_t n, float *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
    free(x);
}

void kernel_evaluate(const KernelAdapter *adapter, const Dims *dims, const double *const *in,
                     const double *const *cotangent, double *const *out, double *const *grad) {
    KernelRun k = {.dims = dims};
    const int inputs = argument_count(dims->equation->in), outputs = argument_count(dims->equation->out);
    dims_sizes(dims, k.in_size, k.out_size);
    for (int i = 0; i < inputs; i++) {
        k.in[i] = narrow(k.in_size[i], in[i]);
        if (cotangent) k.grad[i] = narrow(k.in_size[i], 0);
    }
    for (int i = 0; i < outputs; i++) {
        k.out[i] = narrow(k.out_size[i], 0);
        if (cotangent) k.cotangent[i] = narrow(k.out_size[i], cotangent[i]);
    }
    adapter->run(&k);
    for (int i = 0; i < inputs; i++) {
        free(k.in[i]);
        if (cotangent) widen(k.in_size[i], k.grad[i], grad[i]);
    }
    for (int i = 0; i < outputs; i++) {
        free(k.cotangent[i]);
        widen(k.out_size[i], k.out[i], out[i]);
    }
}
