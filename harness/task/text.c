/* Language modelling on bytes: the next byte of a text (--haystack). */
#include "task/shared/text.h"

const Task task_text = {.name = "text",
                        .summary = "the next byte of a text (--haystack)",
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
