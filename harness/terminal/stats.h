#pragma once
#include <stdint.h>

/* 95 % Clopper-Pearson interval of a proportion. */
void stats_proportion(int64_t correct, int64_t total, double *low, double *high);

/* Difference of the shares that two groups of models have right of the same samples, and its 95 % bootstrap interval:
 * samples are drawn for both groups at once, and with over_seeds each group's models are drawn as well. one[k][i], 0 or 1:
 * model k, sample i. error: the standard deviation of the draws. The same seed gives the same numbers. */
typedef struct {
    double difference, low, high, error;
} StatsDifference;
StatsDifference stats_difference(const unsigned char *const *one, int ones, const unsigned char *const *other,
                                 int others, int64_t samples, int over_seeds, uint64_t seed);

/* y = c x^e by least squares on logarithms: exponent e and the half width of its 95 % interval (n >= 3). */
void stats_power_law(int n, const double *x, const double *y, double *exponent, double *half_width);

/* x from which on the ratio stays at 1 or more, interpolated on logarithms (x increasing, ratio > 0): x[0] when it
 * always is, NaN when the last one is below. */
double stats_crossing(int n, const double *x, const double *ratio);

double stats_median(int n, double *values); /* sorts */

/* Distance of the quartiles over the median, of values as stats_median leaves them. */
double stats_spread(int n, const double *sorted);
