#pragma once
#include "task.h"

/* What RULER's single needles share (S-NIAH; NVIDIA/RULER): the key adjective-noun, the seven-digit number,
 * the needle sentence, the prompt before and the question after the context, bytes as tokens. */
typedef struct {
    char needle[160], before[160], after[320], number[8];
} NeedleText;

/* Loads the word lists; call once from a task's open. */
void needle_words(void);

void needle_text(uint64_t seed, uint64_t index, NeedleText *text);

/* Appends the question and the answer, records the answer's place, and fills up to `length` with the
 * haystack's bytes. */
void needle_finish(Sample *sample, const NeedleText *text, const unsigned char *haystack, int64_t period,
                   int64_t length);
