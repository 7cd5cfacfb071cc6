/* Small models that the suites of whole models share. */
#pragma once
#include "base/random.h"
#include "base/share.h"
#include "learn/recipe.h"
#include "library/library.h"
#include "test_reference.h"

#include <stdio.h>

enum { VOCAB = 11, MOST_WORDS = 64 };

/* Settings of every mixer, as far as it has them. */
static const char every[] =
    "vocab=11 width=12 heads=2 layers=2 ffn=20 taps=3 chunk=8 memory_layers=2 expansion=2 "
    "theta_max=0.1 persistent=3 segment=16 window=10 mini_batch=8 base_rate=0.002 "
    "globals=2 block=4 random=2 slots=5";

/* words: copied to be cut up. */
static inline Recipe settings(const char *mixer, const char *sizes, const char *more) {
    static Recipe recipe;
    char text[1024], message[512], *rest = text;
    const char *word[MOST_WORDS];
    int count = 0;
    snprintf(text, sizeof text, "mixer=%s %s %s", mixer, sizes, more);
    for (char *next; (next = strsep(&rest, " "));)
        if (*next) word[count++] = next;
    cr_assert(!recipe_open(&recipe, 0, word, count, 1, message, sizeof message), "%s", message);
    return recipe;
}

static inline void random_tokens(int64_t n, uint64_t seed, int32_t *tokens) {
    Random random = {seed};
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)random_below(&random, VOCAB);
}

static inline titans_stream *stream_new(const titans_model *model, int64_t batch, int64_t capacity) {
    titans_error error;
    const titans_stream_options options = {.batch = batch, .capacity = capacity, .segment = 1 << 12};
    titans_stream *stream = titans_stream_new(model, &options, &error);
    cr_assert(stream != NULL, "%s", error.message);
    return stream;
}

/* Time that leaps from one look to the next, and cores that are lost in some of the windows: the number of threads changes wherever it
 * may (base/share.h). */
static inline double leaping_seconds(void) {
    static double seconds;
    return seconds += 0.1;
}
static inline long restless_taken(void) {
    static long looks, taken;
    return taken += looks++ / 30 % 3 ? 50 : 0;
}
static const ShareSource restless = {leaping_seconds, restless_taken};
