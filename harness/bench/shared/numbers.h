#pragma once
#include <stdint.h>

/* n numbers from low up to high, the same every time; 64-byte aligned, to be given to free(). */
float *random_between(int64_t n, double low, double high);

/* The same from -scale up to scale. */
float *random_floats(int64_t n, double scale);
