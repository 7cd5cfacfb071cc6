/* Language modelling on bytes: the next byte of the text's last tenth, which training does not see. */
#include "task/shared/text.h"

static void text_held_sample(uint64_t seed, uint64_t index, int64_t length, double depth, Sample *s) {
    text_window(seed, index, length, depth, 1, s);
}

const Task task_text_held = {.name = "text_held",
                             .summary = "the next byte of the text's last tenth, which training does not see",
                             .vocab = 256,
                             .min_length = 2,
                             .takes_haystack = 1,
                             .open = text_open,
                             .sample = text_held_sample};
