#pragma once
#include <stdint.h>

/* 95 % Clopper-Pearson interval of a proportion. */
void stats_proportion(int64_t correct, int64_t total, double *low, double *high);

/* y = c x^e by least squares on logarithms: exponent e and the half width of its 95 % interval (n >= 3). */
void stats_power_law(int n, const double *x, const double *y, double *exponent, double *half_width);

/* x from which on the ratio stays at 1 or more, interpolated on logarithms (x increasing, ratio > 0): x[0] when it
 * always is, NaN when the last one is below. */
double stats_crossing(int n, const double *x, const double *ratio);

double stats_median(int n, double *values); /* sorts */

/* Distance of the quartiles over the median, of values as stats_median leaves them. */
double stats_spread(int n, const double *sorted);
