/* Language modelling on bytes: the next byte of a text (--haystack FILE). */
#include "task/shared/text.h"

static void text_sample(uint64_t seed, uint64_t index, int64_t length, double depth, Sample *s) {
    text_window(seed, index, length, depth, 0, s);
}

const Task task_text = {.name = "text",
                        .summary = "the next byte of a text (--haystack FILE)",
                        .vocab = 256,
                        .min_length = 2,
                        .takes_haystack = 1,
                        .open = text_open,
                        .sample = text_sample};
