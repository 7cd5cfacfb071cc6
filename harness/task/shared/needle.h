#pragma once
#include "task/shared/words.h"
#include "task/task.h"

/* What RULER's needles share (NVIDIA/RULER, niah): the keys adjective-noun, the values (seven digits, or a random UUID), the
 * needle sentences, the prompt before and the question after the context, bytes as tokens. */

/* A depth that is asked for is given to within a third; where sentences or lines are too few for that it is a word's
 * place. Tables say where the needle was. (In English prose of 2,000 bytes and more sentences never miss by so much:
 * published samples are what they were.) */
#define NEEDLE_REACH 0.34

typedef enum { NEEDLE_NUMBER, NEEDLE_UUID } NeedleValue;

/* How many keys the haystack has, values of each of them, and keys that are asked for: RULER's num_needle_k, _v and _q. */
typedef struct {
    NeedleValue value;
    int keys, values, queries;
} NeedleKind;

enum { NEEDLES = 4 /* at most, keys times values */ };
typedef struct {
    int count, answers;
    char needle[NEEDLES][160]; /* as they follow in the haystack */
    char before[160], after[640];
    char answer[200];         /* the values asked for, "a" or "a, b, c, and d" as RULER lists the keys */
    int begin[NEEDLES], size; /* where each of them begins in it, and their bytes */
} NeedleText;

/* Keys differ. `first` is the needle, counted in the haystack, whose key is asked for, or asked for first; values of one
 * key are answered as they follow in the haystack. */
void needle_text(const Words *words, uint64_t seed, uint64_t index, const NeedleKind *kind, int first,
                 NeedleText *text);

/* Bytes of everything but the haystack; a blank or a line end goes with every needle. */
int64_t needle_around(const NeedleText *text);

/* Appends the question and the answers, records the places of the values, and fills up to `length` with the
 * haystack's bytes. */
void needle_finish(Sample *sample, const NeedleText *text, const unsigned char *haystack, int64_t period,
                   int64_t length);

/* Prose as haystack (all but S-NIAH-1). Each sample starts at a random sentence of the text, which repeats when it is
 * too short; needles stand before sentences at different ones of 40 depths, or before words where the text has no sentences
 * to choose from. A depth that is asked for is that of the needle asked for first, or, of several values of one key, of any
 * one. Functions of a Task. */
extern const Field needle_prose_fields[];
void *needle_prose_open(const void *options, char *message, size_t size);
void needle_prose_close(void *instance);
void needle_prose_data(const void *instance, TaskData *data);
void needle_prose_sample(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                         const NeedleKind *kind, Sample *sample);
