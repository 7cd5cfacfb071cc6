#pragma once
#include <stdint.h>

/* Section 4.4 and erratum E13: RMS normalisation with a learned gain, optionally times a SiLU gate, per
 * group.
 *
 *   y = x / sqrt(mean_group x^2 + 1e-6) * gain * silu(z)          (no z: without the last factor)
 *
 *   x, z, y   rows x groups x width      gain   groups x width      z, dz NULL when there is no gate
 *   workspace (backward)  rows x groups
 *
 * One group of width D is the model's RMS norm; groups = heads is the gated output of the memory. backward
 * adds to dx, dgain, dz. Flop: about 5 (10 with gate) per element. Reference: rms_norm, norm_gate. */
typedef struct {
    int64_t rows, groups, width;
} NormShape;

struct norm_kernel {
    void (*forward)(const NormShape *shape, const float *x, const float *gain, const float *z, float *y);
    void (*backward)(const NormShape *shape, const float *x, const float *gain, const float *z,
                     const float *dy, float *dx, float *dgain, float *dz, float *workspace);
};
