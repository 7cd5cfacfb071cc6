/* Language modelling on bytes: the next byte of the part of the text that training does not see. */
#include "task/shared/text.h"

const Task task_text_held = {.name = "text_held",
                             .summary = "the next byte of the part of the text that training does not see",
                             .version = 1,
                             .metric = METRIC_LOSS,
                             .vocab = 256,
                             .min_length = 2,
                             .fields = text_fields,
                             .open = text_held_open,
                             .close = text_close,
                             .data = text_data,
                             .longest = text_longest,
                             .sample = text_sample};
