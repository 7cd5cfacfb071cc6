/* Attention, and a 16K sequence through it beside the memory. */
#include "bench/kernel/kernel.h"
#include "base/dispatch.h"
#include "bench/shared/memory_case.h"

#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    AttendShape shape;
    float *q, *k, *v, *y, *cache, *statistics, *workspace;
} AttendCase;

static AttendCase attend_case(int64_t tokens, int64_t width) {
    AttendCase c = {.shape = attend_plain(1, 1, tokens, 0, attend_round(tokens), width)};
    float **each[] = {&c.q, &c.k, &c.v, &c.y};
    for (int i = 0; i < 4; i++) *each[i] = random_floats(tokens * width, 1.0);
    c.cache = random_floats(kernel->attend->cache_floats(&c.shape), 0.0);
    c.statistics = random_floats(2 * tokens, 0.0);
    c.workspace =
        random_floats((int64_t)omp_get_num_procs() * kernel->attend->workspace_floats(&c.shape), 0.0);
    kernel->attend->append(&c.shape, c.k, c.v, c.cache);
    return c;
}

static void attend_case_free(AttendCase *c) {
    float *all[] = {c->q, c->k, c->v, c->y, c->cache, c->statistics, c->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void attend_forward_run(void *context) {
    AttendCase *c = context;
    kernel->attend->forward(&c->shape, c->q, c->cache, c->y, c->statistics, c->workspace);
}

static void attend_backward_run(void *context) {
    AttendCase *c = context;
    kernel->attend->backward(&c->shape, c->q, c->cache, c->y, c->statistics, c->y, c->q, c->k, c->v, 0, 0,
                             c->workspace);
}

#define ATTEND_DIMS "tokens=%" PRId64 " keys=%" PRId64 " head_width=64"

static void attend_rows(KernelReport *r, int64_t tokens) {
    char shape[32];
    AttendCase c = attend_case(tokens, 64);
    const double flop = 2.0 * 64.0 * (double)tokens * (double)tokens;
    snprintf(shape, sizeof shape, "N=%lld d=64", (long long)tokens);
    Timing t = timing_measure((Work){attend_forward_run, &c}, KERNEL_NO_BAR, 1, r->rounds, KERNEL_LEAST);
    const double percent = 100.0 * flop / t.seconds / t.peak;
    const KernelRow row = {"attend",
                           shape,
                           "-",
                           1,
                           flop,
                           0.0,
                           tokens >= 1024 ? "11: >= 68 % of peak" : "-",
                           tokens >= 1024 ? percent >= 68.0 : -1};
    report_judge(r, "attend", 0, 0, ATTEND_DIMS, tokens, tokens);
    report_row(r, &row, &t);
    if (tokens <= 1024) {
        t = timing_measure((Work){attend_backward_run, &c}, KERNEL_NO_BAR, 1, r->rounds, KERNEL_LEAST);
        const KernelRow back = {"attend.backward", shape, "-", 1, 2.5 * flop, 0.0, "-", -1};
        report_judge(r, "attend", 1, 0, ATTEND_DIMS, tokens, tokens);
        report_row(r, &back, &t);
    }
    attend_case_free(&c);
}

/* Goal 13: a 16K sequence through causal attention and through the memory, same head. */
static void crossover_row(KernelReport *r) {
    AttendCase a = attend_case(16384, 64);
    MemoryCase m = memory_case(1, 64, 16384, 2, 64, 128);
    const Timing t = timing_measure((Work){memory_scan_run, &m}, (Work){attend_forward_run, &a}, 1,
                                    r->rounds < 3 ? r->rounds : 3, KERNEL_LEAST);
    const double ratio = t.bar_seconds / t.seconds;
    const KernelRow row = {"memory.scan",
                           "64-128-64 N=16K",
                           "attend N=16K d=64",
                           1,
                           memory_scan_flop(&m),
                           ratio,
                           "13: attention >= 12 x memory time",
                           ratio >= 12.0};
    report_row(r, &row, &t);
    attend_case_free(&a);
    memory_case_free(&m);
}

static void attend_and_crossover(KernelReport *r) {
    for (int64_t n = 256; n <= 4096; n *= 2) attend_rows(r, n);
    crossover_row(r);
}

const KernelBench kernel_bench_attend = {"attend", attend_and_crossover, 1};
