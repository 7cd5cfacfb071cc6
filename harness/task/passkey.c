/* Word-token passkey: random filler words, one needle KEY word d1..d7, at the end KEY word and the seven
 * digits asked for. Vocabulary 174: 0 pad, 1 KEY, 2-3 unused, 4-13 digits, 14-45 key words, 46-173 fillers.
 * The content ends 0 to 31 tokens before the end (filler follows), so that every alignment to the memory's
 * chunks occurs. */
#include "base/random.h"
#include "task/shared/plain.h"

enum {
    KEY = 1,
    DIGIT = 4,
    WORD = 14,
    WORDS = 32,
    FILLER = 46,
    FILLERS = 128,
    DIGITS = 7,
    NEEDLE = DIGITS + 2,
    SLACK = 32
};

static void passkey_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                           Sample *s) {
    (void)instance;
    Random random = random_stream(seed, index, 0x70617373);
    const int64_t content = length - (int64_t)random_below(&random, SLACK), room = content - 2 * NEEDLE;
    const double drawn = random_uniform(&random);
    const uint64_t filler = random_bits(&random);
    char needle[NEEDLE + 1] = {KEY, (char)(WORD + random_below(&random, WORDS))};
    for (int i = 2; i < NEEDLE; i++) needle[i] = (char)(DIGIT + random_below(&random, 10));
    s->needle = (int64_t)((depth < 0.0 ? drawn : depth) * (double)(room + 1));
    if (s->needle > room) s->needle = room;
    s->depth = room > 0 ? (double)s->needle / (double)room : 0.0;
    sample_filler(s, filler, FILLER, FILLERS, s->needle);
    sample_text(s, needle);
    sample_filler(s, filler ^ 1, FILLER, FILLERS, room - s->needle);
    sample_answer(s, s->length + 2, DIGITS);
    sample_text(s, needle);
    sample_filler(s, filler ^ 2, FILLER, FILLERS, length - content);
}

const Task task_passkey = {.name = "passkey",
                           .summary =
                               "seven digits behind a key word in random filler words (174 word tokens)",
                           .metric = METRIC_EXACT,
                           .vocab = FILLER + FILLERS,
                           .min_length = 64,
                           .open = plain_open,
                           .close = plain_close,
                           .sample = passkey_sample};
