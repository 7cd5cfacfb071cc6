#include "bench/shared/shown.h"
#include "base/check.h"
#include "terminal/interrupt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 512 };

/* The next tokens, at most SEGMENT, into their places. */
static titans_status read_on(titans_stream *stream, Shown *s, float *part, titans_error *error) {
    const int64_t left = s->length - s->read, n = left < SEGMENT ? left : SEGMENT,
                  floats = s->memories * n * s->heads;
    const titans_input in = {.tokens = s->tokens + s->read,
                             .count = n,
                             .surprise = part,
                             .alpha = part + floats,
                             .theta = part + 2 * floats};
    float *const to[] = {s->surprise, s->alpha, s->theta};
    const titans_status status = titans_read_input(stream, &in, error);
    for (int k = 0; !status && k < 3; k++)
        for (int64_t m = 0; m < s->memories; m++)
            memcpy(to[k] + (m * s->length + s->read) * s->heads, part + k * floats + m * n * s->heads,
                   (size_t)(n * s->heads) * sizeof *part);
    if (!status) s->read += n;
    return status;
}

static void shown_allocate(Shown *s, int64_t memories, int64_t heads, int64_t length) {
    const int64_t floats = memories * heads * length;
    *s = (Shown){.memories = memories, .heads = heads, .length = length};
    s->tokens = calloc((size_t)length, sizeof *s->tokens);
    s->surprise = calloc((size_t)(3 * floats) + 1, sizeof *s->surprise);
    CHECK(s->tokens && s->surprise, "no memory for %ld tokens", length);
    s->alpha = s->surprise + floats, s->theta = s->alpha + floats;
}

int shown_read(const Trained *t, const Sample *sample, Shown *s, char *message, size_t size) {
    titans_error error;
    const titans_stream_options options = {.capacity = sample->length};
    titans_stream *stream = titans_stream_new(&t->library, &options, &error);
    *s = (Shown){0};
    if (!stream) return snprintf(message, size, "%s", error.message), -1;
    shown_allocate(s, titans_stream_memories(stream), t->model.config.heads, sample->length);
    float *part = calloc((size_t)(3 * s->memories * SEGMENT * s->heads) + 1, sizeof *part);
    CHECK(part, "no memory for %d tokens", SEGMENT);
    sample_read(sample, 0, s->length, s->tokens, 0);
    titans_status status = TITANS_OK;
    while (!status && s->read < s->length && !interrupt_requested())
        status = read_on(stream, s, part, &error);
    if (status) snprintf(message, size, "%s", error.message);
    titans_stream_free(stream);
    free(part);
    return status ? -1 : s->read < s->length;
}

void shown_free(Shown *s) {
    free(s->surprise);
    free(s->tokens);
    *s = (Shown){0};
}
