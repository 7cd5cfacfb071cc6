/* MQ-NIAH (RULER, niah_multiquery): four numbers hidden in prose, each with a key of its own, and all four keys are asked
 * for; bytes as tokens. */
#include "task/shared/needle.h"

static const NeedleKind multiquery = {NEEDLE_NUMBER, 4, 1, 4};

static void niah_multiquery_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length,
                                   double depth, Sample *s) {
    needle_prose_sample(instance, seed, index, length, depth, &multiquery, s);
}

const Task task_niah_multiquery = {
    .name = "niah_multiquery",
    .summary = "MQ-NIAH: four numbers in prose by their keys, all asked for (bytes; --haystack)",
    .metric = METRIC_EXACT,
    .vocab = 256,
    .min_length = 1088,
    .fields = needle_prose_fields,
    .open = needle_prose_open,
    .close = needle_prose_close,
    .data = needle_prose_data,
    .sample = niah_multiquery_sample};
