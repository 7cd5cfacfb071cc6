#pragma once
#include "task/shared/words.h"
#include "task/task.h"

/* What RULER's single needles share (S-NIAH; NVIDIA/RULER): the key adjective-noun, the value (seven digits,
 * or a random UUID), the needle sentence, the prompt before and the question after the context, bytes as
 * tokens. */
/* A depth that is asked for is given to within a third; where sentences or lines are too few for that it is a word's
 * place. Tables say where the needle was. (In English prose of 2,000 bytes and more sentences never miss by so much:
 * published samples are what they were.) */
#define NEEDLE_REACH 0.34

typedef enum { NEEDLE_NUMBER, NEEDLE_UUID } NeedleValue;
typedef struct {
    char needle[160], before[160], after[320], value[40];
} NeedleText;

void needle_text(const Words *words, uint64_t seed, uint64_t index, NeedleValue kind, NeedleText *text);

/* Bytes of everything but the haystack. */
int64_t needle_around(const NeedleText *text);

/* Appends the question and the answer, records the answer's place, and fills up to `length` with the
 * haystack's bytes. */
void needle_finish(Sample *sample, const NeedleText *text, const unsigned char *haystack, int64_t period,
                   int64_t length);

/* Prose as haystack (S-NIAH-2 and -3). Each sample starts at a random sentence of the text, which repeats when it is
 * too short; the needle stands before a sentence at one of 40 depths, or before a word where the text has no sentences to
 * choose from. Functions of a Task. */
extern const Field needle_prose_fields[];
void *needle_prose_open(const void *options, char *message, size_t size);
void needle_prose_close(void *instance);
void needle_prose_data(const void *instance, TaskData *data);
void needle_prose_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         NeedleValue kind, Sample *sample);
