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

/* Of `room` bytes of the text from `begin` on, which hold `count` sentences from `first` on: those before each needle, in
 * ascending order, and all that are used. */
typedef struct {
    int64_t first, begin, count, room;
    int64_t before[NEEDLES], whole;
} Places;

static void place_sentences(const Haystack *h, int needles, const double *depths, Places *p) {
    for (int i = 0; i < needles; i++)
        p->before[i] = sentence_at(h, p->first + (int64_t)(depths[i] * (double)p->count)) - p->begin;
    p->whole = p->count ? sentence_at(h, p->first + p->count) - p->begin : p->room;
}

/* Before the word that is nearest, or where there are no blanks before the character. */
static int64_t word_before(const Haystack *h, int64_t begin, int64_t wanted) {
    enum { WORD = 64 };
    const char *text = h->prose.text;
    const int64_t length = h->prose.length;
    int64_t at = wanted;
    while (at > 0 && wanted - at < WORD && text[(begin + at - 1) % length] != ' ') at--;
    if (at > 0 && text[(begin + at - 1) % length] == ' ') return at;
    for (at = wanted; at > 0 && ((unsigned char)text[(begin + at) % length] & 192) == 128;) at--;
    return at;
}

static void place_words(const Haystack *h, int needles, const double *depths, Places *p) {
    for (int i = 0; i < needles; i++)
        p->before[i] = word_before(h, p->begin, (int64_t)(depths[i] * (double)p->room + 0.5));
    p->whole = p->room;
}

static double depth_at(const Places *p, int needle) {
    return p->whole > 0 ? (double)p->before[needle] / (double)p->whole : 0.0;
}

/* Different ones of 40 depths in ascending order; where the one drawn first has come to, which is `depth` unless that is
 * negative. */
static int draw_depths(Random *random, double depth, int count, double *depths) {
    enum { DEPTHS = 40 };
    uint64_t used = 0;
    int first = 0;
    for (int i = 0; i < count; i++) {
        int drawn, at = i;
        do drawn = (int)random_below(random, DEPTHS);
        while (used >> drawn & 1);
        used |= 1ull << drawn;
        const double wanted = i == 0 && depth >= 0.0 ? depth : (double)drawn / (DEPTHS - 1);
        for (; at > 0 && depths[at - 1] > wanted; at--) depths[at] = depths[at - 1];
        depths[at] = wanted;
        if (i > 0 && at <= first) first++;
    }
    return first;
}

static Places place_needles(const Haystack *h, int64_t first, int64_t room, const double *depths, int needles,
                            int reached) {
    enum { FEW = 2 };
    Places p = {.first = first, .begin = sentence_at(h, first), .room = room};
    while (sentence_at(h, first + p.count + 1) - p.begin <= room) p.count++;
    place_sentences(h, needles, depths, &p);
    const int far = reached >= 0 && fabs(depth_at(&p, reached) - depths[reached]) > NEEDLE_REACH;
    const int few = p.count < FEW && h->place == PLACE_WORDS;
    if (few || far) place_words(h, needles, depths, &p);
    return p;
}

/* The haystack with the needles in it, without a blank at its end. */
static void add_context(Sample *s, const Haystack *h, const NeedleText *text, const Places *p) {
    const unsigned char *prose = (const unsigned char *)h->prose.text;
    int64_t used = 0;
    for (int i = 0; i < text->count; i++) {
        sample_repeat(s, prose, h->prose.length, p->begin + used, p->before[i] - used);
        sample_text(s, text->needle[i]);
        used = p->before[i];
        if (p->whole > used || i + 1 < text->count) sample_text(s, " ");
    }
    sample_repeat(s, prose, h->prose.length, p->begin + used, p->whole - used - 1);
}

void needle_prose_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         const NeedleKind *kind, Sample *s) {
    const Haystack *h = instance;
    const int needles = kind->keys * kind->values;
    NeedleText text;
    double depths[NEEDLES] = {0};
    Random random = random_stream(seed, index, 0x65737361);
    const int64_t start = (int64_t)random_below(&random, (uint64_t)h->count);
    const int first = draw_depths(&random, depth, needles, depths);
    needle_text(&h->words, seed, index, kind, first, &text);
    const int64_t room = length - needle_around(&text);
    const Places p = place_needles(h, start, room, depths, needles, depth < 0.0 ? -1 : first);
    s->depth = depth_at(&p, first);
    sample_text(s, text.before);
    s->needle = s->length + p.before[first];
    for (int i = 0; i < first; i++) s->needle += (int64_t)strlen(text.needle[i]) + 1;
    add_context(s, h, &text, &p);
    needle_finish(s, &text, (const unsigned char *)h->prose.text, h->prose.length, length);
}
