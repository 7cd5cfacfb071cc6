/* Intervals, fits and the bootstrap of a difference against what they must be. */
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

/* Probability of at least `from` right of n, each with p. */
static double at_least(int from, int n, double p) {
    double sum = 0.0;
    for (int i = from; i <= n; i++)
        sum +=
            exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) + i * log(p) + (n - i) * log1p(-p));
    return sum;
}

/* At either end of the interval what was seen, or more extreme, has the probability 2.5 %; for every count of n. */
Test(statistics, an_interval_leaves_a_fortieth_on_either_side_at_every_count) {
    static const int sizes[] = {1, 7, 20, 40, 100, 291, 353, 500};
    int64_t checks = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int n = sizes[i], k = 0; k <= n; k++, checks++) {
            double low, high;
            stats_proportion(k, n, &low, &high);
            cr_assert(k == 0 ? low == 0.0 : fabs(at_least(k, n, low) - 0.025) < 1e-9, "%d of %d: from %g", k,
                      n, low);
            cr_assert(k == n ? high == 1.0 : fabs(at_least(k + 1, n, high) - 0.975) < 1e-9, "%d of %d: to %g",
                      k, n, high);
        }
    ledger_record("statistics", "intervals", checks, 0);
}

Test(statistics, clopper_pearson_and_power_law_give_known_values) {
    double low, high, exponent, width;
    stats_proportion(20, 20, &low, &high);
    cr_assert(fabs(low - pow(0.025, 1.0 / 20)) < 1e-12 && high == 1.0);
    stats_proportion(0, 10, &low, &high);
    cr_assert(low == 0.0 && fabs(high - (1.0 - pow(0.025, 0.1))) < 1e-12);
    stats_proportion(5, 10, &low, &high);
    cr_assert(fabs(low - 0.187086) < 1e-6 && fabs(high - 0.812914) < 1e-6, "%g %g", low, high);
    const double x[] = {1, 2, 4, 8, 16}, y[] = {3, 12, 48, 192, 768};
    stats_power_law(5, x, y, &exponent, &width);
    cr_assert(fabs(exponent - 2.0) < 1e-12 && width < 1e-6);
    const double up[] = {0.25, 0.5, 2, 4, 8}, dip[] = {2, 0.5, 4, 0.25, 1}, down[] = {4, 2, 1, 0.9, 0.5};
    cr_assert_float_eq(stats_crossing(5, x, up), sqrt(2.0 * 4.0), 1e-12);
    cr_assert(stats_crossing(5, x, dip) == 16.0 && isnan(stats_crossing(5, x, down)));
    cr_assert(stats_crossing(3, x, down) == 1.0);
    ledger_record("statistics", "known values", 11, 0);
}
