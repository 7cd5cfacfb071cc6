/* The bootstrap of a difference against what it must be in the mean. */
#include "ledger.h"
#include "terminal/stats.h"
#include "test_reference.h"

#include <math.h>
#include <string.h>

enum { SAMPLES = 400, MODELS = 3 };
#define CLOSE 0.05 /* 4,000 draws: a standard deviation is right to about 1.1 % */

static unsigned char flags[2 * MODELS][SAMPLES];
static const unsigned char *const one[] = {flags[0], flags[1], flags[2]}, *const other[] = {
                                                                              flags[3], flags[4], flags[5]};

/* The same samples are drawn for both: what they have in common has no part in the error. */
Test(statistics, a_difference_is_taken_sample_by_sample) {
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        flags[0][i] = i % 2 == 0;
        flags[3][i] = i % 20 == 0 ? 0 : flags[0][i];
        const double d = flags[0][i] - flags[3][i];
        sum += d;
        squares += d * d;
    }
    const double mean = sum / SAMPLES, error = sqrt((squares / SAMPLES - mean * mean) / SAMPLES);
    const StatsDifference d = stats_difference(one, 1, other, 1, SAMPLES, 0, 7);
    cr_assert(fabs(d.difference - mean) < 1e-12, "%g, not %g", d.difference, mean);
    cr_assert(fabs(d.error / error - 1.0) < CLOSE, "%g, not %g", d.error, error);
    cr_assert(fabs(d.low - (mean - 1.96 * error)) < 0.3 * error &&
                  fabs(d.high - (mean + 1.96 * error)) < 0.3 * error,
              "%g to %g", d.low, d.high);
    const StatsDifference again = stats_difference(one, 1, other, 1, SAMPLES, 0, 7);
    cr_assert(!memcmp(&d, &again, sizeof d), "not the same numbers again");
    ledger_record("statistics", "paired", 5, 0);
}

/* Two seeds that have everything right and one that has nothing, against three that have everything. */
Test(statistics, seeds_are_drawn_where_they_are_to_be) {
    memset(flags, 1, sizeof flags);
    memset(flags[2], 0, sizeof flags[2]);
    const StatsDifference fixed = stats_difference(one, MODELS, other, MODELS, SAMPLES, 0, 7),
                          drawn = stats_difference(one, MODELS, other, MODELS, SAMPLES, 1, 7);
    const double error = sqrt(2.0 / 9.0 / MODELS);
    cr_assert(fabs(fixed.difference + 1.0 / 3.0) < 1e-12 && fixed.difference == drawn.difference);
    cr_assert(fixed.error < 1e-12 && fabs(drawn.error / error - 1.0) < CLOSE, "%g, %g", fixed.error,
              drawn.error);
    cr_assert(drawn.low <= -2.0 / 3.0 + 1e-12 && fabs(drawn.high) < 1e-12, "%g to %g", drawn.low, drawn.high);
    ledger_record("statistics", "seeds", 4, 0);
}
