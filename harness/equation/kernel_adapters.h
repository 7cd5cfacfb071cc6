/* Every optimized function that has an equation in the reference, behind the equation's own tensors: what
 * lets one set of properties (bound, gradient, instruction sets, threads) be checked for all of them. */
#pragma once
#include "base/dispatch.h"
#include "reference.h"

typedef struct {
    const int64_t *dims;
    const int64_t *in_size, *out_size;
    float *in[EQUATION_TENSORS], *out[EQUATION_TENSORS];
    float *cotangent[EQUATION_TENSORS]; /* of every output; NULL in a forward-only run */
    float *grad[EQUATION_TENSORS];      /* of every input, zero on entry; NULL in a forward-only run */
} KernelRun;

typedef struct {
    const char *equation, *kernel;
    void (*run)(KernelRun *run); /* uses the table K */
} KernelAdapter;

extern const KernelAdapter kernel_adapters[]; /* ends with a NULL equation */

/* The first adapter of an equation, or NULL: it has no kernel. */
const KernelAdapter *kernel_adapter_find(const char *equation);

/* Attention's backward wants the whole sequence in the call; everything else has a gradient at any size. */
int kernel_has_gradient(const char *equation, const int64_t *dims);

/* 0, or -1 with a message: the kernels behind the equation cannot do these dimensions. */
int kernel_accepts(const char *equation, const int64_t *dims, char *message, size_t size);

/* What is checked at some sizes: everything; not the gradient (too many inputs for one complex step each);
 * only bits; or everything against a normwise tolerance, where the running bound compounds until it says
 * nothing. */
typedef enum { USE_ALL, USE_FORWARD, USE_BITS, USE_NORMWISE } SizesUse;

/* The sizes every adapter of that equation is run at: around whole vectors, tiles, blocks and chunks. */
typedef struct {
    const char *equation;
    int64_t dims[EQUATION_DIMS];
    SizesUse use;
    int shrink; /* inputs but the gates are scaled by 2^-shrink: wide memories would diverge, small ones make
                a layer norm ill-conditioned */
} KernelSizes;
extern const KernelSizes kernel_sizes[]; /* ends with a NULL equation */
