/* Kernels that move memory: useful traffic against copying as much, in turns with it. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t rows, width;
    float *x, *y, *z, *gain, *dx, *dy, *dz, *dgain, *workspace;
    int32_t *target, *best;
    double *loss;
} RowsCase;

static ConvShape conv_shape(const RowsCase *c) { return (ConvShape){1, c->rows, 4, c->width / 4, 4, 1}; }
static NormShape norm_shape(const RowsCase *c, int64_t groups) {
    return (NormShape){c->rows, groups, c->width / groups, 0, 0, 0, NORM_EPS};
}

static void conv_run(void *context) {
    const RowsCase *c = context;
    const ConvShape s = conv_shape(c);
    kernel->conv->forward(&s, c->x, 0, c->gain, 0, c->y);
}
static void conv_backward_run(void *context) {
    const RowsCase *c = context;
    const ConvShape s = conv_shape(c);
    kernel->conv->backward(&s, c->x, 0, c->gain, 0, c->dy, c->dx, 0, c->dgain, 0, c->workspace);
}
static void norm_run(void *context) {
    const RowsCase *c = context;
    const NormShape s = norm_shape(c, 1);
    kernel->norm->forward(&s, c->x, c->gain, 0, c->y);
}
static void norm_backward_run(void *context) {
    const RowsCase *c = context;
    const NormShape s = norm_shape(c, 1);
    kernel->norm->backward(&s, c->x, c->gain, 0, c->dy, c->dx, c->dgain, 0, c->workspace);
}
static void norm_gate_run(void *context) {
    const RowsCase *c = context;
    const NormShape s = norm_shape(c, 4);
    kernel->norm->forward(&s, c->x, c->gain, c->z, c->y);
}
static void norm_gate_backward_run(void *context) {
    const RowsCase *c = context;
    const NormShape s = norm_shape(c, 4);
    kernel->norm->backward(&s, c->x, c->gain, c->z, c->dy, c->dx, c->dgain, c->dz, c->workspace);
}
static void swiglu_run(void *context) {
    const RowsCase *c = context;
    kernel->act->swiglu(c->rows * c->width, c->x, c->z, c->y);
}
static void swiglu_backward_run(void *context) {
    const RowsCase *c = context;
    kernel->act->swiglu_backward(c->rows * c->width, c->x, c->z, c->dy, c->dx, c->dz);
}
static void loss_run(void *context) {
    const RowsCase *c = context;
    kernel->loss->forward(c->rows, c->width, c->x, c->target, c->loss, c->best);
}
static void loss_backward_run(void *context) {
    const RowsCase *c = context;
    kernel->loss->backward(c->rows, c->width, c->x, c->target, 1e-9f, c->dx);
}
static void adamw_run(void *context) {
    const RowsCase *c = context;
    const AdamwStep step = {1e-9f, 0.9f, 0.98f, 1e-8f, 0.0f, 1.0f, 1.0f, 1.0f};
    kernel->adamw->update(c->rows * c->width, &step, c->x, c->y, c->z, c->dx);
}

static void copy_run(void *context) {
    const RowsCase *c = context;
    kernel->roofline->copy(c->rows * c->width, c->x, c->y);
}

/* Operations of an element; arrays that are read and that are written. */
static const struct {
    const char *name;
    void (*run)(void *);
    double flop, arrays;
    const char *kernel, *dims; /* of an adapter; the name says whether it is the gradient */
} cases[] = {{"conv+silu+l2", conv_run, 40, 2, "conv+l2", "heads=4 head_width=64 taps=4"},
             {"conv+silu+l2.backward", conv_backward_run, 80, 4, "conv+l2", "heads=4 head_width=64 taps=4"},
             {"norm", norm_run, 5, 2, "norm", "width=256"},
             {"norm.backward", norm_backward_run, 14, 4, "norm", "width=256"},
             {"norm+gate", norm_gate_run, 28, 3, "norm+gate", "heads=4 head_width=64"},
             {"norm+gate.backward", norm_gate_backward_run, 44, 7, "norm+gate", "heads=4 head_width=64"},
             {"swiglu", swiglu_run, 24, 3, "act", "ffn=256"},
             {"swiglu.backward", swiglu_backward_run, 32, 7, "act", "ffn=256"},
             {"loss", loss_run, 22, 1, "loss", "vocab=256"},
             {"loss.backward", loss_backward_run, 24, 3, "loss", "vocab=256"},
             {"adamw", adamw_run, 15, 7, 0, 0}};

static void rows_rows(KernelReport *r) {
    const int64_t rows = 2048, width = 256, n = rows * width;
    RowsCase c = {.rows = rows, .width = width};
    float **const all[] = {&c.x, &c.y, &c.z, &c.gain, &c.dx, &c.dy, &c.dz, &c.dgain, &c.workspace};
    enum { ARRAYS = sizeof all / sizeof *all };
    for (int i = 0; i < ARRAYS; i++) *all[i] = random_floats(n, 1);
    c.target = calloc((size_t)rows, sizeof(int32_t));
    c.best = calloc((size_t)rows, sizeof(int32_t));
    c.loss = calloc((size_t)rows, sizeof(double));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double flop = cases[i].flop * (double)n;
        const Timing t =
            timing_measure((Work){cases[i].run, &c}, (Work){copy_run, &c}, 1, r->rounds, KERNEL_LEAST);
        const double roof = fmax(cases[i].arrays / 2.0 * t.bar_seconds, flop / t.peak);
        const KernelRow row = {cases[i].name, "2048x256", "roofline", 1, flop, roof / t.seconds, "-", -1};
        if (cases[i].kernel)
            report_judge(r, cases[i].kernel, !!strstr(cases[i].name, "backward"), 0, "tokens=2048 %s",
                         cases[i].dims);
        report_row(r, &row, &t);
    }
    for (int i = 0; i < ARRAYS; i++) free(*all[i]);
    free(c.target);
    free(c.best);
    free(c.loss);
}

const KernelBench kernel_bench_rows = {"rows", rows_rows, 1};
