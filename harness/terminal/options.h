#pragma once
#include <stdint.h>

/* Numbers on the command line: the whole text must be one number inside the range, else a message and exit
 * code 2. Lengths may end in K or M (1024, 1024^2). */
int64_t option_integer(const char *name, const char *text, int64_t low, int64_t high);
/* "A,B,..": at most `most` of them; the count. */
int option_integers(const char *name, const char *list, int64_t low, int64_t high, int most, int64_t *values);
double option_real(const char *name, const char *text, double low, double high);

/* Sets the number of OpenMP threads for the process; 0 leaves the default. */
void option_threads(int64_t threads);
