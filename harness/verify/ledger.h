/* What every check leaves behind: one line of the file named by TITANS_LEDGER (none: nothing), so that `make
 * verify` can say how many checks ran and how much of each derived bound was used. */
#pragma once
#include <stdint.h>

/* checks comparisons of `what` by `suite` passed; ratio: the largest |error| / bound among them (0 for exact
 * ones). */
void ledger_record(const char *suite, const char *what, int64_t checks, double ratio);
