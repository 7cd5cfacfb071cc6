#include "base/check.h"
#include "base/random.h"
#include "task/shared/needle.h"
#include "task/shared/prose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Prose prose;
    Words words;
    int64_t *sentences, count, place;
} Haystack;

typedef struct {
    char haystack[PATH_TEXT];
    int64_t words, side, place;
} HaystackOptions;

enum { PLACE_WORDS, PLACE_SENTENCES };

const Field needle_prose_fields[] = {
    TEXT_FIELD(HaystackOptions, haystack, "haystack", "bible", PROSE_MEANING),
    CHOICE_FIELD(HaystackOptions, words, "words", WORDS_NAMES, WORDS_MEANING),
    CHOICE_FIELD(HaystackOptions, side, "side", SIDES, SIDE_MEANING),
    CHOICE_FIELD(HaystackOptions, place, "place", "words sentences",
                 "where fewer than two sentences fit, a needle drawn at random stands between words, or only "
                 "before or behind sentences"),
    FIELD_END};

/* What ends a sentence in scripts that need no blank behind it: Chinese and Japanese, their halfwidth form, Indic, Arabic
 * and Urdu, Ethiopic, Armenian, Burmese, Khmer, Tibetan. */
static const char *const full_stops[] = {"\u3002", "\uff01", "\uff1f", "\uff61", "\u0964", "\u0965", "\u061f",
                                         "\u06d4", "\u1362", "\u0589", "\u104b", "\u17d4", "\u0f0d", 0};

/* Bytes of what ends a sentence at p and of the blank behind it, 0 where none does. */
static int64_t sentence_end(const char *p) {
    if (p[0] == '.' || p[0] == '!' || p[0] == '?') {
        if (p[1] == ' ') return 2;
        return (p[1] == '"' || p[1] == '\'' || p[1] == ')') && p[2] == ' ' ? 3 : 0;
    }
    if (!((unsigned char)p[0] & 128)) return 0;
    for (int i = 0; full_stops[i]; i++) {
        const size_t n = strlen(full_stops[i]);
        if (!strncmp(p, full_stops[i], n)) return (int64_t)n + (p[n] == ' ');
    }
    return 0;
}

/* Where each sentence begins. The text ends with a blank and a 0, so the look-ahead stays inside it. */
static int split_sentences(Haystack *h) {
    const char *text = h->prose.text;
    h->sentences = calloc((size_t)h->prose.length / 2 + 2, sizeof *h->sentences);
    if (!h->sentences) return -1;
    h->sentences[h->count++] = 0;
    for (int64_t i = 0; i + 3 < h->prose.length; i++) {
        const int64_t n = sentence_end(text + i);
        if (n) h->sentences[h->count++] = i + n;
    }
    if (h->sentences[h->count - 1] >= h->prose.length) h->count--;
    return 0;
}

void needle_prose_close(void *instance) {
    Haystack *h = instance;
    words_close(&h->words);
    prose_close(&h->prose);
    free(h->sentences);
    free(h);
}

void *needle_prose_open(const void *options, char *message, size_t size) {
    const HaystackOptions *o = options;
    Haystack *h = calloc(1, sizeof *h);
    if (!h) return snprintf(message, size, "no memory for a haystack"), (void *)0;
    h->place = o->place;
    const Side side = (Side)o->side;
    if (prose_open(&h->prose, o->haystack, side, message, size)) return free(h), (void *)0;
    if (words_open(&h->words, (WordsName)o->words, side, message, size))
        return prose_close(&h->prose), free(h), (void *)0;
    if (!split_sentences(h)) return h;
    snprintf(message, size, "no memory for the sentences of %lld bytes", (long long)h->prose.length);
    needle_prose_close(h);
    return 0;
}

void needle_prose_data(const void *instance, TaskData *data) {
    const Haystack *h = instance;
    *data = (TaskData){h->prose.origin, h->words.origin, h->prose.hash, h->words.hash};
}

/* Byte offset of sentence i when the text repeats for ever. */
static int64_t sentence_at(const Haystack *h, int64_t i) {
    return i / h->count * h->prose.length + h->sentences[i % h->count];
}

/* Of `room` bytes of the text from sentence `first` on: those before the needle, and all that are used. */
typedef struct {
    int64_t before, whole;
} Place;

static Place place_sentences(const Haystack *h, int64_t first, int64_t count, int64_t room, double depth) {
    const int64_t begin = sentence_at(h, first);
    if (!count) return (Place){0, room};
    return (Place){sentence_at(h, first + (int64_t)(depth * (double)count)) - begin,
                   sentence_at(h, first + count) - begin};
}

/* Before the word that is nearest, or where there are no blanks before the character. */
static Place place_words(const Haystack *h, int64_t begin, int64_t room, double depth) {
    enum { WORD = 64 };
    const char *text = h->prose.text;
    const int64_t wanted = (int64_t)(depth * (double)room + 0.5), length = h->prose.length;
    int64_t at = wanted;
    while (at > 0 && wanted - at < WORD && text[(begin + at - 1) % length] != ' ') at--;
    if (at > 0 && text[(begin + at - 1) % length] == ' ') return (Place){at, room};
    for (at = wanted; at > 0 && ((unsigned char)text[(begin + at) % length] & 192) == 128;) at--;
    return (Place){at, room};
}

void needle_prose_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         NeedleValue kind, Sample *s) {
    enum { FEW = 2 };
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
    const double wanted = depth < 0.0 ? (double)drawn / 39.0 : depth;
    const Place between = place_sentences(h, first, count, room, wanted);
    const double got = between.whole > 0 ? (double)between.before / (double)between.whole : 0.0;
    const int far = depth >= 0.0 && fabs(got - wanted) > NEEDLE_REACH;
    const int few = count < FEW && h->place == PLACE_WORDS;
    const Place at = few || far ? place_words(h, begin, room, wanted) : between;
    s->depth = at.whole > 0 ? (double)at.before / (double)at.whole : 0.0;
    sample_text(s, text.before);
    sample_repeat(s, prose, prose_length, begin, at.before);
    s->needle = s->length;
    sample_text(s, text.needle);
    if (at.whole > at.before) sample_text(s, " ");
    sample_repeat(s, prose, prose_length, begin + at.before, at.whole - at.before - 1);
    needle_finish(s, &text, prose, prose_length, length);
}
