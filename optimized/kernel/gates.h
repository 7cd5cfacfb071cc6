#pragma once
#include <stdint.h>

/* Data-dependent memory parameters, erratum E10: keep = 1 - alpha, theta, eta per head and token.
 *
 *   z            rows x 3 heads, columns alpha | theta | eta        keep, theta, eta   rows x heads
 *   GATE_SIGMOID alpha = sigma(z), theta = theta_max sigma(z), eta = sigma(z)          (the default)
 *   GATE_HARD    alpha, theta / theta_max = clamp(1.2 sigma(z) - 0.1, 0, 1), eta = sigma(z): reaches exact 0
 *
 * keep is evaluated at -z, so 1 - alpha never cancels. backward adds to dz; penalty is the weight of the
 * write-sparsity term  sum over alpha and theta columns of relu(1.2 sigma(z + 0.7) - 0.1) + 0.1 relu(z - 1)
 * (0 for none), whose value penalty_value returns. Reference: gates. */
typedef enum { GATE_SIGMOID, GATE_HARD } GateKind;

struct gates_kernel {
    void (*forward)(int64_t rows, int64_t heads, GateKind kind, float theta_max, const float *z, float *keep,
                    float *theta, float *eta);
    void (*backward)(int64_t rows, int64_t heads, GateKind kind, float theta_max, float penalty,
                     const float *z, const float *dkeep, const float *dtheta, const float *deta, float *dz);
    double (*penalty_value)(int64_t rows, int64_t heads, const float *z);
};
