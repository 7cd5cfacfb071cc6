#include "task/shared/needle.h"
#include "base/check.h"
#include "base/hash.h"
#include "task/shared/data.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>

/* Used when the data folder has no word lists. */
static const char *const builtin_adjectives[] = {
    "able",   "amber",  "ancient", "bold",  "brave", "bright", "broad",  "calm",   "clever",
    "cold",   "crisp",  "curious", "deep",  "dry",   "eager",  "early",  "fair",   "fancy",
    "gentle", "golden", "grand",   "green", "happy", "heavy",  "honest", "humble", "icy",
    "jolly",  "keen",   "kind",    "late",  "light", "lively", "lucky",  "mellow", "mild",
    "modern", "neat",   "noble",   "odd",   "pale",  "plain",  "proud",  "quick",  "quiet",
    "rapid",  "rare",   "rough",   "round", "sharp", "silent", "sleek",  "smooth", "solid",
    "tidy",   "vivid",  "warm",    "wide",  "wise",  "young",  0};
static const char *const builtin_nouns[] = {
    "anchor", "apple",    "arrow",  "barn",    "basket", "beach",   "bell",   "bird",   "boat",    "book",
    "bridge", "brush",    "candle", "canyon",  "castle", "cedar",   "chair",  "clock",  "cloud",   "coin",
    "comet",  "copper",   "desert", "door",    "drum",   "eagle",   "engine", "falcon", "feather", "field",
    "flame",  "forest",   "garden", "glass",   "hammer", "harbor",  "hill",   "island", "jacket",  "kettle",
    "ladder", "lake",     "lamp",   "lantern", "leaf",   "lion",    "map",    "marble", "meadow",  "mirror",
    "moon",   "mountain", "needle", "oak",     "ocean",  "orchard", "paper",  "pearl",  "piano",   "planet",
    "pond",   "river",    "road",   "robin",   "rope",   "saddle",  "school", "shadow", "ship",    "silver",
    "star",   "stone",    "storm",  "table",   "temple", "tower",   "train",  "valley", "violin",  "wagon",
    "window", "winter",   "wolf",   "yard",    0};

int needle_words_open(NeedleWords *w, char *message, size_t size) {
    w->hash = HASH_START;
    w->adjectives =
        data_words("adjectivelist.txt", builtin_adjectives, &w->adjective_count, &w->hash, message, size);
    if (!w->adjectives) return -1;
    w->nouns = data_words("nounlist.txt", builtin_nouns, &w->noun_count, &w->hash, message, size);
    const int half = w->nouns && (w->adjectives == builtin_adjectives) != (w->nouns == builtin_nouns);
    if (w->nouns && !half) return 0;
    if (half)
        snprintf(message, size, "%s/wordlists: only one of adjectivelist.txt and nounlist.txt is there",
                 data_folder());
    needle_words_close(w);
    return -1;
}

void needle_words_close(NeedleWords *w) {
    data_words_free(w->adjectives, builtin_adjectives);
    if (w->nouns) data_words_free(w->nouns, builtin_nouns);
}

/* Version 4: 122 random bits. */
static void needle_uuid(Random *random, char *value, size_t size) {
    const uint64_t high = (random_bits(random) & ~0xf000ull) | 0x4000ull;
    const uint64_t low = (random_bits(random) & ~(3ull << 62)) | 1ull << 63;
    snprintf(value, size, "%08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)(high >> 32),
             (unsigned long long)(high >> 16 & 0xffff), (unsigned long long)(high & 0xffff),
             (unsigned long long)(low >> 48), (unsigned long long)(low & 0xffffffffffffull));
}

void needle_text(const NeedleWords *w, uint64_t seed, uint64_t index, NeedleValue kind, NeedleText *t) {
    static const char *const kinds[] = {"number", "uuid"};
    const char *what = kinds[kind];
    Random random = random_stream(seed, index, 0x6e656564);
    char key[80];
    snprintf(key, sizeof key, "%.20s-%.20s",
             w->adjectives[random_below(&random, (uint64_t)w->adjective_count)],
             w->nouns[random_below(&random, (uint64_t)w->noun_count)]);
    if (kind == NEEDLE_UUID)
        needle_uuid(&random, t->value, sizeof t->value);
    else
        snprintf(t->value, sizeof t->value, "%07llu",
                 (unsigned long long)(1000000 + random_below(&random, 9000000)));
    snprintf(t->needle, sizeof t->needle, "One of the special magic %ss for %s is: %s.", what, key, t->value);
    snprintf(t->before, sizeof t->before,
             "A special magic %s is hidden within the following text. Make sure to memorize it. I will quiz "
             "you about "
             "the %s afterwards.\n",
             what, what);
    snprintf(
        t->after, sizeof t->after,
        "\nWhat is the special magic %s for %s mentioned in the provided text? The special magic %s for %s "
        "mentioned in the provided text is ",
        what, key, what, key);
}

int64_t needle_around(const NeedleText *t) {
    return (int64_t)(strlen(t->before) + strlen(t->needle) + 1 + strlen(t->after) + strlen(t->value));
}

void needle_finish(Sample *s, const NeedleText *t, const unsigned char *haystack, int64_t period,
                   int64_t length) {
    sample_text(s, t->after);
    sample_answer(s, s->length, (int64_t)strlen(t->value));
    sample_text(s, t->value);
    sample_repeat(s, haystack, period, 0, length - s->length);
    CHECK(s->length == length, "a sample of %ld tokens where %ld were wanted", s->length, length);
}
