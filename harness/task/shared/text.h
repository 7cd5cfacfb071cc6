#pragma once
#include "task/task.h"

/* Text as a task: a window of `length` bytes of a text as it is, line ends and all, every byte but the first asked for. Tasks `text` and
 * `text_held` draw from the side that is trained on and the one that is not (task/shared/prose.h). Functions of a Task. */
extern const Field text_fields[];
void *text_open(const void *options, char *message, size_t size);
void *text_held_open(const void *options, char *message, size_t size);
void text_close(void *instance);
void text_data(const void *instance, TaskData *data);
int64_t text_longest(const void *instance);
void text_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                 Sample *sample);
