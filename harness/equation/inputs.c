#include "equation/inputs.h"

#include <math.h>
#include <stdio.h>

int inputs_check_indices(const Dims *d, const int64_t *sizes, double *const *x, char *message, size_t size) {
    for (int i = 0; d->equation->in[i].name; i++) {
        const Argument *a = &d->equation->in[i];
        if (!role_is_index(a->role)) continue;
        const double least = a->role == TARGET ? -1.0 : 0.0, most = (double)dims_get(d, "vocab") - 1.0;
        for (int64_t j = 0; j < sizes[i]; j++) {
            if (x[i][j] == floor(x[i][j]) && x[i][j] >= least && x[i][j] <= most) continue;
            return snprintf(message, size,
                            "tensor '%s' has %g at %lld; whole numbers from %g to %g are wanted", a->name,
                            x[i][j], (long long)j, least, most),
                   -1;
        }
    }
    return 0;
}

int inputs_check_limits(const Dims *d, const int64_t *sizes, double *const *x, char *message, size_t size) {
    for (int i = 0; d->equation->in[i].name; i++)
        for (int64_t j = 0; d->equation->in[i].role == LIMIT && j < sizes[i]; j++) {
            if ((float)x[i][j] > 0.0f && isfinite((float)x[i][j])) continue;
            return snprintf(message, size, "tensor '%s' has %g; a number above 0 is wanted",
                            d->equation->in[i].name, x[i][j]),
                   -1;
        }
    return 0;
}
