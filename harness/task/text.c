/* Language modelling on bytes: the next byte of a text (--haystack FILE). */
#include "task/shared/text.h"

static void text_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                        Sample *s) {
    text_window(instance, seed, index, length, depth, 0, s);
}

const Task task_text = {.name = "text",
                        .summary = "the next byte of a text (--haystack FILE)",
                        .version = 1,
                        .metric = METRIC_LOSS,
                        .held = "text_held",
                        .vocab = 256,
                        .min_length = 2,
                        .fields = text_fields,
                        .open = text_open,
                        .close = text_close,
                        .data = text_data,
                        .longest = text_longest,
                        .sample = text_sample};
