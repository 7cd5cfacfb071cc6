#include "kernel/gates.h"
#include "vec/rows.h"

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

/* Which gate an element of z is: its block and its place in that block's output. */
typedef enum { BLOCK_ALPHA, BLOCK_THETA, BLOCK_ETA } GateBlock;
typedef struct {
    int64_t row, column, columns, alpha, sets;
} GateCursor;

static GateCursor gates_begin(const GateShape *s) {
    const int64_t sets = s->heads * s->sets;
    return (GateCursor){0, 0, gates_columns(s), s->decay ? sets * s->channels : 0, sets};
}

static GateBlock gates_next(GateCursor *c, int64_t *at) {
    const int64_t column = c->column, row = c->row;
    if (++c->column == c->columns) c->column = 0, c->row++;
    if (column < c->alpha) return *at = row * c->alpha + column, BLOCK_ALPHA;
    if (column < c->alpha + c->sets) return *at = row * c->sets + column - c->alpha, BLOCK_THETA;
    return *at = row * c->sets + column - c->alpha - c->sets, BLOCK_ETA;
}

static void gates_forward(const GateShape *s, const float *z, float *keep, float *theta, float *eta) {
    const int64_t sets = s->rows * s->heads * s->sets, n = s->rows * gates_columns(s);
    const int hard = s->kind == GATE_HARD;
    GateCursor cursor = gates_begin(s);
    for (int64_t i = 0; !s->decay && i < sets * s->channels; i++) keep[i] = 1.0f;
    for (int64_t i = 0; !s->momentum && i < sets; i++) eta[i] = 0.0f;
    for (int64_t j = 0; j < n; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, n);
        GateLanes g;
        gates_lanes(z + j, lanes, &g);
        for (int64_t i = 0, at; i < lanes; i++) switch (gates_next(&cursor, &at)) {
            case BLOCK_ALPHA:
                keep[at] = hard ? gate_hard(g.down[i]) : g.down[i];
                break;
            case BLOCK_THETA:
                theta[at] = s->theta_max * (hard ? gate_hard(g.up[i]) : g.up[i]);
                break;
            case BLOCK_ETA:
                eta[at] = g.up[i];
            }
    }
}

static float gate_penalty_slope(float z, float ahead) {
    const float rise = fmaf(1.2f, ahead, -0.1f) > 0.0f ? 1.2f * ahead * (1.0f - ahead) : 0.0f;
    return z > 1.0f ? rise + GATE_LEAK : rise;
}

static void gates_backward(const GateShape *s, float penalty, const float *z, const float *dkeep,
                           const float *dtheta, const float *deta, float *dz) {
    const int64_t n = s->rows * gates_columns(s);
    GateCursor cursor = gates_begin(s);
    for (int64_t j = 0; j < n; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, n);
        GateLanes g;
        gates_lanes(z + j, lanes, &g);
        for (int64_t i = 0, at; i < lanes; i++) {
            const float up = g.up[i], down = g.down[i];
            const GateBlock block = gates_next(&cursor, &at);
            if (block == BLOCK_ALPHA)
                dz[j + i] -= dkeep[at] * gate_slope(s->kind, up, down);
            else if (block == BLOCK_THETA)
                dz[j + i] += dtheta[at] * s->theta_max * gate_slope(s->kind, up, down);
            else
                dz[j + i] += deta[at] * up * down;
            if (penalty > 0.0f && block != BLOCK_ETA)
                dz[j + i] += penalty / (block == BLOCK_ALPHA ? (float)s->channels : 1.0f) *
                             gate_penalty_slope(z[j + i], g.ahead[i]);
        }
    }
}

static double gates_penalty_value(const GateShape *s, const float *z) {
    const int64_t n = s->rows * gates_columns(s);
    GateCursor cursor = gates_begin(s);
    double sum = 0.0;
    for (int64_t j = 0; j < n; j += VEC_LANES) {
        const int64_t lanes = vec_lanes(j, n);
        GateLanes g;
        gates_lanes(z + j, lanes, &g);
        for (int64_t i = 0, at; i < lanes; i++) {
            const GateBlock block = gates_next(&cursor, &at);
            if (block == BLOCK_ETA) continue;
            const float open = fmaf(1.2f, g.ahead[i], -0.1f), over = z[j + i] - 1.0f;
            const double value =
                (double)(open > 0.0f ? open : 0.0f) + (double)(over > 0.0f ? GATE_LEAK * over : 0.0f);
            sum += value / (block == BLOCK_ALPHA ? (double)s->channels : 1.0);
        }
    }
    return sum;
}

const struct gates_kernel KERNEL(gates_kernel) = {gates_forward, gates_backward, gates_penalty_value};
