#include "bench/kernel/kernel.h"
#include "base/dispatch.h"
#include "terminal/interrupt.h"

#include <math.h>
#include <omp.h>
#include <stdarg.h>

const double KERNEL_LEAST = 2e-3;
const Work KERNEL_NO_BAR = {0, 0};

void report_judge(KernelReport *r, const char *name, int gradient, int shrink, const char *format, ...) {
    char dims[256];
    va_list list;
    va_start(list, format);
    vsnprintf(dims, sizeof dims, format, list);
    va_end(list);
    if (!interrupt_requested()) r->judged = judge_kernel(name, gradient, shrink, dims);
}

/* The columns error, bound, valid; a wrong result is said aloud. */
static void write_judged(KernelReport *r, const char *name, const char *shape) {
    const Judged j = r->judged;
    const int valid = j.error <= j.bound;
    r->judged = (Judged){0};
    if (j.bound == 0.0) {
        fputs("\t-\t-\t-\n", r->file);
        return;
    }
    fprintf(r->file, "\t%.1e\t%.1e\t%s\n", j.error, j.bound, valid ? "yes" : "no");
    if (!valid)
        fprintf(stderr, "kernels: %s %s is WRONG: error %.2e of %.2e allowed\n", name, shape, j.error,
                j.bound);
    r->wrong += !valid;
}

void report_row(KernelReport *r, const KernelRow *row, const Timing *t) {
    const double rate = row->flop / t->seconds, share = timing_share(t, row->flop);
    const char *const met = row->met < 0 ? "-" : isnan(share) ? "void" : row->met ? "yes" : "no";
    char percent[TIMING_PERCENT];
    if (interrupt_requested()) return;
    timing_percent(share, percent);
    fprintf(r->file, "%s\t%s\t%d\t%s\t%.2f\t%s\t%s\t%.3f\t%s\t%s", row->kernel, kernel->isa, row->threads,
            row->shape, rate / 1e9, percent, row->bar_name, row->ratio, row->goal, met);
    write_judged(r, row->kernel, row->shape);
    fprintf(stderr, "kernels: %-16s %-24s %7.1f Gflop/s %5s%% of peak  %s %.2f %s  %s\n", row->kernel,
            row->shape, rate / 1e9, percent, row->bar_name, row->ratio, row->met < 0 ? "" : row->goal, met);
    if (t->drift > r->drift) r->drift = t->drift;
}

void report_goal(KernelReport *r, const char *name, const char *shape, double value, const char *goal,
                 int met) {
    if (interrupt_requested()) return;
    fprintf(r->file, "%s\t%s\t%d\t%s\t-\t-\t%s\t%.3f\t%s\t%s\t-\t-\t-\n", name, kernel->isa,
            omp_get_max_threads(), shape, "summary", value, goal, met ? "yes" : "no");
    fprintf(stderr, "kernels: goal %s: %s %s = %.3f  %s\n", goal, name, shape, value, met ? "met" : "MISSED");
}

void report_value(KernelReport *r, const char *name, const char *shape, const char *bar, double ratio) {
    if (interrupt_requested()) return;
    fprintf(r->file, "%s\t%s\t%d\t%s\t-\t-\t%s\t%.3f\t-\t-\t-\t-\t-\n", name, kernel->isa, 1, shape, bar,
            ratio);
    fprintf(stderr, "kernels: %-16s %s: %.2f of %s\n", name, shape, ratio, bar);
}
