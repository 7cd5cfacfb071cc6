/* Prints a hash of the bits of every kernel's outputs and gradients, one line a case: the same text on every
 * CPU, compiler and instruction set. Argument: the instruction set. Needs no library but libm, so it also
 * runs under an emulator. */
#include "equation/inputs.h"
#include "base/dispatch.h"
#include "base/hash.h"
#include "equation/adapter.h"
#include "equation/cases.h"
#include "equation/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash(uint64_t h, const float *x, int64_t n) {
    return hash_bytes(h, x, (size_t)n * sizeof *x);
}

static float *scaled_input(const EquationCase *c, const Dims *d, int i, int64_t n, uint64_t *state) {
    const Role role = d->equation->in[i].role;
    const int as_is = role_is_gate(role) || role_is_index(role);
    double *x = oracle_zeros(n);
    float *y = run_zeros(n);
    inputs_fill(d, i, n, x, state);
    for (int64_t j = 0; j < n; j++) y[j] = (float)(as_is ? x[j] : ldexp(x[j], -c->shrink));
    free(x);
    return y;
}

static uint64_t run_case(const KernelAdapter *a, const EquationCase *c) {
    const Dims d = case_dims(c);
    const Equation *e = d.equation;
    const int inputs = argument_count(e->in), outputs = argument_count(e->out);
    const int gradient = kernel_differentiable(a, &d);
    uint64_t state = 11, h = HASH_START;
    KernelRun r = {.dims = &d};
    dims_sizes(&d, r.in_size, r.out_size);
    for (int i = 0; i < inputs; i++) {
        r.in[i] = scaled_input(c, &d, i, r.in_size[i], &state);
        if (gradient) r.grad[i] = run_zeros(r.in_size[i]);
    }
    for (int i = 0; i < outputs; i++) {
        r.out[i] = run_zeros(r.out_size[i]);
        r.cotangent[i] = run_zeros(r.out_size[i]);
        for (int64_t j = 0; j < r.out_size[i] && !kernel_output_is_constant(e, i); j++)
            r.cotangent[i][j] = (float)(2 * uniform(&state) - 1);
    }
    a->run(&r);
    for (int i = 0; i < outputs; i++)
        h = hash(h, r.out[i], r.out_size[i]), free(r.out[i]), free(r.cotangent[i]);
    for (int i = 0; i < inputs; i++)
        h = gradient ? hash(h, r.grad[i], r.in_size[i]) : h, free(r.in[i]), free(r.grad[i]);
    return h;
}

static uint64_t run_exp(void) {
    enum { N = 1 << 16 };
    static float x[N], y[N];
    uint64_t h = HASH_START;
    for (uint64_t base = 0; base <= UINT32_MAX; base += (uint64_t)N * 997) {
        for (int i = 0; i < N; i++) {
            const uint32_t bits = (uint32_t)(base + (uint64_t)i * 997);
            memcpy(&x[i], &bits, sizeof bits);
            if (isnan(x[i])) x[i] = 0.0f; /* the payload of a NaN is the CPU's own business */
        }
        kernel->act->exp(N, x, y);
        h = hash(h, y, N);
    }
    return h;
}

int main(int argc, char **argv) {
    char message[256];
    if (argc == 2 && kernels_select(argv[1], message, sizeof message))
        return fprintf(stderr, "bits: %s\n", message), 2;
    printf("exp %016llx\n", (unsigned long long)run_exp());
    KernelAdapter a;
    for (int i = 0; kernel_adapter_at(i, &a); i++)
        for (int k = 0; case_at(k); k++) {
            const EquationCase *c = case_at(k);
            if (strcmp(c->equation, a.equation) || !case_used(c, "bits")) continue;
            printf("%s %s %016llx\n", a.kernel, c->dims, (unsigned long long)run_case(&a, c));
        }
    return 0;
}
