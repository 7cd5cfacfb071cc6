#include "terminal/stats.h"

#include "base/check.h"
#include "base/random.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_fit.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>

/* Where the distribution function of Beta(a, b) is p, by halving: gsl_cdf_beta_Pinv does not converge at every count, and
 * ends the program then (of 7 right of 291, or 13 of 353). */
static double beta_quantile(double p, double a, double b) {
    double low = 0.0, high = 1.0, middle = 0.5;
    while (middle > low && middle < high) {
        if (gsl_cdf_beta_P(middle, a, b) < p)
            low = middle;
        else
            high = middle;
        middle = low + (high - low) / 2.0;
    }
    return middle;
}

void stats_proportion(int64_t correct, int64_t total, double *low, double *high) {
    const double k = (double)correct, n = (double)total;
    *low = correct > 0 ? beta_quantile(0.025, k, n - k + 1.0) : 0.0;
    *high = correct < total ? beta_quantile(0.975, k + 1.0, n - k) : 1.0;
}

/* Share of right answers of drawn models at drawn samples; sample NULL: all, once. */
static double share_right(const unsigned char *const *model, int models, const int64_t *sample,
                          int64_t samples, int drawn, Random *random) {
    int64_t right = 0;
    for (int k = 0; k < models; k++) {
        const unsigned char *m = model[drawn ? (int)random_below(random, (uint64_t)models) : k];
        for (int64_t i = 0; i < samples; i++) right += m[sample ? sample[i] : i];
    }
    return (double)right / ((double)models * (double)samples);
}

StatsDifference stats_difference(const unsigned char *const *one, int ones, const unsigned char *const *other,
                                 int others, int64_t samples, int over_seeds, uint64_t seed) {
    enum { DRAWS = 4000 };
    Random random = random_stream(seed, (uint64_t)samples, 0x626f6f74);
    double *draw = malloc(DRAWS * sizeof *draw);
    int64_t *sample = malloc((size_t)samples * sizeof *sample);
    CHECK(draw && sample, "no memory for %ld samples", samples);
    const double difference =
        share_right(one, ones, 0, samples, 0, 0) - share_right(other, others, 0, samples, 0, 0);
    for (int d = 0; d < DRAWS; d++) {
        for (int64_t i = 0; i < samples; i++) sample[i] = (int64_t)random_below(&random, (uint64_t)samples);
        draw[d] = share_right(one, ones, sample, samples, over_seeds, &random) -
                  share_right(other, others, sample, samples, over_seeds, &random);
    }
    gsl_sort(draw, 1, DRAWS);
    const StatsDifference result = {difference, gsl_stats_quantile_from_sorted_data(draw, 1, DRAWS, 0.025),
                                    gsl_stats_quantile_from_sorted_data(draw, 1, DRAWS, 0.975),
                                    gsl_stats_sd(draw, 1, DRAWS)};
    free(draw);
    free(sample);
    return result;
}

void stats_power_law(int n, const double *x, const double *y, double *exponent, double *half_width) {
    double lx[64], ly[64], c0, c1, v00, v01, v11, residual;
    for (int i = 0; i < n && i < 64; i++) {
        lx[i] = log(x[i]);
        ly[i] = log(y[i]);
    }
    gsl_fit_linear(lx, 1, ly, 1, (size_t)n, &c0, &c1, &v00, &v01, &v11, &residual);
    *exponent = c1;
    *half_width = sqrt(v11) * gsl_cdf_tdist_Pinv(0.975, (double)n - 2.0);
}

double stats_crossing(int n, const double *x, const double *ratio) {
    int i = n;
    while (i > 0 && ratio[i - 1] >= 1.0) i--;
    if (i == n) return NAN;
    if (i == 0) return x[0];
    const double below = log(ratio[i - 1]), above = log(ratio[i]);
    return x[i - 1] * pow(x[i] / x[i - 1], -below / (above - below));
}

double stats_median(int n, double *values) {
    gsl_sort(values, 1, (size_t)n);
    return gsl_stats_median_from_sorted_data(values, 1, (size_t)n);
}

double stats_spread(int n, const double *sorted) {
    return (gsl_stats_quantile_from_sorted_data(sorted, 1, (size_t)n, 0.75) -
            gsl_stats_quantile_from_sorted_data(sorted, 1, (size_t)n, 0.25)) /
           gsl_stats_median_from_sorted_data(sorted, 1, (size_t)n);
}
