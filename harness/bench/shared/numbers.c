#include "bench/shared/numbers.h"
#include "base/check.h"
#include "base/random.h"

#include <stdlib.h>

float *random_between(int64_t n, double low, double high) {
    float *x = aligned_alloc(64, ((size_t)n * sizeof(float) + 127) / 64 * 64);
    Random random = {(uint64_t)n};
    CHECK(x, "no memory for %ld floats", n);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(low + (high - low) * random_uniform(&random));
    return x;
}

float *random_floats(int64_t n, double scale) { return random_between(n, -scale, scale); }
