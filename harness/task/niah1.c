/* S-NIAH-1 (RULER; "PK" in the paper's Table 2): a number hidden among repeated noise lines, bytes as tokens.
 */
#include "base/random.h"
#include "task/shared/needle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char noise[] =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n";
enum { LINE = sizeof noise - 1 };

typedef struct {
    int64_t words, side;
} NoiseOptions;

static const Field niah1_fields[] = {CHOICE_FIELD(NoiseOptions, words, "words", WORDS_NAMES, WORDS_MEANING),
                                     CHOICE_FIELD(NoiseOptions, side, "side", SIDES, SIDE_MEANING),
                                     FIELD_END};

static void *niah1_open(const void *options, char *message, size_t size) {
    const NoiseOptions *o = options;
    Words *words = calloc(1, sizeof *words);
    if (words && !words_open(words, (WordsName)o->words, (Side)o->side, message, size)) return words;
    if (!words) snprintf(message, size, "no memory for the words of keys");
    free(words);
    return 0;
}

static void niah1_close(void *instance) {
    words_close(instance);
    free(instance);
}

static void niah1_data(const void *instance, TaskData *data) {
    const Words *words = instance;
    *data = (TaskData){.words_origin = words->origin, .words = words->hash};
}

/* Before a line of noise. */
static void place_line(Sample *s, const NeedleText *text, int64_t lines, int64_t line) {
    s->depth = lines > 1 ? (double)line / (double)(lines - 1) : 0.0;
    sample_repeat(s, (const unsigned char *)noise, LINE, 0, line * LINE);
    s->needle = s->length;
    sample_text(s, text->needle[0]);
    if (lines > line) sample_text(s, "\n");
    sample_repeat(s, (const unsigned char *)noise, LINE, 0, (lines - line) * LINE - 1);
}

/* Before the word that is nearest, where there are too few lines for the depth that is wanted. */
static void place_word(Sample *s, const NeedleText *text, int64_t lines, double depth) {
    const int64_t room = lines * LINE - 1;
    int64_t at = (int64_t)(depth * (double)room + 0.5);
    while (at > 0 && noise[(at - 1) % LINE] != ' ' && noise[(at - 1) % LINE] != '\n') at--;
    s->depth = (double)at / (double)room;
    sample_repeat(s, (const unsigned char *)noise, LINE, 0, at);
    s->needle = s->length;
    sample_text(s, text->needle[0]);
    sample_text(s, " ");
    sample_repeat(s, (const unsigned char *)noise, LINE, at, room - at);
}

static void niah1_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         Sample *s) {
    NeedleText text;
    Random random = random_stream(seed, index, 0x6e6f6973);
    needle_text(instance, seed, index, &(NeedleKind){NEEDLE_NUMBER, 1, 1, 1}, 0, &text);
    const int64_t lines = (length - needle_around(&text) + 1) / LINE, last = lines > 0 ? lines - 1 : 0;
    const int64_t drawn = lines > 0 ? (int64_t)random_below(&random, (uint64_t)lines) : 0;
    const int64_t line = depth < 0.0 ? drawn : (int64_t)(depth * (double)last + 0.5);
    const double got = last > 0 ? (double)line / (double)last : 0.0;
    sample_text(s, text.before);
    if (depth >= 0.0 && lines > 0 && fabs(got - depth) > NEEDLE_REACH)
        place_word(s, &text, lines, depth);
    else
        place_line(s, &text, lines, line);
    needle_finish(s, &text, (const unsigned char *)noise, LINE, length);
}

const Task task_niah1 = {.name = "niah1",
                         .summary = "S-NIAH-1: a number in repeated noise lines (bytes)",
                         .metric = METRIC_EXACT,
                         .vocab = 256,
                         .min_length = 512,
                         .fields = niah1_fields,
                         .open = niah1_open,
                         .close = niah1_close,
                         .data = niah1_data,
                         .sample = niah1_sample};
