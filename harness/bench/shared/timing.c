#include "bench/shared/timing.h"
#include "base/check.h"
#include "base/dispatch.h"
#include "terminal/interrupt.h"
#include "terminal/progress.h"
#include "terminal/stats.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>

enum { MOST_ROUNDS = 31, TRIES = 3 };
static const double TIMING_DRIFT = 0.05;

static double clock_now(int threads) { return threads > 1 ? seconds_now() : cpu_seconds_now(); }

static double sample(Work work, int64_t repeats, int threads) {
    const double began = clock_now(threads);
    for (int64_t i = 0; i < repeats; i++) work.run(work.context);
    return (clock_now(threads) - began) / (double)repeats;
}

/* Repeats so that one sample lasts `least` seconds. */
static int64_t calibrate(Work work, double least, int threads) {
    work.run(work.context);
    const double once = sample(work, 1, threads);
    return once >= least ? 1 : 1 + (int64_t)(least / (once > 1e-9 ? once : 1e-9));
}

static double peak_sample(int threads) {
    static volatile float sink;
    const int64_t rounds = 40000;
    const double began = clock_now(threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const float x = kernel->roofline->fma(rounds);
#pragma omp critical
        sink = x;
    }
    (void)sink;
    return (double)threads * (double)rounds * ROOFLINE_FLOP / (clock_now(threads) - began);
}

/* One series: `rounds` turns of each, fewer after an interrupt (callers drop the row then). */
static Timing series(Work ours, int64_t repeats, Work bar, int64_t bar_repeats, int threads, int rounds) {
    double mine[MOST_ROUNDS], other[MOST_ROUNDS], peak[MOST_ROUNDS];
    int n = 0;
    for (int i = 0; i < rounds && (i == 0 || !interrupt_requested()); i++, n++) {
        peak[i] = peak_sample(threads);
        mine[i] = sample(ours, repeats, threads);
        other[i] = bar.run ? sample(bar, bar_repeats, threads) : 0.0;
    }
    const Timing t = {stats_median(n, mine), stats_median(n, other), stats_median(n, peak),
                      stats_spread(n, peak)};
    return t;
}

Timing timing_measure(Work ours, Work bar, int threads, int rounds, double least) {
    CHECK(rounds > 0 && rounds <= MOST_ROUNDS, "%d rounds", rounds);
    const int64_t repeats = calibrate(ours, least, threads),
                  bar_repeats = bar.run ? calibrate(bar, least, threads) : 0;
    Timing best = series(ours, repeats, bar, bar_repeats, threads, rounds);
    for (int again = 1; again < TRIES && best.drift > TIMING_DRIFT && !interrupt_requested(); again++) {
        const Timing t = series(ours, repeats, bar, bar_repeats, threads, rounds);
        if (t.drift < best.drift) best = t;
    }
    return best;
}

double timing_share(const Timing *t, double flop) {
    const double share = flop / t->seconds / t->peak;
    return t->drift > TIMING_DRIFT || share > 1.0 ? NAN : share;
}

const char *timing_percent(double share, char text[TIMING_PERCENT]) {
    snprintf(text, TIMING_PERCENT, isnan(share) ? "void" : "%.1f", 100.0 * share);
    return text;
}
