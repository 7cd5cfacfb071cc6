#include "task/shared/text.h"
#include "task/shared/data.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

enum { HELD_SHARE = 10 };

typedef struct {
    char haystack[512];
} TextOptions;

const Field text_fields[] = {
    TEXT_FIELD(TextOptions, haystack, "haystack", "", "the text file; empty: the default prose"), FIELD_END};

void *text_open(const void *options, char *message, size_t size) {
    const TextOptions *o = options;
    Prose *prose = calloc(1, sizeof *prose);
    if (prose && !prose_open(prose, o->haystack, message, size)) return prose;
    if (!prose) snprintf(message, size, "no memory for a text");
    free(prose);
    return 0;
}

void text_close(void *instance) {
    prose_close(instance);
    free(instance);
}

const char *text_about(const void *instance) { return ((const Prose *)instance)->origin; }

void text_window(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth, int held,
                 Sample *s) {
    const Prose *prose = instance;
    const int64_t text_length = prose->length;
    Random random = random_stream(seed, index, 0x74657874);
    const int64_t cut = text_length - text_length / HELD_SHARE, begin = held ? cut : 0;
    const int64_t period = held ? text_length - cut : cut;
    const int64_t drawn = (int64_t)random_below(&random, (uint64_t)period);
    s->depth = depth < 0.0 ? (double)drawn / (double)period : depth;
    sample_repeat(s, (const unsigned char *)prose->text + begin, period,
                  depth < 0.0 ? drawn : (int64_t)(depth * (double)(period - 1)), length);
    sample_answer(s, 1, length - 1);
}
