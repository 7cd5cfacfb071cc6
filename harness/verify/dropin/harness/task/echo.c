/* A toy that the drop-in test adds: a symbol behind a mark is asked for again at the end. 16 tokens: 0 pad, 1 the mark,
 * 2 to 9 symbols, 10 to 15 filler. */
#include "base/random.h"
#include "task/shared/plain.h"

enum { MARK = 1, SYMBOL = 2, SYMBOLS = 8, FILLER = 10, FILLERS = 6 };

static void echo_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                        Sample *s) {
    Random random = random_stream(seed, index, 0x6563686f);
    const char pair[] = {MARK, (char)(SYMBOL + random_below(&random, SYMBOLS)), 0};
    const int64_t room = length - 4;
    const uint64_t filler = random_bits(&random);
    const double drawn = random_uniform(&random);
    (void)instance;
    s->depth = depth < 0.0 ? drawn : depth;
    s->needle = (int64_t)(s->depth * (double)room);
    sample_filler(s, filler, FILLER, FILLERS, s->needle);
    sample_text(s, pair);
    sample_filler(s, filler ^ 1, FILLER, FILLERS, room - s->needle);
    sample_answer(s, s->length + 1, 1);
    sample_text(s, pair);
}

const Task task_echo = {.name = "echo",
                        .summary = "a toy: a marked symbol again",
                        .metric = METRIC_EXACT,
                        .vocab = FILLER + FILLERS,
                        .min_length = 16,
                        .open = plain_open,
                        .close = plain_close,
                        .sample = echo_sample};
