/* S-NIAH-1, -2 and -3, which of them is drawn by lot for every sample: one model for the three columns of the paper's
 * Table 2. */
#include "base/random.h"
#include "task/shared/needle.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTS = 3 };
static const char *const parts[PARTS] = {"niah1", "niah2", "niah3"};

typedef struct {
    OpenTask part[PARTS];
} Mixed;

static void mixed_close(void *instance) {
    Mixed *m = instance;
    for (int i = 0; i < PARTS; i++) task_close(&m->part[i]);
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

static void *mixed_open(const void *options, char *message, size_t size) {
    Mixed *m = calloc(1, sizeof *m);
    if (!m) return snprintf(message, size, "no memory for three tasks"), (void *)0;
    for (int i = 0; i < PARTS; i++)
        if (part_open(&m->part[i], task_find(parts[i]), options, message, size))
            return mixed_close(m), (void *)0;
    return m;
}

static void mixed_data(const void *instance, TaskData *data) {
    const Mixed *m = instance;
    *data = task_data(&m->part[PARTS - 1]);
}

static void mixed_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         Sample *s) {
    const Mixed *m = instance;
    Random random = random_stream(seed, index, 0x6d697865);
    task_sample(&m->part[random_below(&random, PARTS)], seed, index, length, depth, s);
}

const Task task_niah_mixed = {.name = "niah_mixed",
                              .summary = "S-NIAH-1, -2 or -3, drawn by lot (bytes; --haystack)",
                              .metric = METRIC_EXACT,
                              .vocab = 256,
                              .min_length = 640,
                              .fields = needle_prose_fields,
                              .open = mixed_open,
                              .close = mixed_close,
                              .data = mixed_data,
                              .sample = mixed_sample};
