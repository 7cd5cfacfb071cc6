/* Any equation of the reference, or the kernel behind it, on the user's own numbers: the way to hold another
 * implementation against this one, input by input. */
#include "command/command.h"
#include "terminal/options.h"
#include "base/check.h"
#include "base/dispatch.h"
#include "equation/inputs.h"
#include "equation/adapter.h"
#include "equation/describe.h"
#include "file/safetensors.h"
#include "equation/oracle.h"
#include "terminal/files.h"

#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name, *in, *out, *cotangent, *impl, *precision, *dims, *describe, *example;
    int list, force;
} EquationOptions;

enum {
    OPTION_IN = 256,
    OPTION_OUT,
    OPTION_IMPL,
    OPTION_PRECISION,
    OPTION_GRAD,
    OPTION_LIST,
    OPTION_FORCE,
    OPTION_DESCRIBE,
    OPTION_EXAMPLE,
    OPTION_DIMS
};
static const struct argp_option options[] = {
    {"in", OPTION_IN, "FILE", 0,
     "safetensors with the inputs, by name; any floating-point type and shape of the right size", 0},
    {"out", OPTION_OUT, "FILE", 0,
     "safetensors to write: the outputs by name, gradients as grad/NAME, all F64", 0},
    {"dims", OPTION_DIMS, "tokens=4,chunk=2,..", 0,
     "dimensions; those not named are at their defaults (or metadata \"dims\" of the input file)", 0},
    {"impl", OPTION_IMPL, "NAME", 0,
     "reference (default) or a kernel's instruction set: scalar, avx2, avx512, amx, neon", 0},
    {"precision", OPTION_PRECISION, "P", 0, "of the reference: float, double (default), long_double, quad",
     0},
    {"grad", OPTION_GRAD, "FILE", 0,
     "safetensors with a cotangent per output: adds the gradient of every input", 0},
    {"force", OPTION_FORCE, 0, 0, "over a file that holds something else than tensors", 0},
    {"list", OPTION_LIST, 0, 0, "all equations", 0},
    {"describe", OPTION_DESCRIBE, "NAME", 0, "formula, dimensions, tensors and an example of one", 0},
    {"example", OPTION_EXAMPLE, "FILE", 0,
     "write seeded inputs of NAME, and cotangents under its outputs' names, for --in and --grad", 0},
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
    case OPTION_FORCE:
        o->force = 1;
        break;
    case OPTION_LIST:
        o->list = 1;
        break;
    case OPTION_DESCRIBE:
        o->describe = arg;
        break;
    case OPTION_EXAMPLE:
        o->example = arg;
        break;
    case ARGP_KEY_ARG:
        if (o->name) argp_error(state, "more than one equation: '%s'", arg);
        o->name = arg;
        break;
    case ARGP_KEY_END:
        if (!o->list && !o->describe && (!o->name || (!o->example && (!o->in || !o->out))))
            argp_error(state,
                       "NAME, --in FILE and --out FILE are wanted; or --list, --describe NAME, or NAME and "
                       "--example FILE");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const Reference *const precisions[] = {&reference_float, &reference_double, &reference_long_double,
                                              &reference_quad, 0};

static int list(void) {
    KernelAdapter adapter;
    for (int i = 0; oracle_at(i); i++)
        printf("%-20s %-45s %s\n", oracle_at(i)->name, oracle_at(i)->source,
               kernel_adapter_find(oracle_at(i)->name, &adapter) ? "reference, kernel" : "reference");
    return 0;
}

static int describe(const char *name) {
    const Equation *e = oracle_lookup(&reference_double, name);
    if (!e) {
        fprintf(stderr, "titans equation: no equation '%s' (--list shows them)\n", name);
        return 1;
    }
    equation_describe(e, stdout);
    return 0;
}

/* Everything of one run, in double. given: the name under which the input file has each input. */
typedef struct {
    Dims dims;
    const Equation *e;
    int inputs, outputs;
    int64_t in_size[EQUATION_ARGUMENTS], out_size[EQUATION_ARGUMENTS];
    double *in[EQUATION_ARGUMENTS], *out[EQUATION_ARGUMENTS], *cotangent[EQUATION_ARGUMENTS],
        *grad[EQUATION_ARGUMENTS];
    const char *given[EQUATION_ARGUMENTS];
} Run;

static int read_tensor(const SafeFile *f, const char *path, const char *name, int is_index, int64_t wanted,
                       double *x, char *message, size_t size) {
    const SafeTensor *t = safetensors_find(f, name);
    if (!t)
        return snprintf(message, size, "%s: tensor '%s' (%lld numbers) is missing", path, name,
                        (long long)wanted),
               -1;
    if (t->count != wanted)
        return snprintf(message, size, "%s: tensor '%s' has %lld numbers, these dimensions want %lld", path,
                        name, (long long)t->count, (long long)wanted),
               -1;
    if (!safetensors_is_real(t->type) && !(is_index && safetensors_is_integer(t->type)))
        return snprintf(message, size, "%s: tensor '%s' is %s; F32, F64, BF16 or F16%s is wanted", path, name,
                        safetensors_type(t->type), is_index ? ", or an integer type," : ""),
               -1;
    for (int64_t i = 0; i < wanted; i++) {
        x[i] = safetensors_number(t, i);
        if (!isfinite(x[i]))
            return snprintf(message, size, "%s: tensor '%s' is not finite at %lld", path, name, (long long)i),
                   -1;
    }
    return 0;
}

/* Tensors of a list of arguments from a file, by name or published symbol. */
static int read_tensors(const char *path, const Argument *list, const int64_t *sizes, double **to,
                        const char **given, char *message, size_t size) {
    SafeFile f;
    int status = 0;
    if (safetensors_read(&f, path, message, size)) return -1;
    for (int i = 0; !status && list[i].name; i++) {
        const int published =
            list[i].symbol && !safetensors_find(&f, list[i].name) && safetensors_find(&f, list[i].symbol);
        given[i] = published ? list[i].symbol : list[i].name;
        to[i] = oracle_zeros(sizes[i]);
        if (sizes[i] > 0)
            status =
                read_tensor(&f, path, given[i], role_is_index(list[i].role), sizes[i], to[i], message, size);
    }
    safetensors_close(&f);
    return status;
}

static int run_begin(Run *r, const EquationOptions *o, char *message, size_t size) {
    SafeFile f;
    const char *unused[EQUATION_ARGUMENTS];
    const Equation *e = oracle_lookup(&reference_double, o->name);
    if (!e || !e->run) return snprintf(message, size, "no equation '%s' (--list shows them)", o->name), -1;
    if (safetensors_read(&f, o->in, message, size)) return -1;
    const char *text = o->dims ? o->dims : safetensors_metadata(&f, "dims");
    const int status = dims_repeat(text ? text : "", message, size) ||
                               dims_read(&r->dims, o->name, text ? text : "", message, size)
                           ? -1
                           : 0;
    safetensors_close(&f);
    if (status) return -1;
    r->e = r->dims.equation;
    r->inputs = argument_count(r->e->in);
    r->outputs = argument_count(r->e->out);
    const char *objection = dims_objection(&r->dims);
    if (objection)
        return snprintf(message, size, "%s: %s (titans equation --describe %s)", o->name, objection, o->name),
               -1;
    dims_sizes(&r->dims, r->in_size, r->out_size);
    if (read_tensors(o->in, r->e->in, r->in_size, r->in, r->given, message, size)) return -1;
    if (inputs_check_indices(&r->dims, r->in_size, r->in, message, size) ||
        inputs_check_limits(&r->dims, r->in_size, r->in, message, size))
        return -1;
    for (int i = 0; i < r->outputs; i++) r->out[i] = oracle_zeros(r->out_size[i]);
    if (!o->cotangent) return 0;
    for (int i = 0; i < r->inputs; i++) r->grad[i] = oracle_zeros(r->in_size[i]);
    return read_tensors(o->cotangent, r->e->out, r->out_size, r->cotangent, unused, message, size);
}

static void run_end(Run *r) {
    for (int i = 0; i < EQUATION_ARGUMENTS; i++)
        free(r->in[i]), free(r->out[i]), free(r->cotangent[i]), free(r->grad[i]);
}

/* The gradient is a complex step for every input number, in double. */
static int run_reference(Run *r, const char *precision, char *message, size_t size) {
    int i = 0;
    while (precisions[i] && strcmp(precisions[i]->name, precision)) i++;
    if (!precisions[i]) return snprintf(message, size, "precision '%s' is not in this build", precision), -1;
    oracle_run(precisions[i], &r->dims, constant(r->in), 0, r->out, 0, 0, 0);
    double *bound[EQUATION_ARGUMENTS] = {0};
    for (int k = 0; r->grad[0] && k < r->inputs; k++) bound[k] = oracle_zeros(r->in_size[k]);
    if (r->grad[0]) oracle_gradient(&r->dims, constant(r->in), constant(r->cotangent), r->grad, bound);
    for (int k = 0; k < r->inputs; k++) free(bound[k]);
    return 0;
}

/* Kernels compute in float32: what is finite as double may not be there. */
static int check_narrow(const char *name, int64_t n, const double *x, char *message, size_t size) {
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite((float)x[i]))
            return snprintf(message, size, "tensor '%s' has %g at %lld, which float32 does not hold", name,
                            x[i], (long long)i),
                   -1;
    return 0;
}

static int all_zero(int64_t n, const double *x) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0.0) return 0;
    return 1;
}

/* 0, or -1 with a message: the kernel cannot do this. */
static int kernel_objects(const Run *r, const KernelAdapter *a, char *message, size_t size) {
    if (kernel_accepts(a, &r->dims, message, size) ||
        kernel_takes(a, &r->dims, constant(r->in), message, size))
        return -1;
    if (!r->grad[0]) return 0;
    if (!kernel_differentiable(a, &r->dims))
        return snprintf(message, size,
                        "%s's kernel has a gradient for whole sequences only; --impl reference", r->e->name),
               -1;
    for (int i = 0; i < r->outputs; i++)
        if (kernel_output_is_constant(r->e, i) && !all_zero(r->out_size[i], r->cotangent[i]))
            return snprintf(message, size,
                            "the kernels' gradient is the loss's: the cotangent of %s must be 0",
                            r->e->out[i].name),
                   -1;
    return 0;
}

static int run_kernel(Run *r, const char *isa, char *message, size_t size) {
    KernelAdapter a;
    if (!kernel_adapter_find(r->e->name, &a))
        return snprintf(message, size, "%s has no kernel; --impl reference", r->e->name), -1;
    if (kernels_select(isa, message, size) || kernel_objects(r, &a, message, size)) return -1;
    for (int i = 0; i < r->inputs; i++)
        if (check_narrow(r->e->in[i].name, r->in_size[i], r->in[i], message, size)) return -1;
    for (int i = 0; i < r->outputs; i++)
        if (check_narrow(r->e->out[i].name, r->out_size[i], r->cotangent[i], message, size)) return -1;
    kernel_evaluate(&a, &r->dims, constant(r->in), r->grad[0] ? constant(r->cotangent) : 0, r->out, r->grad);
    return 0;
}

static int check_finite(const char *what, const char *name, int64_t n, const double *x, char *message,
                        size_t size) {
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite(x[i]))
            return snprintf(message, size,
                            "%s'%s' is %g at %lld: these inputs are beyond the precision; nothing is written",
                            what, name, x[i], (long long)i),
                   -1;
    return 0;
}

/* Results that are no numbers are no results. */
static int run_check(const Run *r, char *message, size_t size) {
    for (int i = 0; i < r->outputs; i++)
        if (check_finite("output ", r->e->out[i].name, r->out_size[i], r->out[i], message, size)) return -1;
    for (int i = 0; i < r->inputs; i++)
        if (check_finite("gradient of ", r->e->in[i].name, r->in_size[i], r->grad[i], message, size))
            return -1;
    return 0;
}

/* What is read and what is written, before anything is done. */
static int run_files(const EquationOptions *o, char *message, size_t size) {
    if (o->example) return files_writes(o->example, o->force ? FILES_REPLACE : FILES_TENSORS, message, size);
    if (files_reads(o->in, message, size) || (o->cotangent && files_reads(o->cotangent, message, size)))
        return -1;
    return files_writes(o->out, o->force ? FILES_REPLACE : FILES_TENSORS, message, size);
}

/* x under its name and in its shape. */
static void tensor_of(const Dims *d, const Argument *a, const double *x, SafeTensor *t) {
    *t = (SafeTensor){.type = SAFE_F64, .count = 1, .data = x};
    t->dims = dims_shape(d, a, t->shape);
    for (int i = 0; i < t->dims; i++) t->count *= t->shape[i];
    snprintf(t->name, sizeof t->name, "%s", a->name);
}

/* One result in its shape. */
static void result(const Run *r, const Argument *a, const char *prefix, const char *name, const double *x,
                   SafeTensor *t) {
    tensor_of(&r->dims, a, x, t);
    snprintf(t->name, sizeof t->name, "%s%s", prefix, name);
}

/* Whether the gradient of input i is there to be written; says so where only the kernels lack it. */
static int gradient_written(const Run *r, const EquationOptions *o, int i) {
    if (!r->grad[0] || !r->in_size[i] || role_is_index(r->e->in[i].role)) return 0;
    if (!strcmp(o->impl, "reference") || kernel_gradient_is_computed(r->e, i)) return 1;
    fprintf(stderr,
            "titans equation: grad/%s is not computed by the kernels and left out; --impl reference has it\n",
            r->given[i]);
    return 0;
}

static int run_write(const Run *r, const EquationOptions *o, char *message, size_t size) {
    SafeTensor t[2 * EQUATION_ARGUMENTS];
    int n = 0;
    for (int i = 0; i < r->outputs; i++)
        if (r->out_size[i]) result(r, &r->e->out[i], "", r->e->out[i].name, r->out[i], &t[n++]);
    for (int i = 0; i < r->inputs; i++)
        if (gradient_written(r, o, i)) result(r, &r->e->in[i], "grad/", r->given[i], r->grad[i], &t[n++]);
    const SafeMetadata metadata[] = {
        {"equation", r->e->name}, {"implementation", o->impl}, {"precision", o->precision}};
    return safetensors_write(o->out, t, n, metadata, 3, message, size);
}

/* ---- an example's inputs ---- */

/* Inputs, and under the names of outputs, which no input has, their cotangents, 0 where kernels want that. */
static int example_write(const Dims *d, const char *path, char *message, size_t size) {
    const Equation *e = d->equation;
    SafeTensor t[2 * EQUATION_ARGUMENTS];
    double *data[2 * EQUATION_ARGUMENTS];
    int64_t in[EQUATION_ARGUMENTS], out[EQUATION_ARGUMENTS];
    int n = 0;
    uint64_t seed = 1;
    char dims[512];
    dims_sizes(d, in, out);
    for (int i = 0; e->in[i].name; i++, n++) {
        data[n] = oracle_zeros(in[i]);
        inputs_fill(d, i, in[i], data[n], &seed);
        tensor_of(d, &e->in[i], data[n], &t[n]);
    }
    for (int i = 0; e->out[i].name; i++, n++) {
        data[n] = oracle_zeros(out[i]);
        for (int64_t j = 0; j < out[i] && !kernel_output_is_constant(e, i); j++)
            data[n][j] = 2 * uniform(&seed) - 1;
        tensor_of(d, &e->out[i], data[n], &t[n]);
    }
    dims_write(d, dims, sizeof dims);
    const SafeMetadata metadata[] = {{"equation", e->name}, {"dims", dims}};
    const int status = safetensors_write(path, t, n, metadata, 2, message, size);
    for (int i = 0; i < n; i++) free(data[i]);
    return status;
}

/* At the dimensions that are given, or those that --describe shows. */
static int example(const EquationOptions *o, char *message, size_t size) {
    const Equation *e = oracle_lookup(&reference_double, o->name);
    char text[512] = "";
    Dims d;
    if (e && !o->dims) equation_example(e, text, sizeof text);
    if (o->dims && dims_repeat(o->dims, message, size)) return -1;
    if (dims_read(&d, o->name, o->dims ? o->dims : text, message, size)) return -1;
    const char *objection = dims_objection(&d);
    if (!objection) return example_write(&d, o->example, message, size);
    return snprintf(message, size, "%s: %s (titans equation --describe %s)", o->name, objection, o->name), -1;
}

static int run_and_write(Run *r, const EquationOptions *o, char *message, size_t size) {
    const int status = strcmp(o->impl, "reference") ? run_kernel(r, o->impl, message, size)
                                                    : run_reference(r, o->precision, message, size);
    return status || run_check(r, message, size) ? -1 : run_write(r, o, message, size);
}

static int run(int argc, char **argv) {
    const struct argp argp = {
        options,
        parse,
        "[NAME]",
        "Run an equation of the paper, forward and gradient, on your own inputs."
        "\vExamples:\n  titans equation --describe memory_chunk\n  titans equation memory_chunk --example "
        "x.safetensors\n  titans equation memory_chunk --in x.safetensors --out y.safetensors",
        0,
        0,
        0};
    EquationOptions o = {.impl = "reference", .precision = "double"};
    char message[MESSAGE];
    static Run r;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, 0, &o);
    r = (Run){.inputs = 0};
    if (o.list) return list();
    if (o.describe) return describe(o.describe);
    int status = run_files(&o, message, sizeof message);
    if (!status)
        status =
            o.example ? example(&o, message, sizeof message) : run_begin(&r, &o, message, sizeof message);
    if (!status && !o.example) status = run_and_write(&r, &o, message, sizeof message);
    if (status) say("titans equation", message);
    run_end(&r);
    return status ? 1 : 0;
}

const Command command_equation = {"equation", "any equation of the paper on your own numbers", run};
