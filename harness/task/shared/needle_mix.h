#pragma once
#include "task/task.h"

/* One of several tasks of needle_prose_fields, drawn by lot for every sample. `parts` are their names; the last of them reads
 * prose, whose data are those of the mixture. */
void *needle_mix_open(const char *const *parts, int count, const void *options, char *message, size_t size);
void needle_mix_close(void *instance);
void needle_mix_data(const void *instance, TaskData *data);
void needle_mix_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                       Sample *sample);
