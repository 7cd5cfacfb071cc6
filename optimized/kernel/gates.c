#pragma once
#include "kernel/act.c"
#include "kernel/gates.h"

#define GATE_MARGIN 0.7f
#define GATE_LEAK 0.1f

/* sigma(z), sigma(-z) and sigma(z + margin) of up to 16 entries. */
typedef struct {
    float up[VEC_LANES], down[VEC_LANES], ahead[VEC_LANES];
} GateLanes;

static void gates_lanes(const float *z, int64_t lanes, GateLanes *g) {
    const Vec x = vec_load_n(z, lanes);
    vec_store(g->up, vec_sigmoid(x));
    vec_store(g->down, vec_sigmoid(vec_sub(vec_zero(), x)));
    vec_store(g->ahead, vec_sigmoid(vec_add(x, vec_set1(GATE_MARGIN))));
}

static float gate_hard(float sigma) {
    const float h = fmaf(1.2f, sigma, -0.1f);
    return h < 0.0f ? 0.0f : h > 1.0f ? 1.0f : h;
}

static float gate_slope(GateKind kind, float up, float down) {
    const float h = fmaf(1.2f, up, -0.1f);
    if (kind == GATE_SIGMOID) return up * down;
    return h > 0.0f && h < 1.0f ? 1.2f * up * down : 0.0f;
}

static void gates_forward(int64_t rows, int64_t heads, GateKind kind, float theta_max, const float *z,
                          float *keep, float *theta, float *eta) {
    for (int64_t j = 0; j < rows * 3 * heads; j += VEC_LANES) {
        const int64_t lanes = act_lanes(j, rows * 3 * heads);
        GateLanes g;
        gates_lanes(z + j, lanes, &g);
        for (int64_t i = 0; i < lanes; i++) {
            const int64_t row = (j + i) / (3 * heads), column = (j + i) % (3 * heads),
                          at = row * heads + column % heads;
            if (column < heads)
                keep[at] = kind == GATE_HARD ? gate_hard(g.down[i]) : g.down[i];
            else if (column < 2 * heads)
                theta[at] = theta_max * (kind == GATE_HARD ? gate_hard(g.up[i]) : g.up[i]);
            else
                eta[at] = g.up[i];
        }
    }
}

static float gate_penalty_slope(float z, float ahead) {
    const float rise = fmaf(1.2f, ahead, -0.1f) > 0.0f ? 1.2f * ahead * (1.0f - ahead) : 0.0f;
    return z > 1.0f ? rise + GATE_LEAK : rise;
}

static void gates_backward(int64_t rows, int64_t heads, GateKind kind, float theta_max, float penalty,
                           const float *z, const float *dkeep, const float *dtheta, const float *deta,
                           float *dz) {
    for (int64_t j = 0; j < rows * 3 * heads; j += VEC_LANES) {
        const int64_t lanes = act_lanes(j, rows * 3 * heads);
        GateLanes g;
        gates_lanes(z + j, lanes, &g);
        for (int64_t i = 0; i < lanes; i++) {
            const int64_t row = (j + i) / (3 * heads), column = (j + i) % (3 * heads),
                          at = row * heads + column % heads;
            const float up = g.up[i], down = g.down[i];
            if (column < heads)
                dz[j + i] -= dkeep[at] * gate_slope(kind, up, down);
            else if (column < 2 * heads)
                dz[j + i] += dtheta[at] * theta_max * gate_slope(kind, up, down);
            else
                dz[j + i] += deta[at] * up * down;
            if (penalty > 0.0f && column < 2 * heads)
                dz[j + i] += penalty * gate_penalty_slope(z[j + i], g.ahead[i]);
        }
    }
}

static double gates_penalty_value(int64_t rows, int64_t heads, const float *z) {
    double sum = 0.0;
    for (int64_t j = 0; j < rows * 3 * heads; j += VEC_LANES) {
        const int64_t lanes = act_lanes(j, rows * 3 * heads);
        GateLanes g;
        gates_lanes(z + j, lanes, &g);
        for (int64_t i = 0; i < lanes; i++) {
            if ((j + i) % (3 * heads) >= 2 * heads) continue;
            const float open = fmaf(1.2f, g.ahead[i], -0.1f), over = z[j + i] - 1.0f;
            sum += (double)(open > 0.0f ? open : 0.0f) + (double)(over > 0.0f ? GATE_LEAK * over : 0.0f);
        }
    }
    return sum;
}

static const struct gates_kernel gates_kernel = {gates_forward, gates_backward, gates_penalty_value};
