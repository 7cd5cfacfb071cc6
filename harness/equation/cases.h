#pragma once
#include "equation/dims.h"

/* A row of harness/case/EQUATION.tsv: dimensions at which an equation, and the kernels behind it, are tried. What is
 * tried there is words of `use`:
 *   forward    outputs against the running bound      gradient   inputs' gradients against complex step
 *   bits       bits over instruction sets, threads    normwise   a normwise tolerance where the bound says nothing
 *   exact      inputs for which float32 is exact      gauge      the bound against a derived number of roundings
 *   arithmetic every arithmetic of the reference      oracle     the second reference
 *   wiring     mixers against their equations composed by hand
 *   reverse    gradients by reverse mode, with a normwise tolerance: too many inputs for a complex step each
 *   bf16       a normwise tolerance of models whose products are bf16
 *   detached   something is held constant, so that derivatives are not limits of differences (with arithmetic) */
typedef struct {
    const char *equation, *dims, *use;
    int shrink; /* inputs but the gates are scaled by 2^-shrink: wide memories would diverge, small ones make a layer
                   norm ill-conditioned */
    /* Of a golden vector: FAMILY:NUMBER:SEED, what it catches (golden/flags), its comment, and what its index was
     * published with that means nothing; else "". */
    const char *golden, *flag, *comment, *published;
} EquationCase;

const EquationCase *case_at(int i); /* NULL past the end */
int case_used(const EquationCase *c, const char *use);
Dims case_dims(const EquationCase *c);
