#pragma once
#include <stdint.h>

/* Section 4.4 and erratum E13: RMS normalisation with a learned gain, optionally times a gate, per group.
 *
 *   y = x / sqrt(mean_group x^2 + eps) * gain * silu(z)          (no z: without the last factor)
 *
 *   centred   the group's mean is taken off x first (a group norm)
 *   sigmoid   the gate is sigma(z)
 *   shared    one gain for all groups
 *   eps       inside the root; NORM_EPS where no option says otherwise
 *   x, z, y   rows x groups x width      gain   groups x width, shared: width     z, dz NULL when there is no gate
 *   workspace (backward)  norm_workspace floats
 *
 * One group of width D is the model's RMS norm; groups = heads is the gated output of the memory. backward
 * adds to dx, dgain (NULL: a gain that is not trained), dz. Flop: about 5 (10 with gate) per element. Reference: rms_norm, norm_gate. */
#define NORM_EPS 1e-6f
typedef struct {
    int64_t rows, groups, width;
    int shared, centred, sigmoid;
    float eps;
} NormShape;

/* Rows that go through both passes of the way back while they are in cache. */
enum { NORM_CHUNK = 1 << 16 };
static inline int64_t norm_chunk(const NormShape *s) {
    const int64_t rows = NORM_CHUNK / (s->groups * s->width);
    return rows < 1 ? 1 : rows < s->rows ? rows : s->rows;
}
static inline int64_t norm_workspace(const NormShape *s, int gated) {
    return norm_chunk(s) * s->groups * (gated ? 2 + s->width : 2);
}

struct norm_kernel {
    void (*forward)(const NormShape *shape, const float *x, const float *gain, const float *z, float *y);
    void (*backward)(const NormShape *shape, const float *x, const float *gain, const float *z,
                     const float *dy, float *dx, float *dgain, float *dz, float *workspace);
};
