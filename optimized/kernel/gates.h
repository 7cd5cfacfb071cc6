#pragma once
#include <stdint.h>

/* Data-dependent memory parameters, erratum E10: keep = 1 - alpha, theta, eta per head and token.
 *
 *   z              rows x columns, columns alpha [head][set][channel] | theta [head][set] | eta [head][set];
 *                  without decay or momentum that block is absent, keep = 1 or eta = 0
 *   keep           rows x heads x sets x channels
 *   theta, eta     rows x heads x sets
 *   GATE_SIGMOID   alpha = sigma(z), theta = theta_max sigma(z), eta = sigma(z)    (the default)
 *   GATE_HARD      alpha, theta / theta_max = clamp(1.2 sigma(z) - 0.1, 0, 1), eta = sigma(z): reaches exact 0
 *
 * keep is evaluated at -z, so 1 - alpha never cancels. backward adds to dz; penalty is the weight of the
 * write-sparsity term: sum over theta columns, and mean over channels of alpha columns, of
 * relu(1.2 sigma(z + 0.7) - 0.1) + 0.1 relu(z - 1) (0 for none), whose value penalty_value returns.
 * Reference: gates. */
typedef enum { GATE_SIGMOID, GATE_HARD } GateKind;

typedef struct {
    int64_t rows, heads, sets, channels;
    GateKind kind;
    int decay, momentum; /* 0: ablated */
    float theta_max;
} GateShape;

static inline int64_t gates_columns(const GateShape *s) {
    const int64_t sets = s->heads * s->sets;
    return (s->decay ? sets * s->channels : 0) + sets + (s->momentum ? sets : 0);
}

struct gates_kernel {
    void (*forward)(const GateShape *shape, const float *z, float *keep, float *theta, float *eta);
    void (*backward)(const GateShape *shape, float penalty, const float *z, const float *dkeep,
                     const float *dtheta, const float *deta, float *dz);
    double (*penalty_value)(const GateShape *shape, const float *z);
};
