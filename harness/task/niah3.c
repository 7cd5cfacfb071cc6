/* S-NIAH-3 (RULER; "W" in the paper's Table 2): a uuid hidden in prose, bytes as tokens. */
#include "task/shared/needle.h"

static void niah3_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         Sample *s) {
    needle_prose_sample(instance, seed, index, length, depth, &(NeedleKind){NEEDLE_UUID, 1, 1, 1}, s);
}

const Task task_niah3 = {.name = "niah3",
                         .summary = "S-NIAH-3: a uuid in prose (bytes; --haystack)",
                         .metric = METRIC_EXACT,
                         .vocab = 256,
                         .min_length = 640,
                         .fields = needle_prose_fields,
                         .open = needle_prose_open,
                         .close = needle_prose_close,
                         .data = needle_prose_data,
                         .sample = niah3_sample};
