#include "task/shared/text.h"
#include "task/shared/data.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_SHARE = 10 };

static char *text;
static int64_t text_length;

int text_open(const char *haystack, char *message, size_t size) {
    int64_t length;
    char *fresh = data_prose(haystack, &length, message, size);
    if (!fresh) return -1;
    free(text);
    text = fresh;
    text_length = length;
    return 0;
}

void text_window(uint64_t seed, uint64_t index, int64_t length, double depth, int held, Sample *s) {
    Random random = random_stream(seed, index, 0x74657874);
    const int64_t cut = text_length - text_length / HELD_SHARE, begin = held ? cut : 0;
    const int64_t period = held ? text_length - cut : cut;
    const int64_t drawn = (int64_t)random_below(&random, (uint64_t)period);
    *s = (Sample){.count = 0};
    s->depth = depth < 0.0 ? (double)drawn / (double)period : depth;
    sample_repeat(s, (const unsigned char *)text + begin, period,
                  depth < 0.0 ? drawn : (int64_t)(depth * (double)(period - 1)), length);
    s->answer = 1;
    s->answer_length = length - 1;
}
