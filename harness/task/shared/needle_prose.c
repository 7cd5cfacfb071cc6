#include "base/check.h"
#include "task/shared/data.h"
#include "base/random.h"
#include "task/shared/needle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *prose;
static int64_t prose_length, *sentences, sentence_count;

static int is_sentence_end(const char *p) {
    if (p[0] != '.' && p[0] != '!' && p[0] != '?') return 0;
    return p[1] == ' ' || ((p[1] == '"' || p[1] == '\'' || p[1] == ')') && p[2] == ' ');
}

/* Where each sentence begins. The text ends with a blank, so the look-ahead stays inside it. */
static void split_sentences(void) {
    sentences = calloc((size_t)prose_length / 2 + 2, sizeof *sentences);
    CHECK(sentences, "no memory for the sentences of %ld bytes", prose_length);
    sentence_count = 0;
    sentences[sentence_count++] = 0;
    for (int64_t i = 0; i + 3 < prose_length; i++)
        if (is_sentence_end(prose + i)) sentences[sentence_count++] = (strchr(prose + i, ' ') - prose) + 1;
    if (sentences[sentence_count - 1] >= prose_length) sentence_count--;
}

int needle_prose_open(const char *haystack, char *message, size_t size) {
    int64_t length;
    char *text = data_prose(haystack, &length, message, size);
    if (!text) return -1;
    prose_length = length;
    free(prose);
    free(sentences);
    prose = text;
    split_sentences();
    needle_words();
    return 0;
}

/* Byte offset of sentence i when the text repeats for ever. */
static int64_t sentence_at(int64_t i) {
    return i / sentence_count * prose_length + sentences[i % sentence_count];
}

void needle_prose_sample(uint64_t seed, uint64_t index, int64_t length, double depth, NeedleValue kind,
                         Sample *s) {
    NeedleText text;
    Random random = random_stream(seed, index, 0x65737361);
    needle_text(seed, index, kind, &text);
    *s = (Sample){.count = 0};
    const int64_t first = (int64_t)random_below(&random, (uint64_t)sentence_count),
                  begin = sentence_at(first);
    const int64_t drawn = (int64_t)random_below(&random, 40), room = length - needle_around(&text);
    int64_t count = 0;
    while (sentence_at(first + count + 1) - begin <= room) count++;
    s->depth = depth < 0.0 ? (double)drawn / 39.0 : depth;
    const int64_t before = sentence_at(first + (int64_t)(s->depth * (double)count)) - begin;
    const int64_t whole = count ? sentence_at(first + count) - begin : room;
    sample_text(s, text.before);
    sample_repeat(s, (const unsigned char *)prose, prose_length, begin, before);
    s->needle = s->length;
    sample_text(s, text.needle);
    if (whole > before) sample_text(s, " ");
    sample_repeat(s, (const unsigned char *)prose, prose_length, begin + before, whole - before - 1);
    needle_finish(s, &text, (const unsigned char *)prose, prose_length, length);
}
