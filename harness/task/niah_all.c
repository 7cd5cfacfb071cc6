/* All six needles that are here, which of them is drawn by lot for every sample: one model for RULER's S-NIAH-1, -2 and -3,
 * MK-NIAH-1, MV-NIAH and MQ-NIAH. */
#include "task/shared/needle.h"
#include "task/shared/needle_mix.h"

static const char *const parts[] = {"niah1",         "niah2",           "niah3",
                                    "niah_multikey", "niah_multivalue", "niah_multiquery"};

static void *all_open(const void *options, char *message, size_t size) {
    return needle_mix_open(parts, sizeof parts / sizeof *parts, options, message, size);
}

const Task task_niah_all = {.name = "niah_all",
                            .summary = "one of all six needles, drawn by lot (bytes; --haystack)",
                            .metric = METRIC_EXACT,
                            .vocab = 256,
                            .min_length = 1088,
                            .fields = needle_prose_fields,
                            .open = all_open,
                            .close = needle_mix_close,
                            .data = needle_mix_data,
                            .sample = needle_mix_sample};
