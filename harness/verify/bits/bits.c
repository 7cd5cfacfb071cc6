/* Prints a hash of the bits of every kernel's outputs and gradients, one line a case: the same text on every
 * CPU, compiler and instruction set. Argument: the instruction set. Needs no library but libm, so it also
 * runs under an emulator. */
#include "equation/inputs.h"
#include "equation/kernel_adapters.h"

#include <stdio.h>
#include <stdlib.h>

extern const Reference reference_double;

static const Equation *find(const char *name) {
    for (const Equation *const *file = reference_double.files; *file; file++)
        for (const Equation *e = *file; e->name; e++)
            if (!strcmp(e->name, name)) return e;
    return 0;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t h, const float *x, int64_t n) {
    const unsigned char *p = (const unsigned char *)x;
    for (int64_t i = 0; i < n * (int64_t)sizeof *x; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static int count(const char *names) {
    int n = *names != 0;
    for (; *names; names++) n += *names == ' ';
    return n;
}

static uint64_t run_case(const KernelAdapter *a, const KernelSizes *sizes) {
    const Equation *e = find(a->equation);
    int64_t in_size[EQUATION_TENSORS] = {0}, out_size[EQUATION_TENSORS] = {0};
    const int inputs = count(e->in), outputs = count(e->out);
    const int gradient = strcmp(e->name, "attention") || sizes->dims[0] == sizes->dims[1];
    uint64_t state = 11, h = 0xcbf29ce484222325u;
    e->shape(sizes->dims, in_size, out_size);
    KernelRun r = {.dims = sizes->dims, .in_size = in_size, .out_size = out_size};
    for (int i = 0; i < inputs; i++) {
        double *x = calloc((size_t)in_size[i] + 1, sizeof *x);
        r.in[i] = calloc((size_t)in_size[i] + 16, sizeof(float));
        if (gradient) r.grad[i] = calloc((size_t)in_size[i] + 16, sizeof(float));
        inputs_fill(e, sizes->dims, i, in_size[i], x, &state);
        const int gate = i >= 5 && !strcmp(e->name, "memory_chunk");
        for (int64_t j = 0; j < in_size[i]; j++)
            r.in[i][j] = (float)(gate ? x[j] : ldexp(x[j], -sizes->shrink));
        free(x);
    }
    for (int i = 0; i < outputs; i++) {
        r.out[i] = calloc((size_t)out_size[i] + 16, sizeof(float));
        r.cotangent[i] = calloc((size_t)out_size[i] + 16, sizeof(float));
        const int logits = i == 1 && !strcmp(e->name, "language_model");
        for (int64_t j = 0; j < out_size[i] && !logits; j++)
            r.cotangent[i][j] = (float)(2 * uniform(&state) - 1);
    }
    a->run(&r);
    for (int i = 0; i < outputs; i++)
        h = hash(h, r.out[i], out_size[i]), free(r.out[i]), free(r.cotangent[i]);
    for (int i = 0; i < inputs; i++)
        h = gradient ? hash(h, r.grad[i], in_size[i]) : h, free(r.in[i]), free(r.grad[i]);
    return h;
}

static uint64_t run_exp(void) {
    enum { N = 1 << 16 };
    static float x[N], y[N];
    uint64_t h = 0xcbf29ce484222325u;
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
    for (const KernelAdapter *a = kernel_adapters; a->equation; a++)
        for (const KernelSizes *s = kernel_sizes; s->equation; s++) {
            if (strcmp(s->equation, a->equation)) continue;
            printf("%s", a->kernel);
            for (int i = 0; i < 12; i++) printf(" %lld", (long long)s->dims[i]);
            printf(" %016llx\n", (unsigned long long)run_case(a, s));
        }
    return 0;
}
