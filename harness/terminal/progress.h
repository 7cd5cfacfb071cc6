#pragma once
#include <stdint.h>

/* Long work shows where it is on stderr: one line kept up to date on a terminal, a plain line now and then in
 * a log. */
typedef struct {
    const char *what, *unit;
    int64_t total, done, skipped; /* skipped: of done, what an earlier process did */
    double began, shown;
    int open; /* a line without an end is on the terminal */
} ProgressLine;

void progress_begin(ProgressLine *p, const char *what, const char *unit, int64_t total);
/* note: anything worth seeing beside percentage, rate (units per second) and time left. */
void progress_update(ProgressLine *p, int64_t done, const char *note);
void progress_end(ProgressLine *p);

double seconds_now(void);     /* wall clock, monotonic */
double cpu_seconds_now(void); /* of this thread */
