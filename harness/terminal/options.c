#include "terminal/options.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *name, const char *text, double low, double high) {
    fprintf(stderr, "titans: --%s: '%s' is not a number from %.15g to %.15g\n", name, text, low, high);
    exit(2);
}

int64_t option_integer(const char *name, const char *text, int64_t low, int64_t high) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10), scale = 1;
    if (end != text && (*end == 'K' || *end == 'k')) scale = 1024, end++;
    if (end != text && scale == 1 && *end == 'M') scale = 1 << 20, end++;
    if (end == text || *end || errno || __builtin_mul_overflow(value, scale, &value) || value < low ||
        value > high)
        refuse(name, text, (double)low, (double)high);
    return value;
}

int option_integers(const char *name, const char *list, int64_t low, int64_t high, int most,
                    int64_t *values) {
    char *copy = strdup(list), *rest = copy;
    int n = 0;
    for (char *word; (word = strsep(&rest, ","));) {
        if (n == most) {
            fprintf(stderr, "titans: --%s: more than %d numbers\n", name, most);
            exit(2);
        }
        values[n++] = option_integer(name, word, low, high);
    }
    free(copy);
    return n;
}

double option_real(const char *name, const char *text, double low, double high) {
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= low && value <= high)) refuse(name, text, low, high);
    return value;
}

void option_threads(int64_t threads) {
    if (threads > 0) omp_set_num_threads((int)threads);
}
