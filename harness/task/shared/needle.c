#include "task/shared/needle.h"
#include "base/check.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>

/* Version 4: 122 random bits. */
static void needle_uuid(Random *random, char *value, size_t size) {
    const uint64_t high = (random_bits(random) & ~0xf000ull) | 0x4000ull;
    const uint64_t low = (random_bits(random) & ~(3ull << 62)) | 1ull << 63;
    snprintf(value, size, "%08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)(high >> 32),
             (unsigned long long)(high >> 16 & 0xffff), (unsigned long long)(high & 0xffff),
             (unsigned long long)(low >> 48), (unsigned long long)(low & 0xffffffffffffull));
}

void needle_text(const Words *w, uint64_t seed, uint64_t index, NeedleValue kind, NeedleText *t) {
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
