#include "base/check.h"
#include "task/shared/data.h"
#include "base/random.h"
#include "task/shared/needle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Prose prose;
    NeedleWords words;
    int64_t *sentences, count;
} Haystack;

typedef struct {
    char haystack[512];
} HaystackOptions;

const Field needle_prose_fields[] = {TEXT_FIELD(HaystackOptions, haystack, "haystack", "",
                                                "text file of the haystack; empty: the default prose"),
                                     FIELD_END};

static int is_sentence_end(const char *p) {
    if (p[0] != '.' && p[0] != '!' && p[0] != '?') return 0;
    return p[1] == ' ' || ((p[1] == '"' || p[1] == '\'' || p[1] == ')') && p[2] == ' ');
}

/* Where each sentence begins. The text ends with a blank, so the look-ahead stays inside it. */
static int split_sentences(Haystack *h) {
    const char *text = h->prose.text;
    h->sentences = calloc((size_t)h->prose.length / 2 + 2, sizeof *h->sentences);
    if (!h->sentences) return -1;
    h->sentences[h->count++] = 0;
    for (int64_t i = 0; i + 3 < h->prose.length; i++)
        if (is_sentence_end(text + i)) h->sentences[h->count++] = (strchr(text + i, ' ') - text) + 1;
    if (h->sentences[h->count - 1] >= h->prose.length) h->count--;
    return 0;
}

void needle_prose_close(void *instance) {
    Haystack *h = instance;
    needle_words_close(&h->words);
    prose_close(&h->prose);
    free(h->sentences);
    free(h);
}

void *needle_prose_open(const void *options, char *message, size_t size) {
    const HaystackOptions *o = options;
    Haystack *h = calloc(1, sizeof *h);
    if (!h) return snprintf(message, size, "no memory for a haystack"), (void *)0;
    if (prose_open(&h->prose, o->haystack, message, size)) return free(h), (void *)0;
    if (needle_words_open(&h->words, message, size)) return prose_close(&h->prose), free(h), (void *)0;
    if (!split_sentences(h)) return h;
    snprintf(message, size, "no memory for the sentences of %lld bytes", (long long)h->prose.length);
    needle_prose_close(h);
    return 0;
}

const char *needle_prose_about(const void *instance) { return ((const Haystack *)instance)->prose.origin; }

/* Byte offset of sentence i when the text repeats for ever. */
static int64_t sentence_at(const Haystack *h, int64_t i) {
    return i / h->count * h->prose.length + h->sentences[i % h->count];
}

void needle_prose_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         NeedleValue kind, Sample *s) {
    const Haystack *h = instance;
    const unsigned char *prose = (const unsigned char *)h->prose.text;
    const int64_t prose_length = h->prose.length;
    NeedleText text;
    Random random = random_stream(seed, index, 0x65737361);
    needle_text(&h->words, seed, index, kind, &text);
    const int64_t first = (int64_t)random_below(&random, (uint64_t)h->count), begin = sentence_at(h, first);
    const int64_t drawn = (int64_t)random_below(&random, 40), room = length - needle_around(&text);
    int64_t count = 0;
    while (sentence_at(h, first + count + 1) - begin <= room) count++;
    s->depth = depth < 0.0 ? (double)drawn / 39.0 : depth;
    const int64_t before = sentence_at(h, first + (int64_t)(s->depth * (double)count)) - begin;
    const int64_t whole = count ? sentence_at(h, first + count) - begin : room;
    sample_text(s, text.before);
    sample_repeat(s, prose, prose_length, begin, before);
    s->needle = s->length;
    sample_text(s, text.needle);
    if (whole > before) sample_text(s, " ");
    sample_repeat(s, prose, prose_length, begin + before, whole - before - 1);
    needle_finish(s, &text, prose, prose_length, length);
}
