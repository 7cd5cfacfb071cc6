/* Language modelling on bytes: the next byte of the text's last tenth, which training does not see. */
#include "task/shared/text.h"

static void text_held_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length,
                             double depth, Sample *s) {
    text_window(instance, seed, index, length, depth, 1, s);
}

const Task task_text_held = {.name = "text_held",
                             .summary = "the next byte of the text's last tenth, which training does not see",
                             .version = 1,
                             .metric = METRIC_LOSS,
                             .vocab = 256,
                             .min_length = 2,
                             .fields = text_fields,
                             .open = text_open,
                             .close = text_close,
                             .data = text_data,
                             .longest = text_held_longest,
                             .sample = text_held_sample};
