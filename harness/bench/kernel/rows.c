/* Kernels that move memory: useful traffic against the copy bandwidth at the same footprint. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    int64_t rows, width;
    float *x, *y, *z, *gain, *dx;
    int32_t *target;
    double *loss;
} RowsCase;

static void conv_run(void *context) {
    const RowsCase *c = context;
    const ConvShape s = {1, c->rows, 4, c->width / 4, 4, 1};
    kernel->conv->forward(&s, c->x, 0, c->gain, 0, c->y);
}
static void norm_run(void *context) {
    const RowsCase *c = context;
    kernel->norm->forward(&(NormShape){c->rows, 1, c->width, 0, 0, 0, NORM_EPS}, c->x, c->gain, 0, c->y);
}
static void norm_gate_run(void *context) {
    const RowsCase *c = context;
    kernel->norm->forward(&(NormShape){c->rows, 4, c->width / 4, 0, 0, 0, NORM_EPS}, c->x, c->gain, c->z,
                          c->y);
}
static void swiglu_run(void *context) {
    const RowsCase *c = context;
    kernel->act->swiglu(c->rows * c->width, c->x, c->z, c->y);
}
static void loss_run(void *context) {
    const RowsCase *c = context;
    kernel->loss->forward(c->rows, c->width, c->x, c->target, c->loss, c->target);
    for (int64_t i = 0; i < c->rows; i++) c->target[i] = 0;
}
static void adamw_run(void *context) {
    const RowsCase *c = context;
    const AdamwStep step = {1e-9f, 0.9f, 0.98f, 1e-8f, 0.0f, 1.0f, 1.0f, 1.0f};
    kernel->adamw->update(c->rows * c->width, &step, c->x, c->y, c->z, c->dx);
}

static void rows_rows(KernelReport *r) {
    static const struct {
        const char *name;
        void (*run)(void *);
        double flop, arrays; /* per element; arrays read and written */
    } cases[] = {{"conv+silu+l2", conv_run, 40, 2},   {"norm", norm_run, 5, 2},
                 {"norm+gate", norm_gate_run, 28, 3}, {"swiglu", swiglu_run, 24, 3},
                 {"loss", loss_run, 22, 1},           {"adamw", adamw_run, 15, 7}};
    const int64_t rows = 2048, width = 256, n = rows * width;
    RowsCase c = {rows,
                  width,
                  random_floats(n, 1),
                  random_floats(n, 1),
                  random_floats(n, 1),
                  random_floats(4 * width, 1),
                  random_floats(n, 0),
                  calloc((size_t)rows, sizeof(int32_t)),
                  calloc((size_t)rows, sizeof(double))};
    const double bandwidth = timing_bandwidth(n, r->rounds);
    fprintf(r->file, "# copy bandwidth, two arrays of %.1f MiB: %.1f GB/s\n", 4.0 * (double)n / 1048576.0,
            bandwidth / 1e9);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Timing t = timing_measure((Work){cases[i].run, &c}, KERNEL_NO_BAR, 1, r->rounds, KERNEL_LEAST);
        const double roof =
            fmax(4.0 * cases[i].arrays * (double)n / bandwidth, cases[i].flop * (double)n / t.peak);
        const KernelRow row = {cases[i].name,    "2048x256", "roofline", 1, cases[i].flop * (double)n,
                               roof / t.seconds, "-",        -1};
        report_row(r, &row, &t);
    }
    float *all[] = {c.x, c.y, c.z, c.gain, c.dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(c.target);
    free(c.loss);
}

const KernelBench kernel_bench_rows = {"rows", rows_rows, 1};
