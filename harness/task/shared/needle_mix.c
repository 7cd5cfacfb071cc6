#include "task/shared/needle_mix.h"
#include "base/check.h"
#include "base/random.h"
#include "task/shared/needle.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTS = 8 };

typedef struct {
    OpenTask part[PARTS];
    int count;
} Mix;

void needle_mix_close(void *instance) {
    Mix *m = instance;
    for (int i = 0; i < m->count; i++) task_close(&m->part[i]);
    free(m);
}

/* A part with those of the options that it has. */
static int part_open(OpenTask *part, const Task *task, const void *options, char *message, size_t size) {
    _Alignas(max_align_t) unsigned char own[TASK_OPTIONS];
    char text[PATH_TEXT];
    field_defaults(task->fields, own);
    for (const Field *f = task->fields; f->key; f++) {
        const char *value = field_text(field_find(needle_prose_fields, f->key), options, text, sizeof text);
        if (field_set_text(f, own, value, message, size)) return -1;
    }
    return task_open(part, task, own, message, size);
}

void *needle_mix_open(const char *const *parts, int count, const void *options, char *message, size_t size) {
    CHECK(count <= PARTS, "a mixture of more than %d tasks", PARTS);
    Mix *m = calloc(1, sizeof *m);
    if (!m) return snprintf(message, size, "no memory for %d tasks", count), (void *)0;
    for (; m->count < count; m->count++)
        if (part_open(&m->part[m->count], task_find(parts[m->count]), options, message, size))
            return needle_mix_close(m), (void *)0;
    return m;
}

void needle_mix_data(const void *instance, TaskData *data) {
    const Mix *m = instance;
    *data = task_data(&m->part[m->count - 1]);
}

void needle_mix_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                       Sample *s) {
    const Mix *m = instance;
    Random random = random_stream(seed, index, 0x6d697865);
    task_sample(&m->part[random_below(&random, (uint64_t)m->count)], seed, index, length, depth, s);
}
