#pragma once
/* Optimized functions behind the arguments of the equation that they compute: what lets one set of properties (bound,
 * gradient, instruction sets, threads) be checked for all of them. To add one: a file in harness/equation/kernel/ that
 * defines `const KernelAdapters kernel_adapters_NAME`. Every optimized mixer that has an equation mixer_NAME is there
 * by itself. */
#include "equation/dims.h"

/* Arrays in the order of the equation's arguments. */
typedef struct KernelRun {
    const Dims *dims;
    int64_t in_size[EQUATION_ARGUMENTS], out_size[EQUATION_ARGUMENTS];
    float *in[EQUATION_ARGUMENTS], *out[EQUATION_ARGUMENTS];
    float *cotangent[EQUATION_ARGUMENTS]; /* of every output; NULL in a forward-only run */
    float *grad[EQUATION_ARGUMENTS];      /* of every input, zero on entry; NULL in a forward-only run */
} KernelRun;

typedef struct {
    char equation[48], kernel[48];
    void (*run)(KernelRun *run); /* uses the kernels of `kernel` */
    /* Why these dimensions cannot be computed: 0, or -1 with a message; NULL: all can. */
    int (*accepts)(const Dims *dims, char *message, size_t size);
    /* Whether there is a gradient at these dimensions; NULL: always. */
    int (*differentiable)(const Dims *dims);
    /* Why these numbers cannot be computed, likewise: those that are keys of the configuration have a range. */
    int (*takes)(const Dims *dims, const double *const *in, char *message, size_t size);
} KernelAdapter;

/* One file's adapters; a list ends with an empty equation. */
typedef struct KernelAdapters {
    const KernelAdapter *list;
} KernelAdapters;

/* The i-th of all adapters; 0 past the end. */
int kernel_adapter_at(int i, KernelAdapter *adapter);

/* The first of an equation; 0: it has no kernel. */
int kernel_adapter_find(const char *equation, KernelAdapter *adapter);

int kernel_accepts(const KernelAdapter *adapter, const Dims *dims, char *message, size_t size);
int kernel_differentiable(const KernelAdapter *adapter, const Dims *dims);
int kernel_takes(const KernelAdapter *adapter, const Dims *dims, const double *const *in, char *message,
                 size_t size);

/* Outputs whose cotangent must be zero, since the optimized model has no such gradient: a model's logits. */
int kernel_output_is_constant(const Equation *equation, int output);

/* Whether kernels compute the gradient of an input. They do not for numbers of the configuration (LIMIT; the limits of
 * Mamba-2's steps), which are options of theirs and not trained; whole numbers have none in any implementation. Whatever is not computed is left
 * out of files and said, never written as 0. */
int kernel_gradient_is_computed(const Equation *equation, int input);

/* Whether an input is read at any size that kernels accept: RWKV-7's mixer is the first layer, which has nothing from a
 * layer before. */
int kernel_input_is_read(const Equation *equation, int input);

/* Runs a kernel on numbers that float32 holds: narrowed, and widened again. cotangent NULL: forward only; grad: one
 * array per input, overwritten. */
void kernel_evaluate(const KernelAdapter *adapter, const Dims *dims, const double *const *in,
                     const double *const *cotangent, double *const *out, double *const *grad);

/* By name; stop the program where there is none. A gradient is NULL in a forward-only run. */
int64_t run_dim(const KernelRun *run, const char *name);
int64_t run_size(const KernelRun *run, const char *input);
float *run_in(const KernelRun *run, const char *input);
float *run_out(const KernelRun *run, const char *output);
float *run_grad(const KernelRun *run, const char *input);
float *run_cotangent(const KernelRun *run, const char *output);
int run_backward(const KernelRun *run); /* gradients are wanted */

/* n zeros; n floats that a kernel must write before it reads them, NaN. To be given to free(). */
float *run_zeros(int64_t n);
float *run_scratch(int64_t n);
int32_t *run_integers(int64_t n, const float *x);
