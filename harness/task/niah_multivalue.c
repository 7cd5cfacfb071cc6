/* MV-NIAH (RULER, niah_multivalue): four numbers of one key hidden in prose, all of which are asked for; bytes as tokens. */
#include "task/shared/needle.h"

static const NeedleKind multivalue = {NEEDLE_NUMBER, 1, 4, 1};

static void niah_multivalue_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length,
                                   double depth, Sample *s) {
    needle_prose_sample(instance, seed, index, length, depth, &multivalue, s);
}

const Task task_niah_multivalue = {
    .name = "niah_multivalue",
    .summary = "MV-NIAH: four numbers of one key in prose, all asked for (bytes; --haystack)",
    .metric = METRIC_EXACT,
    .vocab = 256,
    .min_length = 832,
    .fields = needle_prose_fields,
    .open = needle_prose_open,
    .close = needle_prose_close,
    .data = needle_prose_data,
    .sample = niah_multivalue_sample};
