/* Any equation of the reference, or the kernel behind it, on the user's own numbers: the way to hold another
 * implementation against this one, input by input. */
#include "command/command.h"
#include "base/check.h"
#include "equation/dims.h"
#include "equation/inputs.h"
#include "equation/kernel_adapters.h"
#include "file/safetensors.h"
#include "equation/oracle.h"

#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name, *in, *out, *cotangent, *impl, *precision, *dims, *describe;
    int list;
} EquationOptions;

enum {
    OPTION_IN = 256,
    OPTION_OUT,
    OPTION_IMPL,
    OPTION_PRECISION,
    OPTION_GRAD,
    OPTION_LIST,
    OPTION_DESCRIBE,
    OPTION_DIMS
};
static const struct argp_option options[] = {
    {"in", OPTION_IN, "FILE", 0,
     "safetensors with the inputs, by name; any floating-point type and shape of the right size", 0},
    {"out", OPTION_OUT, "FILE", 0,
     "safetensors to write: the outputs by name, gradients as grad/NAME, all F64", 0},
    {"dims", OPTION_DIMS, "T=4,b=2,..", 0,
     "dimensions; those not named are 0 (or metadata \"dims\" of the input file)", 0},
    {"impl", OPTION_IMPL, "NAME", 0,
     "reference (default) or a kernel's instruction set: scalar, avx2, avx512, neon", 0},
    {"precision", OPTION_PRECISION, "P", 0, "of the reference: float, double (default), long_double, quad",
     0},
    {"grad", OPTION_GRAD, "FILE", 0,
     "safetensors with a cotangent per output: adds the gradient of every input", 0},
    {"list", OPTION_LIST, 0, 0, "all equations", 0},
    {"describe", OPTION_DESCRIBE, "NAME", 0, "dimensions, tensors and source of one", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    EquationOptions *o = state->input;
    switch (key) {
    case OPTION_IN:
        o->in = arg;
        break;
    case OPTION_OUT:
        o->out = arg;
        break;
    case OPTION_DIMS:
        o->dims = arg;
        break;
    case OPTION_IMPL:
        o->impl = arg;
        break;
    case OPTION_PRECISION:
        o->precision = arg;
        break;
    case OPTION_GRAD:
        o->cotangent = arg;
        break;
    case OPTION_LIST:
        o->list = 1;
        break;
    case OPTION_DESCRIBE:
        o->describe = arg;
        break;
    case ARGP_KEY_ARG:
        if (o->name) argp_error(state, "more than one equation: '%s'", arg);
        o->name = arg;
        break;
    case ARGP_KEY_END:
        if (!o->list && !o->describe && (!o->name || !o->in || !o->out))
            argp_error(state, "NAME, --in FILE and --out FILE are wanted; or --list, or --describe NAME");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const Reference *const precisions[] = {&reference_float, &reference_double, &reference_long_double,
                                              &reference_quad, 0};

static const Equation *equation_named(const char *name) { return oracle_lookup(&reference_double, name); }

static int list(void) {
    for (const Equation *const *file = reference_double.files; *file; file++)
        for (const Equation *e = *file; e->name; e++)
            printf("%-20s %-45s %s\n", e->name, e->source,
                   kernel_adapter_find(e->name) ? "reference, kernel" : "reference");
    return 0;
}

static int describe(const char *name) {
    const Equation *e = equation_named(name);
    if (!e) {
        fprintf(stderr, "titans equation: no equation '%s' (--list shows them)\n", name);
        return 1;
    }
    printf("%s: %s\ndimensions: %s\ninputs:     %s\noutputs:    %s\n", e->name, e->source, e->dims, e->in,
           e->out);
    printf("kernel:     %s\n", kernel_adapter_find(name) ? kernel_adapter_find(name)->kernel : "none");
    printf("Tensors are row-major, tokens are rows, weights are [in][out]. docs/equations.md names the "
           "source file,\n"
           "where shapes and conventions are documented; docs/errata.md says where the paper is read in "
           "which way.\n");
    return 0;
}

/* Everything of one run, in double. */
typedef struct {
    const Equation *e;
    int inputs, outputs;
    int64_t dims[EQUATION_DIMS], in_size[EQUATION_TENSORS], out_size[EQUATION_TENSORS];
    double *in[EQUATION_TENSORS], *out[EQUATION_TENSORS], *cotangent[EQUATION_TENSORS],
        *grad[EQUATION_TENSORS];
} Run;

/* "T=4,b=2" (or with blanks) into the equation's order. */
static int read_dims(Run *r, const char *text, char *message, size_t size) {
    char copy[1024], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    for (char *word; (word = strsep(&rest, ", "));) {
        char *equals = strchr(word, '='), *end = 0, name[64] = "";
        int i = 0;
        if (!*word) continue;
        if (!equals) return snprintf(message, size, "dimension '%s': NAME=NUMBER is wanted", word), -1;
        *equals = 0;
        for (; i < oracle_count(r->e->dims); i++) {
            oracle_name(r->e->dims, i, name, sizeof name);
            if (!strcmp(name, word)) break;
        }
        if (i == oracle_count(r->e->dims))
            return snprintf(message, size, "%s has no dimension '%s'; it has: %s", r->e->name, word,
                            r->e->dims),
                   -1;
        r->dims[i] = strtoll(equals + 1, &end, 10);
        if (end == equals + 1 || *end || r->dims[i] < 0 || r->dims[i] > 1 << 20)
            return snprintf(message, size, "dimension %s: '%s' is not a number from 0 to 1048576", word,
                            equals + 1),
                   -1;
    }
    return 0;
}

static int read_tensor(const SafeFile *f, const char *path, const char *name, int64_t wanted, double *x,
                       char *message, size_t size) {
    const SafeTensor *t = safetensors_find(f, name);
    if (!t)
        return snprintf(message, size, "%s: tensor '%s' (%lld numbers) is missing", path, name,
                        (long long)wanted),
               -1;
    if (t->count != wanted)
        return snprintf(message, size, "%s: tensor '%s' has %lld numbers, these dimensions want %lld", path,
                        name, (long long)t->count, (long long)wanted),
               -1;
    for (int64_t i = 0; i < wanted; i++) {
        x[i] = safetensors_number(t, i);
        if (!isfinite(x[i]))
            return snprintf(message, size, "%s: tensor '%s' is not finite at %lld", path, name, (long long)i),
                   -1;
    }
    return 0;
}

/* Tokens and targets are whole numbers below V; a target of -1 counts for nothing. */
static int check_indices(const Run *r, char *message, size_t size) {
    for (int i = 0; i < r->inputs; i++) {
        char name[64];
        oracle_name(r->e->in, i, name, sizeof name);
        if (!is_index_name(name)) continue;
        const double least = strcmp(name, "tokens") ? -1.0 : 0.0;
        const double V = (double)r->dims[name_index(r->e->dims, "V")];
        for (int64_t j = 0; j < r->in_size[i]; j++) {
            const double x = r->in[i][j];
            if (x == floor(x) && x >= least && x < V) continue;
            return snprintf(message, size,
                            "tensor '%s' has %g at %lld; whole numbers from %g to %g are wanted", name, x,
                            (long long)j, least, V - 1.0),
                   -1;
        }
    }
    return 0;
}

/* Tensors of a list of names from a file. */
static int read_tensors(const char *path, const char *names, int count, const int64_t *sizes, double **to,
                        char *message, size_t size) {
    SafeFile f;
    int status = 0;
    if (safetensors_read(&f, path, message, size)) return -1;
    for (int i = 0; !status && i < count; i++) {
        char name[64];
        oracle_name(names, i, name, sizeof name);
        to[i] = oracle_zeros(sizes[i]);
        if (sizes[i] > 0) status = read_tensor(&f, path, name, sizes[i], to[i], message, size);
    }
    safetensors_close(&f);
    return status;
}

static int run_begin(Run *r, const EquationOptions *o, char *message, size_t size) {
    SafeFile f;
    *r = (Run){.e = equation_named(o->name)};
    if (!r->e) return snprintf(message, size, "no equation '%s' (--list shows them)", o->name), -1;
    if (safetensors_read(&f, o->in, message, size)) return -1;
    const int status = read_dims(r, o->dims ? o->dims : safetensors_metadata(&f, "dims"), message, size);
    safetensors_close(&f);
    if (status) return -1;
    r->inputs = oracle_count(r->e->in);
    r->outputs = oracle_count(r->e->out);
    const char *objection = equation_dims_objection(r->e, r->dims);
    if (objection)
        return snprintf(message, size, "%s: %s (--dims with %s)", r->e->name, objection, r->e->dims), -1;
    r->e->shape(r->dims, r->in_size, r->out_size);
    if (read_tensors(o->in, r->e->in, r->inputs, r->in_size, r->in, message, size)) return -1;
    if (check_indices(r, message, size)) return -1;
    for (int i = 0; i < r->outputs; i++) r->out[i] = oracle_zeros(r->out_size[i]);
    if (!o->cotangent) return 0;
    for (int i = 0; i < r->inputs; i++) r->grad[i] = oracle_zeros(r->in_size[i]);
    return read_tensors(o->cotangent, r->e->out, r->outputs, r->out_size, r->cotangent, message, size);
}

static void run_end(Run *r) {
    for (int i = 0; i < EQUATION_TENSORS; i++)
        free(r->in[i]), free(r->out[i]), free(r->cotangent[i]), free(r->grad[i]);
}

/* The gradient is a complex step for every input number, in double. */
static int run_reference(Run *r, const char *precision, char *message, size_t size) {
    int i = 0;
    while (precisions[i] && strcmp(precisions[i]->name, precision)) i++;
    if (!precisions[i]) return snprintf(message, size, "precision '%s' is not in this build", precision), -1;
    oracle_run(precisions[i], r->e->name, r->dims, constant(r->in), 0, r->out, 0, 0, 0);
    double *bound[EQUATION_TENSORS] = {0};
    for (int k = 0; r->grad[0] && k < r->inputs; k++) bound[k] = oracle_zeros(r->in_size[k]);
    if (r->grad[0])
        oracle_gradient(r->e->name, r->dims, constant(r->in), constant(r->cotangent), r->grad, bound);
    for (int k = 0; k < r->inputs; k++) free(bound[k]);
    return 0;
}

static float *narrow(int64_t n, const double *x) {
    float *y = calloc((size_t)n + 16, sizeof *y);
    CHECK(y, "no memory for %ld numbers", n);
    for (int64_t i = 0; x && i < n; i++) y[i] = (float)x[i];
    return y;
}

static void widen(int64_t n, float *x, double *y) {
    for (int64_t i = 0; y && i < n; i++) y[i] = (double)x[i];
    free(x);
}

static int all_zero(int64_t n, const double *x) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0.0) return 0;
    return 1;
}

static int run_kernel(Run *r, const char *isa, char *message, size_t size) {
    const KernelAdapter *a = kernel_adapter_find(r->e->name);
    if (!a) return snprintf(message, size, "%s has no kernel; --impl reference", r->e->name), -1;
    if (kernels_select(isa, message, size) || kernel_accepts(r->e->name, r->dims, message, size)) return -1;
    if (r->grad[0] && !kernel_has_gradient(r->e->name, r->dims))
        return snprintf(message, size,
                        "%s's kernel has a gradient for whole sequences only; --impl reference", r->e->name),
               -1;
    if (r->grad[0] && !strcmp(r->e->name, "language_model") && !all_zero(r->out_size[1], r->cotangent[1]))
        return snprintf(message, size,
                        "the kernels' gradient is the loss's: the cotangent of logits must be 0"),
               -1;
    KernelRun k = {.dims = r->dims, .in_size = r->in_size, .out_size = r->out_size};
    for (int i = 0; i < r->inputs; i++) {
        k.in[i] = narrow(r->in_size[i], r->in[i]);
        if (r->grad[0]) k.grad[i] = narrow(r->in_size[i], 0);
    }
    for (int i = 0; i < r->outputs; i++) {
        k.out[i] = narrow(r->out_size[i], 0);
        if (r->grad[0]) k.cotangent[i] = narrow(r->out_size[i], r->cotangent[i]);
    }
    a->run(&k);
    for (int i = 0; i < r->inputs; i++) {
        free(k.in[i]);
        if (k.grad[i]) widen(r->in_size[i], k.grad[i], r->grad[i]);
    }
    for (int i = 0; i < r->outputs; i++) {
        free(k.cotangent[i]);
        widen(r->out_size[i], k.out[i], r->out[i]);
    }
    return 0;
}

static int run_write(const Run *r, const EquationOptions *o, char *message, size_t size) {
    SafeTensor t[2 * EQUATION_TENSORS];
    char name[64];
    int n = 0;
    for (int i = 0; i < r->outputs; i++) {
        if (!r->out_size[i]) continue;
        t[n] = (SafeTensor){.type = SAFE_F64,
                            .dims = 1,
                            .shape = {r->out_size[i]},
                            .count = r->out_size[i],
                            .data = r->out[i]};
        oracle_name(r->e->out, i, t[n++].name, sizeof t->name);
    }
    for (int i = 0; r->grad[0] && i < r->inputs; i++) {
        if (!r->in_size[i]) continue;
        t[n] = (SafeTensor){.type = SAFE_F64,
                            .dims = 1,
                            .shape = {r->in_size[i]},
                            .count = r->in_size[i],
                            .data = r->grad[i]};
        oracle_name(r->e->in, i, name, sizeof name);
        snprintf(t[n++].name, sizeof t->name, "grad/%s", name);
    }
    const SafeMetadata metadata[] = {
        {"equation", r->e->name}, {"implementation", o->impl}, {"precision", o->precision}};
    return safetensors_write(o->out, t, n, metadata, 3, message, size);
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options, parse, "[NAME]", "Run an equation of the paper, forward and gradient, on your own inputs.",
        0,       0,     0};
    EquationOptions o = {.impl = "reference", .precision = "double"};
    char message[1024];
    Run r = {0};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    if (o.list) return list();
    if (o.describe) return describe(o.describe);
    int status = run_begin(&r, &o, message, sizeof message);
    if (!status)
        status = strcmp(o.impl, "reference") ? run_kernel(&r, o.impl, message, sizeof message)
                                             : run_reference(&r, o.precision, message, sizeof message);
    if (!status) status = run_write(&r, &o, message, sizeof message);
    if (status) fprintf(stderr, "titans equation: %s\n", message);
    run_end(&r);
    return status ? 1 : 0;
}

const Command command_equation = {"equation", "any equation of the paper on your own numbers", run};
