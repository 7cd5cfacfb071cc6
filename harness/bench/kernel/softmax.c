/* Tiled attention beside plain softmax attention of one head: two matrix products around the whole T x T array, by the same
 * product kernel, and its rows in plain loops. The plain backward has kept that array; ours computes it again from two
 * numbers a row. Each has its memory beside it, inputs and outputs not counted. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 64, LANES = 16 };

typedef struct {
    AttendShape shape;
    float *q, *k, *v, *y, *dy, *dq, *dk, *dv, *cache, *statistics, *workspace;
    float *weights, *dweights; /* T x T */
} SoftmaxCase;

static void tiled_forward(void *context) {
    const SoftmaxCase *c = context;
    kernel->attend->append(&c->shape, c->k, c->v, c->cache);
    kernel->attend->forward(&c->shape, c->q, c->cache, c->y, c->statistics, c->workspace);
}

static void tiled_backward(void *context) {
    const SoftmaxCase *c = context;
    kernel->attend->backward(&c->shape, c->q, c->cache, c->y, c->statistics, c->dy, c->dq, c->dk, c->dv, 0, 0,
                             c->workspace);
}

static float row_top(int64_t n, const float *x) {
    float lane[LANES], top = x[0];
    for (int i = 0; i < LANES; i++) lane[i] = x[0];
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int i = 0; i < LANES; i++) lane[i] = x[j + i] > lane[i] ? x[j + i] : lane[i];
    for (; j < n; j++) top = x[j] > top ? x[j] : top;
    for (int i = 0; i < LANES; i++) top = lane[i] > top ? lane[i] : top;
    return top;
}

/* sum of x y; y NULL: of x */
static float row_sum(int64_t n, const float *x, const float *y) {
    float lane[LANES] = {0}, sum = 0.0f;
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int i = 0; i < LANES; i++) lane[i] += y ? x[j + i] * y[j + i] : x[j + i];
    for (; j < n; j++) sum += y ? x[j] * y[j] : x[j];
    for (int i = 0; i < LANES; i++) sum += lane[i];
    return sum;
}

static void plain_forward(void *context) {
    const SoftmaxCase *c = context;
    const int64_t T = c->shape.tokens;
    const float scale = 1.0f / sqrtf((float)WIDTH);
    kernel->gemm->run(GEMM_NT, T, T, WIDTH, c->q, WIDTH, c->k, WIDTH, c->weights, T, 0);
    for (int64_t t = 0; t < T; t++) {
        float *row = c->weights + t * T;
        const int64_t n = t + 1;
        const float top = row_top(n, row);
        for (int64_t j = 0; j < n; j++) row[j] = scale * (row[j] - top);
        kernel->map->forward(MAP_EXP, n, row, row);
        const float part = 1.0f / row_sum(n, row, 0);
        for (int64_t j = 0; j < n; j++) row[j] *= part;
        for (int64_t j = n; j < T; j++) row[j] = 0.0f;
    }
    kernel->gemm->run(GEMM_NN, T, WIDTH, T, c->weights, T, c->v, WIDTH, c->y, WIDTH, 0);
}

static void plain_backward(void *context) {
    const SoftmaxCase *c = context;
    const int64_t T = c->shape.tokens;
    const float scale = 1.0f / sqrtf((float)WIDTH);
    kernel->gemm->run(GEMM_TN, T, WIDTH, T, c->weights, T, c->dy, WIDTH, c->dv, WIDTH, 1);
    kernel->gemm->run(GEMM_NT, T, T, WIDTH, c->dy, WIDTH, c->v, WIDTH, c->dweights, T, 0);
    for (int64_t t = 0; t < T; t++) {
        float *d = c->dweights + t * T;
        const float *w = c->weights + t * T, mean = row_sum(T, w, d);
        for (int64_t j = 0; j < T; j++) d[j] = scale * w[j] * (d[j] - mean);
    }
    kernel->gemm->run(GEMM_NN, T, WIDTH, T, c->dweights, T, c->k, WIDTH, c->dq, WIDTH, 1);
    kernel->gemm->run(GEMM_TN, T, WIDTH, T, c->dweights, T, c->q, WIDTH, c->dk, WIDTH, 1);
}

static void softmax_row(KernelReport *r, const char *name, SoftmaxCase *c, Work ours, Work plain,
                        double flop) {
    char shape[32];
    snprintf(shape, sizeof shape, "T=%lld d=%d", (long long)c->shape.tokens, WIDTH);
    const Timing t = timing_measure(ours, plain, 1, r->rounds, KERNEL_LEAST);
    const KernelRow row = {name, shape, "plain softmax", 1, flop, t.bar_seconds / t.seconds, "-", -1};
    report_row(r, &row, &t);
}

static void softmax_memory(KernelReport *r, const char *name, int64_t T, double ours, double plain) {
    char shape[64];
    snprintf(shape, sizeof shape, "T=%lld: %.0f KiB against %.0f", (long long)T, ours / 256.0, plain / 256.0);
    report_value(r, name, shape, "plain softmax", plain / ours);
}

static void softmax_rows(KernelReport *r) {
    for (int64_t T = 512; T <= 4096; T *= 2) {
        SoftmaxCase c = {.shape = attend_plain(1, 1, T, 0, attend_round(T), WIDTH)};
        float **rows[] = {&c.q, &c.k, &c.v, &c.y, &c.dy, &c.dq, &c.dk, &c.dv};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) *rows[i] = random_floats(T * WIDTH, 1.0);
        const int64_t cache = kernel->attend->cache_floats(&c.shape),
                      workspace = kernel->attend->workspace_floats(&c.shape);
        c.cache = random_floats(cache, 0.0), c.workspace = random_floats(workspace, 0.0);
        c.statistics = random_floats(2 * T, 0.0);
        c.weights = random_floats(T * T, 0.0), c.dweights = random_floats(T * T, 0.0);
        const double flop = 2.0 * WIDTH * (double)T * (double)T, ours = (double)(cache + workspace + 2 * T);
        softmax_row(r, "softmax", &c, (Work){tiled_forward, &c}, (Work){plain_forward, &c}, flop);
        softmax_row(r, "softmax.backward", &c, (Work){tiled_backward, &c}, (Work){plain_backward, &c},
                    2.5 * flop);
        softmax_memory(r, "softmax.memory", T, ours, (double)(T * T));
        softmax_memory(r, "softmax.backward.memory", T, ours, 2.0 * (double)(T * T));
        float *more[] = {c.cache, c.workspace, c.statistics, c.weights, c.dweights};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) free(*rows[i]);
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) free(more[i]);
    }
}

const KernelBench kernel_bench_softmax = {"softmax", softmax_rows, 1};
