/* S-NIAH-2 (RULER; "N" in the paper's Table 2): a number hidden in prose, bytes as tokens. */
#include "task/shared/needle.h"

static void niah2_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         Sample *s) {
    needle_prose_sample(instance, seed, index, length, depth, &(NeedleKind){NEEDLE_NUMBER, 1, 1, 1}, s);
}

const Task task_niah2 = {.name = "niah2",
                         .summary = "S-NIAH-2: a number in prose (bytes; --haystack)",
                         .metric = METRIC_EXACT,
                         .vocab = 256,
                         .min_length = 512,
                         .fields = needle_prose_fields,
                         .open = needle_prose_open,
                         .close = needle_prose_close,
                         .data = needle_prose_data,
                         .sample = niah2_sample};
