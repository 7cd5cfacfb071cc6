/* The neural memory: scan, dual form and backward, against its floor and against naive C. */
#include "bench/kernel/kernel.h"
#include "bench/naive/memory_naive.h"
#include "bench/shared/memory_case.h"

#include <inttypes.h>
#include <string.h>

static void memory_dual_run(void *context) {
    MemoryCase *c = context;
    const MemoryOutput out = {c->y, 0, 0};
    memory_restore(c);
    kernel->memory->forward_dual(&c->shape, &c->in, c->state, &out, c->workspace);
}

static void memory_backward_run(void *context) {
    MemoryCase *c = context;
    memset(c->dstate, 0, (size_t)(c->shape.heads * 2 * c->weights) * sizeof(float));
    kernel->memory->backward(&c->shape, &c->in, c->snapshots, c->y, &c->d, c->dstate, c->workspace);
}

static void naive_run(MemoryCase *c, int tuned) {
    memory_restore(c);
    (tuned ? naive_tuned : naive_plain)(c->shape.tokens, c->shape.chunk, c->shape.layers, c->shape.width,
                                        c->in.k, c->in.v, c->in.q, c->in.keep, c->in.theta, c->in.eta,
                                        c->state, c->y, c->naive);
}
static void naive_plain_run(void *context) { naive_run(context, 0); }
static void naive_tuned_run(void *context) { naive_run(context, 1); }

static const struct {
    const char *name;
    int layers;
    int64_t outer, hidden;
} memories[] = {{"64-64", 1, 64, 64},
                {"128-128", 1, 128, 128},
                {"64-128-64", 2, 64, 128},
                {"64-256-64", 2, 64, 256},
                {"128-512-128", 2, 128, 512}};
enum { MEMORIES = sizeof memories / sizeof *memories };

/* Exact flop of the dual form with the causal half of the chunk's own products. */
static double dual_flop(const MemoryCase *c, int backward) {
    const MemoryShape *s = &c->shape;
    const double b = (double)s->chunk, chunks = (double)s->tokens / b;
    double flop = 0.0;
    for (int l = 1; l <= s->layers; l++) {
        const double n = (double)s->width[l - 1], m = (double)s->width[l];
        flop += backward ? (l == 1 ? 20.0 : 24.0) * b * n * m + b * b * (3.0 * n + 2.0 * m)
                         : (l == 1 ? 10.0 : 12.0) * b * n * m + b * b * (n + m);
    }
    return chunks * flop * (double)s->heads;
}

/* Inputs are scaled, for the memory would diverge. */
static void memory_judge(KernelReport *r, const char *kernel, int gradient, int i, int64_t tokens) {
    const int64_t outer = memories[i].outer, hidden = memories[i].hidden;
    if (memories[i].layers == 1)
        report_judge(r, kernel, gradient, 4,
                     "tokens=%" PRId64 " chunk=64 memory_layers=1 n0=%" PRId64 " n1=%" PRId64, tokens, outer,
                     outer);
    else
        report_judge(r, kernel, gradient, hidden > 128 ? 3 : 2,
                     "tokens=%" PRId64 " chunk=64 memory_layers=2 n0=%" PRId64 " n1=%" PRId64 " n2=%" PRId64,
                     tokens, outer, hidden, outer);
}

static void memory_forward_rows(KernelReport *r, int i, double scan_percent[2]) {
    const char *name = memories[i].name;
    MemoryCase c = memory_case(1, 64, 1024, memories[i].layers, memories[i].outer, memories[i].hidden);
    const int kib = (int)(8 * c.weights >> 10), counted = kib >= 64 && kib <= 1024;
    Timing t =
        timing_measure((Work){memory_scan_run, &c}, (Work){memory_dual_run, &c}, 1, r->rounds, KERNEL_LEAST);
    const double percent = 100.0 * memory_scan_flop(&c) / t.seconds / t.peak;
    const KernelRow scan = {"memory.scan",
                            name,
                            "memory.dual",
                            1,
                            memory_scan_flop(&c),
                            t.bar_seconds / t.seconds,
                            counted ? "3: >= 80 % of its floor" : "-",
                            counted ? percent >= 80.0 : -1};
    memory_judge(r, "memory.scan", 0, i, 1024);
    report_row(r, &scan, &t);
    if (counted && percent < scan_percent[0]) scan_percent[0] = percent;
    t = timing_measure((Work){memory_dual_run, &c}, KERNEL_NO_BAR, 1, r->rounds, KERNEL_LEAST);
    const double dual = 100.0 * dual_flop(&c, 0) / t.seconds / t.peak,
                 wanted = memories[i].outer == 64 ? 70.0 : 78.0;
    const KernelRow row = {"memory.dual",
                           name,
                           "-",
                           1,
                           dual_flop(&c, 0),
                           0.0,
                           wanted == 70.0 ? "5: >= 70 % of peak" : "5: >= 78 % of peak",
                           dual >= wanted};
    memory_judge(r, "memory.dual", 0, i, 1024);
    report_row(r, &row, &t);
    memory_case_free(&c);
}

static void memory_naive_rows(KernelReport *r, int i) {
    MemoryCase c = memory_case(1, 64, 256, memories[i].layers, memories[i].outer, memories[i].hidden);
    const int counted = memories[i].hidden <= 256;
    Timing t = timing_measure((Work){memory_scan_run, &c}, (Work){naive_plain_run, &c}, 1,
                              r->rounds < 3 ? r->rounds : 3, KERNEL_LEAST);
    double ratio = t.bar_seconds / t.seconds;
    const KernelRow plain = {"memory.scan",
                             memories[i].name,
                             "naive -O2",
                             1,
                             memory_scan_flop(&c),
                             ratio,
                             counted ? "6: >= 12x naive -O2" : "-",
                             counted ? ratio >= 12.0 : -1};
    memory_judge(r, "memory.scan", 0, i, 256);
    report_row(r, &plain, &t);
    t = timing_measure((Work){memory_scan_run, &c}, (Work){naive_tuned_run, &c}, 1, r->rounds, KERNEL_LEAST);
    ratio = t.bar_seconds / t.seconds;
    const KernelRow tuned = {"memory.scan",
                             memories[i].name,
                             "naive -O3 native fast-math",
                             1,
                             memory_scan_flop(&c),
                             ratio,
                             counted ? "6: >= 2.1x naive tuned" : "-",
                             counted ? ratio >= 2.1 : -1};
    memory_judge(r, "memory.scan", 0, i, 256);
    report_row(r, &tuned, &t);
    memory_case_free(&c);
}

static void memory_backward_rows(KernelReport *r, int i) {
    MemoryCase c = memory_case(1, 64, 1024, memories[i].layers, memories[i].outer, memories[i].hidden);
    const MemoryOutput out = {c.y, c.snapshots, 0};
    memory_restore(&c);
    kernel->memory->forward_scan(&c.shape, &c.in, c.state, &out, c.workspace);
    const Timing t = timing_measure((Work){memory_backward_run, &c}, (Work){memory_dual_run, &c}, 1,
                                    r->rounds, KERNEL_LEAST);
    const double percent = 100.0 * dual_flop(&c, 1) / t.seconds / t.peak, times = t.seconds / t.bar_seconds;
    const KernelRow row = {
        "memory.backward", memories[i].name,          "memory.dual",        1,
        dual_flop(&c, 1),  t.bar_seconds / t.seconds, "9: >= 65 % of peak", percent >= 65.0};
    memory_judge(r, "memory.dual", 1, i, 1024);
    report_row(r, &row, &t);
    report_goal(r, "memory.backward", memories[i].name, times, "9: <= 2.4 x dual forward", times <= 2.4);
    memory_case_free(&c);
}

static void memory_rows(KernelReport *r) {
    double scan[2] = {1e9, 0.0};
    for (int i = 0; i < MEMORIES; i++) {
        memory_forward_rows(r, i, scan);
        memory_naive_rows(r, i);
        memory_backward_rows(r, i);
    }
    report_goal(r, "memory.scan", "state 64 KiB - 1 MiB", scan[0], "3: all >= 80 % of the floor",
                scan[0] >= 80.0);
}

const KernelBench kernel_bench_memory = {"memory", memory_rows, 1};
