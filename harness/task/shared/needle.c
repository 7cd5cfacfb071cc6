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

enum { KEY = 42 };

static int is_among(char (*keys)[KEY], int count, const char *key) {
    for (int i = 0; i < count; i++)
        if (!strcmp(keys[i], key)) return 1;
    return 0;
}

static void needle_key(const Words *w, Random *random, char (*keys)[KEY], int count) {
    char key[KEY];
    do
        snprintf(key, sizeof key, "%.20s-%.20s",
                 w->adjectives[random_below(random, (uint64_t)w->adjective_count)],
                 w->nouns[random_below(random, (uint64_t)w->noun_count)]);
    while (is_among(keys, count, key));
    memcpy(keys[count], key, sizeof key);
}

static void needle_value(Random *random, NeedleValue kind, char *value, size_t size) {
    if (kind == NEEDLE_UUID)
        needle_uuid(random, value, size);
    else
        snprintf(value, size, "%07llu", (unsigned long long)(1000000 + random_below(random, 9000000)));
}

/* Appends item i of `count` to "a, b, c, and d"; where it begins. */
static int list_add(char *list, size_t size, const char *item, int i, int count) {
    const size_t used = strlen(list);
    const char *between = i == 0 ? "" : i < count - 1 ? ", " : ", and ";
    snprintf(list + used, size - used, "%s%s", between, item);
    return (int)(used + strlen(between));
}

/* The keys in the order in which they are asked for. */
static void order_keys(Random *random, int keys, int queries, int first, int *order) {
    for (int i = 0; i < keys; i++) order[i] = i;
    for (int i = 0; i < queries && keys > 1; i++) {
        const int j = i ? i + (int)random_below(random, (uint64_t)(keys - i)) : first, key = order[i];
        order[i] = order[j];
        order[j] = key;
    }
}

/* One number is asked for in the singular, several in the plural. */
static void needle_prompt(const char *what, const char *query, NeedleText *t) {
    const int one = t->answers == 1;
    const char *s = one ? "" : "s";
    snprintf(
        t->before, sizeof t->before,
        "%s special magic %s%s %s hidden within the following text. Make sure to memorize it. I will quiz "
        "you about the %s%s afterwards.\n",
        one ? "A" : "Some", what, s, one ? "is" : "are", what, s);
    snprintf(
        t->after, sizeof t->after,
        "\nWhat %s the special magic %s%s for %s mentioned in the provided text? The special magic %s%s for "
        "%s mentioned in the provided text %s ",
        one ? "is" : "are all", what, s, query, what, s, query, one ? "is" : "are");
}

void needle_text(const Words *w, uint64_t seed, uint64_t index, const NeedleKind *kind, int first,
                 NeedleText *t) {
    static const char *const kinds[] = {"number", "uuid"};
    const char *what = kinds[kind->value];
    char keys[NEEDLES][KEY], values[NEEDLES][40], query[NEEDLES * (KEY + 5)] = "";
    int order[NEEDLES] = {0};
    Random random = random_stream(seed, index, 0x6e656564);
    CHECK(kind->keys * kind->values <= NEEDLES && kind->queries <= kind->keys, "more than %d needles",
          NEEDLES);
    *t = (NeedleText){.count = kind->keys * kind->values, .answers = kind->queries * kind->values};
    for (int i = 0; i < t->count; i++) {
        const int key = i / kind->values;
        if (i % kind->values == 0) needle_key(w, &random, keys, key);
        needle_value(&random, kind->value, values[i], sizeof values[i]);
        snprintf(t->needle[i], sizeof t->needle[i], "One of the special magic %ss for %.41s is: %.39s.", what,
                 keys[key], values[i]);
    }
    order_keys(&random, kind->keys, kind->queries, first / kind->values, order);
    for (int i = 0; i < kind->queries; i++) list_add(query, sizeof query, keys[order[i]], i, kind->queries);
    for (int i = 0; i < t->answers; i++)
        t->begin[i] =
            list_add(t->answer, sizeof t->answer,
                     values[order[i / kind->values] * kind->values + i % kind->values], i, t->answers);
    t->size = (int)strlen(values[0]);
    needle_prompt(what, query, t);
}

int64_t needle_around(const NeedleText *t) {
    size_t sum = strlen(t->before) + strlen(t->after) + strlen(t->answer);
    for (int i = 0; i < t->count; i++) sum += strlen(t->needle[i]) + 1;
    return (int64_t)sum;
}

void needle_finish(Sample *s, const NeedleText *t, const unsigned char *haystack, int64_t period,
                   int64_t length) {
    sample_text(s, t->after);
    for (int i = 0; i < t->answers; i++) sample_answer(s, s->length + t->begin[i], t->size);
    sample_text(s, t->answer);
    sample_repeat(s, haystack, period, 0, length - s->length);
    CHECK(s->length == length, "a sample of %ld tokens where %ld were wanted", s->length, length);
}
