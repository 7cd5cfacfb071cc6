#pragma once
#include "timing.h"

#include <stdio.h>

/* The rows of results/kernels.tsv, one function per family of kernels. Goal numbers are those of
 * docs/performance.md. */
typedef struct {
    FILE *file;
    int rounds;
    double drift;
} KernelReport;

typedef struct {
    const char *kernel, *shape, *bar_name; /* bar_name "-" when there is none */
    int threads;
    double flop;      /* useful, of one run */
    double ratio;     /* of our speed to the bar's; 0: none */
    const char *goal; /* "-" or the goal's text */
    int met;          /* 1, 0, or -1 without goal */
} KernelRow;

void report_row(KernelReport *report, const KernelRow *row, const Timing *timing);

/* A goal over several rows, without a timing of its own: `value` of `unit` against what was wanted. */
void report_goal(KernelReport *report, const char *kernel, const char *shape, double value, const char *goal,
                 int met);

void cases_gemm(KernelReport *report);
void cases_memory(KernelReport *report);
void cases_attention(KernelReport *report);
void cases_elementwise(KernelReport *report);
void cases_threads(KernelReport *report);
void cases_stream(KernelReport *report);
