#pragma once
#include "bench/shared/judge.h"
#include "bench/shared/numbers.h"
#include "bench/shared/timing.h"

#include <stdio.h>

/* The rows of kernels.tsv. Goal numbers are those of docs/performance.md. A row whose peak moved too much (timing_share)
 * has "void" for its share of the peak and for its goal. */
typedef struct {
    FILE *file;
    int rounds;
    double drift;
    int wrong;     /* rows whose result was not valid */
    Judged judged; /* of the next row; bound 0: it is not judged */
} KernelReport;

typedef struct {
    const char *kernel, *shape, *bar_name; /* bar_name "-" when there is none */
    int threads;
    double flop;      /* useful, of one run */
    double ratio;     /* of our speed to the bar's; 0: none */
    const char *goal; /* "-" or the goal's text */
    int met;          /* 1, 0, or -1 without goal */
} KernelRow;

/* Judges what the next row times: judge_kernel with dimensions as by printf. */
void report_judge(KernelReport *report, const char *kernel, int gradient, int shrink, const char *dims, ...)
    __attribute__((format(printf, 5, 6)));

void report_row(KernelReport *report, const KernelRow *row, const Timing *timing);

/* A goal over several rows, without a timing of its own: `value` of `unit` against what was wanted. */
void report_goal(KernelReport *report, const char *name, const char *shape, double value, const char *goal,
                 int met);

/* A number that is no time and has no goal: a ratio to what is named. */
void report_value(KernelReport *report, const char *name, const char *shape, const char *bar, double ratio);

/* One family of rows = one file in this folder that defines `const KernelBench kernel_bench_NAME`. */
typedef struct {
    const char *name; /* that of --only */
    void (*run)(KernelReport *report);
    int one_thread; /* else with all */
} KernelBench;

extern const double KERNEL_LEAST; /* seconds of a sample */
extern const Work KERNEL_NO_BAR;
