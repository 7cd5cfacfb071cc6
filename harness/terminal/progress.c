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

void progress_begin(ProgressLine *p, const char *what, const char *unit, int64_t total) {
    *p = (ProgressLine){.what = what, .unit = unit, .total = total, .began = seconds_now()};
}

void progress_update(ProgressLine *p, int64_t done, const char *note) {
    const int terminal = isatty(STDERR_FILENO);
    const double now = seconds_now(), elapsed = now - p->began;
    p->done = done;
    if (done < p->total && now - p->shown < (terminal ? 0.2 : 15.0)) return;
    p->shown = now;
    p->open = terminal;
    const double mine = (double)(done - p->skipped), rate = elapsed > 0.0 ? mine / elapsed : 0.0,
                 left = mine > 0.0 ? elapsed / mine * (double)(p->total - done) : 0.0;
    fprintf(stderr, "%s%s %.0f%%%s%s  %.*f %s/s  %.0f s, %.0f s left%s", terminal ? "\r\033[K" : "", p->what,
            p->total ? 100.0 * (double)done / (double)p->total : 100.0, *note ? "  " : "", note,
            rate < 100.0 ? 2 : 0, rate, p->unit, elapsed, left, terminal ? "" : "\n");
}

void progress_end(ProgressLine *p) {
    if (p->open) fputc('\n', stderr);
    p->open = 0;
}
