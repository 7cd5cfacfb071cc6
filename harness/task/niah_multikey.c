/* MK-NIAH-1 (RULER, niah_multikey_1): four numbers hidden in prose, each with a key of its own, of which one is asked for;
 * bytes as tokens. */
#include "task/shared/needle.h"

static const NeedleKind multikey = {NEEDLE_NUMBER, 4, 1, 1};

static void niah_multikey_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length,
                                 double depth, Sample *s) {
    needle_prose_sample(instance, seed, index, length, depth, &multikey, s);
}

const Task task_niah_multikey = {
    .name = "niah_multikey",
    .summary = "MK-NIAH-1: one of four numbers in prose, each with a key of its own (bytes; --haystack)",
    .metric = METRIC_EXACT,
    .vocab = 256,
    .min_length = 768,
    .fields = needle_prose_fields,
    .open = needle_prose_open,
    .close = needle_prose_close,
    .data = needle_prose_data,
    .sample = niah_multikey_sample};
