#pragma once
#include "base/field.h"

/* A task yields samples; a sample is a function of (task, its options, seed, index, length, depth) and is never stored
 * whole: rows are produced for any range, so a sequence of millions of tokens takes no memory. */
enum {
    SAMPLE_PIECES = 24,
    SAMPLE_STORE = 2048,
    SAMPLE_ANSWERS = 16,
    SAMPLE_CLASSES = 64,
    TASK_OPTIONS = 8192,
    PATH_TEXT = 4096 /* characters of a path, its end included */
};

/* A run of tokens: bytes repeated with a period, or random filler. */
typedef struct {
    int64_t length;
    const unsigned char *bytes; /* token i is bytes[(offset + i) % period]; NULL: filler */
    int64_t period, offset;
    uint64_t seed; /* of filler: token i is base + random(seed, i) % classes */
    int32_t base, classes;
} Piece;

/* Positions of tokens that are asked for. */
typedef struct {
    int64_t begin, length;
} Answer;

typedef struct {
    Piece pieces[SAMPLE_PIECES];
    int count;
    int64_t length; /* sum of the pieces */
    int64_t needle; /* where what has to be remembered stands */
    double depth;   /* the same as a share, 0 first .. 1 last: where it is, not where it was wanted */
    Answer answers[SAMPLE_ANSWERS]; /* in ascending order, not overlapping */
    int answer_count;
    int32_t classes[SAMPLE_CLASSES]; /* METRIC_CLASS: the tokens among which the answer is chosen */
    int class_count;
    int choices, right; /* METRIC_CHOICE: how many texts there are to choose from, and which is right */
    uint64_t seed;      /* for tasks that make their rows themselves */
    unsigned char store[SAMPLE_STORE];
    int stored;
} Sample;

/* What an answer is judged by (learn/score.h has the definitions). */
typedef enum {
    METRIC_EXACT,  /* every token of every answer is the likeliest */
    METRIC_TOKENS, /* share of such tokens */
    METRIC_LOSS,   /* nats and bits per token asked for */
    METRIC_CHOICE, /* the likeliest of `choices` texts is the right one */
    METRIC_CLASS,  /* the likeliest of `classes` is the right one */
    METRIC_SQUARED /* mean squared error of the numbers asked for */
} Metric;

/* Rows [from, from + count) of a sample, as far as the task has them. */
typedef struct {
    int32_t *tokens;  /* count; past the end of the sample 0 */
    float *features;  /* count x task->features */
    int32_t *targets; /* count: the token after each position where that token is asked for, else -1; for
                         METRIC_SQUARED 0 where numbers are asked for */
    float *values;    /* count x task->outputs: the numbers asked for */
} SampleRows;

/* What samples are made of from outside: for people, "bible, New Testament", or NULL; hashes of the texts and the word
 * lists as they are used, 0 where there are none. */
typedef struct {
    const char *prose_origin, *words_origin;
    uint64_t prose, words;
} TaskData;

/* One task = one file in this folder that defines `const Task task_NAME`. */
typedef struct {
    const char *name, *summary;
    int version; /* 0 first; counts changes after which the same seed gives other samples */
    Metric metric;
    int64_t vocab;    /* token classes, or numbers predicted a row (METRIC_SQUARED) */
    int64_t features; /* numbers of an input row; 0: the input is tokens */
    int64_t min_length;
    const char *held;    /* the task that asks what this one does not train on, or NULL */
    const Field *fields; /* its own keys; they describe `options`, of at most TASK_OPTIONS bytes */
    /* Loads what samples need: an instance, to be closed. NULL with a message. */
    void *(*open)(const void *options, char *message, size_t size);
    void (*close)(void *instance);
    void (*data)(const void *instance, TaskData *data); /* NULL: nothing from outside */
    int64_t (*longest)(const void *instance); /* the longest sample that repeats nothing; NULL: any length */
    /* depth in [0, 1], or negative: drawn. length >= min_length; the sample has exactly that length. */
    void (*sample)(const void *instance, uint64_t seed, uint64_t index, int64_t length, double depth,
                   Sample *sample);
    /* METRIC_CHOICE: the sample with its j-th text as the answer. */
    void (*choose)(const void *instance, Sample *sample, int choice);
    /* Rows of a sample; NULL: those of its pieces and answers (sample_read). */
    void (*read)(const void *instance, const Sample *sample, int64_t from, int64_t count,
                 const SampleRows *rows);
} Task;

const Task *task_find(const char *name);
const Task *task_at(int i);      /* NULL past the end */
int task_known(const char *key); /* some task has the key */

/* A task whose instance is open. */
typedef struct {
    const Task *task;
    void *instance;
} OpenTask;
int task_open(OpenTask *open, const Task *task, const void *options, char *message, size_t size);
void task_close(OpenTask *open);
void task_sample(const OpenTask *open, uint64_t seed, uint64_t index, int64_t length, double depth,
                 Sample *sample);
void task_read(const OpenTask *open, const Sample *sample, int64_t from, int64_t count,
               const SampleRows *rows);
TaskData task_data(const OpenTask *open);
int64_t task_longest(const OpenTask *open);
int task_fits(const OpenTask *open, int64_t length, char *message,
              size_t size); /* -1 with a message: too long */

/* For tasks. Positions are those reached so far. */
void sample_text(Sample *sample, const char *text); /* copied */
void sample_repeat(Sample *sample, const unsigned char *bytes, int64_t period, int64_t offset,
                   int64_t length);
void sample_filler(Sample *sample, uint64_t seed, int32_t base, int32_t classes, int64_t length);
void sample_answer(Sample *sample, int64_t begin, int64_t length);

/* Tokens, and targets unless NULL, of pieces and answers. */
void sample_read(const Sample *sample, int64_t from, int64_t count, int32_t *tokens, int32_t *targets);
int64_t sample_asked(const Sample *sample); /* tokens of all answers */
