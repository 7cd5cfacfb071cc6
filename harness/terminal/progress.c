#include "terminal/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double clock_seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
double seconds_now(void) { return clock_seconds(CLOCK_MONOTONIC); }
double cpu_seconds_now(void) { return clock_seconds(CLOCK_THREAD_CPUTIME_ID); }

void progress_begin(ProgressLine *p, const char *what, int64_t total) {
    *p = (ProgressLine){what, total, 0, 0, seconds_now(), 0.0};
}

void progress_update(ProgressLine *p, int64_t done, const char *unit, double units_per_step,
                     const char *note) {
    const int terminal = isatty(STDERR_FILENO);
    const double now = seconds_now(), elapsed = now - p->began;
    p->done = done;
    if (done < p->total && now - p->shown < (terminal ? 0.2 : 15.0)) return;
    p->shown = now;
    const double mine = (double)(done - p->skipped),
                 left = mine > 0.0 ? elapsed / mine * (double)(p->total - done) : 0.0;
    fprintf(stderr, "%s%s %lld/%lld (%.0f%%) %s  %.0f %s/s  %.0f s, %.0f s left%s",
            terminal ? "\r\033[K" : "", p->what, (long long)done, (long long)p->total,
            p->total ? 100.0 * (double)done / (double)p->total : 100.0, note,
            elapsed > 0.0 ? mine * units_per_step / elapsed : 0.0, unit, elapsed, left, terminal ? "" : "\n");
}

void progress_end(ProgressLine *p) {
    (void)p;
    if (isatty(STDERR_FILENO)) fputc('\n', stderr);
}
