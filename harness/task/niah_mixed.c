/* S-NIAH-1, -2 and -3, which of them is drawn by lot for every sample: one model for the three columns of the paper's
 * Table 2. */
#include "task/shared/needle.h"
#include "task/shared/needle_mix.h"

static const char *const parts[] = {"niah1", "niah2", "niah3"};

static void *mixed_open(const void *options, char *message, size_t size) {
    return needle_mix_open(parts, sizeof parts / sizeof *parts, options, message, size);
}

const Task task_niah_mixed = {.name = "niah_mixed",
                              .summary = "S-NIAH-1, -2 or -3, drawn by lot (bytes; --haystack)",
                              .metric = METRIC_EXACT,
                              .vocab = 256,
                              .min_length = 640,
                              .fields = needle_prose_fields,
                              .open = mixed_open,
                              .close = needle_mix_close,
                              .data = needle_mix_data,
                              .sample = needle_mix_sample};
