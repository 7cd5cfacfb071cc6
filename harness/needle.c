#include "needle.h"
#include "check.h"
#include "data.h"
#include "model/random.h"

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

static const char *const *adjectives, *const *nouns;
static int64_t adjective_count, noun_count;

void needle_words(void) {
    if (adjectives) return;
    adjectives = data_words("adjectivelist.txt", builtin_adjectives, &adjective_count);
    nouns = data_words("nounlist.txt", builtin_nouns, &noun_count);
}

void needle_text(uint64_t seed, uint64_t index, NeedleText *t) {
    Random random = random_stream(seed, index, 0x6e656564);
    char key[80];
    snprintf(key, sizeof key, "%.20s-%.20s", adjectives[random_below(&random, (uint64_t)adjective_count)],
             nouns[random_below(&random, (uint64_t)noun_count)]);
    snprintf(t->number, sizeof t->number, "%07llu",
             (unsigned long long)(1000000 + random_below(&random, 9000000)));
    snprintf(t->needle, sizeof t->needle, "One of the special magic numbers for %s is: %s.", key, t->number);
    snprintf(t->before, sizeof t->before,
             "A special magic number is hidden within the following text. Make sure to memorize it. I will "
             "quiz you about "
             "the number afterwards.\n");
    snprintf(t->after, sizeof t->after,
             "\nWhat is the special magic number for %s mentioned in the provided text? The special magic "
             "number for %s "
             "mentioned in the provided text is ",
             key, key);
}

void needle_finish(Sample *s, const NeedleText *t, const unsigned char *haystack, int64_t period,
                   int64_t length) {
    sample_text(s, t->after);
    s->answer = s->length;
    s->answer_length = (int64_t)strlen(t->number);
    sample_text(s, t->number);
    sample_repeat(s, haystack, period, 0, length - s->length);
    CHECK(s->length == length, "a sample of %ld tokens where %ld were wanted", s->length, length);
}
