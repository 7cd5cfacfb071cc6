#pragma once
#include "task/task.h"

/* Text as a task: a window of `length` bytes of a file, every byte but the first asked for. The last tenth of
 * the file is held out: tasks `text` and `text_held` draw from the two parts. */
int text_open(const char *haystack, char *message, size_t size);
void text_window(uint64_t seed, uint64_t index, int64_t length, double depth, int held, Sample *sample);
