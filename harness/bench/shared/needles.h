#pragma once
#include "learn/trained.h"
#include "terminal/tsv.h"

/* Exact match of checkpoints by length and depth: what is asked, and the rows of it. */

enum { NEEDLES_MOST = 64, NEEDLES_DEPTHS = 100, NEEDLES_KEYS = 8, NEEDLES_SET = 256, NEEDLES_NAME = 64 };

/* A checkpoint, and the keys "key=value" that it is asked with. Texts are the caller's. */
typedef struct {
    const char *file, *assignment[NEEDLES_KEYS];
    int assignments;
    int64_t limit;         /* tokens; longer sequences are left out */
    char set[NEEDLES_SET]; /* "key=value key=value", "-" without */
} NeedleSubject;

typedef struct {
    Asked asked;
    NeedleSubject subjects[NEEDLES_MOST];
    int count, length_count, with_set; /* with_set: the table has a column for the keys */
    int64_t with_answers;              /* and one for the share of answers that were found */
    int resume;                        /* lengths that the table has are kept */
    int64_t lengths[NEEDLES_MOST], samples, long_samples, depths, batch,
        seed; /* long_samples: above 128K tokens; 0: as samples */
    /* After every length of every checkpoint: what came out, and the tokens that were read; or NULL. */
    void (*after)(void *context, const char *line, int64_t tokens);
    void *context;
} Needles;

/* Defaults. */
void needles_begin(Needles *needles);

/* One more checkpoint; NULL when there is no room. */
NeedleSubject *needles_add(Needles *needles, const char *file);

/* One more "key=value" for a checkpoint; -1 with a message when there is no room. */
int needles_set(Needles *needles, NeedleSubject *subject, const char *assignment, char *message, size_t size);

/* Header row of the table. */
const char *needles_columns(const Needles *needles);

/* Samples of a length, and tokens of all that a checkpoint is asked. */
int64_t needles_samples(const Needles *needles, int64_t length);
int64_t needles_tokens(const Needles *needles, const NeedleSubject *subject);

/* A row for each length and depth, one for each length, and notes of what they depend on. 0, 1 interrupted after a length,
 * or -1 with a message. */
int needles_measure(const Needles *needles, Tsv *table, char *message, size_t size);

/* Which samples of a length checkpoint i has right, needles_samples flags in the order of the depths; name: its mixer. All
 * checkpoints get the same samples. 0, 1 interrupted, or -1 with a message. */
int needles_right(const Needles *needles, int i, int64_t length, unsigned char *right,
                  char name[NEEDLES_NAME], char *message, size_t size);
