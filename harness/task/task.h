#pragma once
#include <stddef.h>
#include <stdint.h>

/* A task yields samples; a sample is a function of (task, seed, index, length, depth) and is never stored
 * whole: tokens are produced for any range, so a sequence of millions of tokens takes no memory. */
enum { SAMPLE_PIECES = 8, SAMPLE_STORE = 1024 };

/* A run of tokens: bytes repeated with a period, or random filler. */
typedef struct {
    int64_t length;
    const unsigned char *bytes; /* token i is bytes[(offset + i) % period]; NULL: filler */
    int64_t period, offset;
    uint64_t seed; /* of filler: token i is base + random(seed, i) % classes */
    int32_t base, classes;
} Piece;

typedef struct {
    Piece pieces[SAMPLE_PIECES];
    int count;
    int64_t length;                        /* sum of the pieces */
    int64_t needle, answer, answer_length; /* positions; the answer's tokens are what is asked for */
    double depth;                          /* where the needle is, 0 first .. 1 last */
    unsigned char store[SAMPLE_STORE];
    int stored;
} Sample;

typedef struct {
    const char *name, *summary;
    int64_t vocab, min_length;
    int takes_haystack;
    /* Loads what samples need; haystack: a text file, or "" for the task's own. 0, or -1 with a message. */
    int (*open)(const char *haystack, char *message, size_t size);
    /* depth in [0, 1], or negative: drawn. length >= min_length; the sample has exactly that length. */
    void (*sample)(uint64_t seed, uint64_t index, int64_t length, double depth, Sample *sample);
} Task;

const Task *task_find(const char *name);
const Task *task_at(int i); /* NULL past the end */

/* For tasks. Positions are those reached so far. */
void sample_text(Sample *sample, const char *text); /* copied */
void sample_repeat(Sample *sample, const unsigned char *bytes, int64_t period, int64_t offset,
                   int64_t length);
void sample_filler(Sample *sample, uint64_t seed, int32_t base, int32_t classes, int64_t length);

/* Tokens [from, from + count); past the end: 0. Targets: the token after each position where that token
 * belongs to the answer, else -1. */
void sample_read(const Sample *sample, int64_t from, int64_t count, int32_t *tokens, int32_t *targets);
