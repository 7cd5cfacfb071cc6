/* Scans of Mamba and Longhorn against their floor: the vector instructions of the recurrence, all of which go through
 * the ports of the fused multiply-add. Per 16 numbers of the state and token:
 *   Mamba     forward   the decay 14, of which its exponent is one, h 2, y 1
 *             backward  decay and h again 16, then 8: the state's gradient 2, and those of b, c, u, s and a
 *   Longhorn  forward   the error 1, h 2, y 1
 *             backward  error and h again 3, then 10
 * and, shared by a token's numbers, s = 1 / (1 + sum + exp(-step)): 24, of which the exponential is 20 and the division one,
 * which takes longer. Loads, stores, what else is done once per token, and the sums of lanes for b and c are not in it. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    ScanShape shape;
    ScanInput in;
    ScanGradient d;
    float *u, *step, *a, *selected, *skip, *state, *y, *snapshots, *forward, *backward, *gradients, *dstate;
} ScanCase;

static ScanCase scan_case(ScanKind kind, int64_t tokens, int64_t channels, int64_t states) {
    const int64_t n = tokens * channels, held = states * channels, rows = 2 * states * tokens;
    ScanCase c = {.shape = {1, tokens, channels, states, 2 * states, kind}};
    c.u = random_floats(n, 1.0), c.step = random_floats(n, 0.1), c.a = random_floats(held, 1.0);
    c.selected = random_floats(rows, 1.0), c.skip = random_floats(channels, 1.0);
    c.state = random_floats(held, 1.0), c.dstate = random_floats(held, 0.0), c.y = random_floats(n, 1.0);
    c.snapshots = random_floats(kernel->scan->snapshot_floats(&c.shape), 1.0);
    c.forward = random_floats(kernel->scan->workspace_floats(&c.shape, 0), 0.0);
    c.backward = random_floats(kernel->scan->workspace_floats(&c.shape, 1), 0.0);
    c.gradients = random_floats(2 * n + held + rows + channels, 0.0);
    for (int64_t i = 0; i < n && kind == SCAN_SELECTIVE; i++) c.step[i] += 0.1f;
    for (int64_t j = 0; j < states; j++)
        for (int64_t i = 0; i < channels; i++) c.a[j * channels + i] = -1.0f - (float)j;
    c.in = (ScanInput){c.u, c.step, c.a, c.selected, c.selected + states, c.skip};
    float *g = c.gradients;
    c.d = (ScanGradient){
        g, g + n, g + 2 * n, g + 2 * n + held, g + 2 * n + held + states, g + 2 * n + held + rows};
    return c;
}

static void scan_case_free(ScanCase *c) {
    float *all[] = {c->u, c->step,      c->a,       c->selected, c->skip,      c->state,
                    c->y, c->snapshots, c->forward, c->backward, c->gradients, c->dstate};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void scan_forward_run(void *context) {
    ScanCase *c = context;
    kernel->scan->forward(&c->shape, &c->in, c->state, c->y, 0, c->forward);
}
static void scan_backward_run(void *context) {
    ScanCase *c = context;
    memset(c->dstate, 0, (size_t)(c->shape.states * c->shape.channels) * sizeof(float));
    kernel->scan->backward(&c->shape, &c->in, c->snapshots, c->y, &c->d, c->dstate, c->backward);
}

static void scan_row(KernelReport *r, ScanCase *c, int backward) {
    static const char *const names[2][2] = {{"scan", "scan.backward"},
                                            {"scan.longhorn", "scan.longhorn.backward"}};
    static const double instructions[2][2] = {{17.0, 24.0}, {4.0, 13.0}};
    const int longhorn = c->shape.kind == SCAN_LONGHORN;
    const ScanShape *s = &c->shape;
    const double once = longhorn ? 24.0 / (double)s->states : 0.0;
    char shape[48];
    snprintf(shape, sizeof shape, "N=%lld D=%lld T=%lld", (long long)s->states, (long long)s->channels,
             (long long)s->tokens);
    const double flop =
        2.0 * (instructions[longhorn][backward] + once) * (double)(s->tokens * s->channels * s->states);
    const Timing t = timing_measure((Work){backward ? scan_backward_run : scan_forward_run, c}, KERNEL_NO_BAR,
                                    1, r->rounds, KERNEL_LEAST);
    const KernelRow row = {names[longhorn][backward], shape, "-", 1, flop, 0.0, "-", -1};
    report_judge(r, longhorn ? "scan.longhorn" : "scan", backward, longhorn ? 1 : 4,
                 "tokens=%" PRId64 " channels=%" PRId64 " state=%" PRId64, s->tokens, s->channels, s->states);
    report_row(r, &row, &t);
}

static void scan_rows(KernelReport *r) {
    static const int64_t channels[] = {256, 1024};
    for (int kind = SCAN_SELECTIVE; kind <= SCAN_LONGHORN; kind++)
        for (int i = 0; i < 2; i++) {
            ScanCase c = scan_case((ScanKind)kind, 512, channels[i], 16);
            kernel->scan->forward(&c.shape, &c.in, c.state, c.y, c.snapshots, c.forward);
            scan_row(r, &c, 0);
            scan_row(r, &c, 1);
            scan_case_free(&c);
        }
}

const KernelBench kernel_bench_scan = {"scan", scan_rows, 1};
