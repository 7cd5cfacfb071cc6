#include "task/shared/text.h"
#include "task/shared/data.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

enum { HELD_SHARE = 10 };

typedef struct {
    char haystack[PATH_TEXT];
} TextOptions;

const Field text_fields[] = {
    TEXT_FIELD(TextOptions, haystack, "haystack", "", "the text file; empty: the default prose"), FIELD_END};

void *text_open(const void *options, char *message, size_t size) {
    const TextOptions *o = options;
    Prose *prose = calloc(1, sizeof *prose);
    if (prose && !prose_open_as_is(prose, o->haystack, message, size)) return prose;
    if (!prose) snprintf(message, size, "no memory for a text");
    free(prose);
    return 0;
}

void text_close(void *instance) {
    prose_close(instance);
    free(instance);
}

void text_data(const void *instance, TaskData *data) {
    const Prose *prose = instance;
    *data = (TaskData){.origin = prose->origin, .prose = prose->hash};
}

int64_t text_held_longest(const void *instance) { return ((const Prose *)instance)->length / HELD_SHARE; }

int64_t text_longest(const void *instance) {
    return ((const Prose *)instance)->length - text_held_longest(instance);
}

void text_window(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth, int held,
                 Sample *s) {
    const Prose *prose = instance;
    const int64_t text_length = prose->length;
    Random random = random_stream(seed, index, 0x74657874);
    const int64_t cut = text_longest(prose), begin = held ? cut : 0;
    const int64_t period = held ? text_length - cut : cut;
    const int64_t drawn = (int64_t)random_below(&random, (uint64_t)period);
    const int64_t at = depth < 0.0 ? drawn : (int64_t)(depth * (double)(period - 1));
    s->depth = (double)at / (double)period;
    sample_repeat(s, (const unsigned char *)prose->text + begin, period, at, length);
    sample_answer(s, 1, length - 1);
}
