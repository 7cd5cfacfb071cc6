#pragma once
#include "task/task.h"

/* Text as a task: a window of `length` bytes of a file as it is, line ends and all, every byte but the first asked for. The last tenth of
 * the file is held out: tasks `text` and `text_held` draw from the two parts. Functions of a Task. */
extern const Field text_fields[];
void *text_open(const void *options, char *message, size_t size);
void text_close(void *instance);
void text_data(const void *instance, TaskData *data);
int64_t text_longest(const void *instance); /* of the part that is trained on */
int64_t text_held_longest(const void *instance);
void text_window(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth, int held,
                 Sample *sample);
