#include "task/shared/text.h"
#include "base/random.h"
#include "task/shared/prose.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    char haystack[PATH_TEXT];
} TextOptions;

const Field text_fields[] = {TEXT_FIELD(TextOptions, haystack, "haystack", "bible", PROSE_MEANING),
                             FIELD_END};

static void *open_side(const void *options, Side side, char *message, size_t size) {
    const TextOptions *o = options;
    Prose *prose = calloc(1, sizeof *prose);
    if (prose && !prose_open_as_is(prose, o->haystack, side, message, size)) return prose;
    if (!prose) snprintf(message, size, "no memory for a text");
    free(prose);
    return 0;
}

void *text_open(const void *options, char *message, size_t size) {
    return open_side(options, SIDE_TRAIN, message, size);
}

void *text_held_open(const void *options, char *message, size_t size) {
    return open_side(options, SIDE_TEST, message, size);
}

void text_close(void *instance) {
    prose_close(instance);
    free(instance);
}

void text_data(const void *instance, TaskData *data) {
    const Prose *prose = instance;
    *data = (TaskData){.prose_origin = prose->origin, .prose = prose->hash};
}

int64_t text_longest(const void *instance) { return ((const Prose *)instance)->length; }

void text_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                 Sample *s) {
    const Prose *prose = instance;
    const int64_t period = prose->length;
    Random random = random_stream(seed, index, 0x74657874);
    const int64_t drawn = (int64_t)random_below(&random, (uint64_t)period);
    const int64_t at = depth < 0.0 ? drawn : (int64_t)(depth * (double)(period - 1));
    s->depth = (double)at / (double)period;
    sample_repeat(s, (const unsigned char *)prose->text, period, at, length);
    sample_answer(s, 1, length - 1);
}
