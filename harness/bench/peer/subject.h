#pragma once
#include <stddef.h>
#include <stdint.h>

/* What of ours a package is timed against: made from one line of a package's file, "KIND WORDS":
 *
 *   mixer NAME KEY=VALUE ..   a whole layer of that mixer, with keys as in a configuration (mixer.c)
 *   rule REMOVAL KEY=VALUE .. the recurrence alone: none, key, pair or momentum, decays, rates (rule.c)
 *   attention                 causal attention alone (attention.c)
 *
 * All of them have width 256 in 4 heads unless the words say otherwise. */
enum {
    SUBJECT_WIDTH = 256,
    SUBJECT_HEADS = 4,
    SUBJECT_HEAD = SUBJECT_WIDTH / SUBJECT_HEADS,
    SUBJECT_INPUTS = 8
};

typedef struct {
    const char *name;
    int rank;
    int64_t shape[4];
    float *data;
} SubjectTensor;

typedef struct {
    void *self;
    void (*forward)(void *self), (*both)(void *self), (*close)(void *self); /* both: forward, then backward */
    int inputs; /* what the package gets as well, so that outputs can be compared; 0: each has weights of its own */
    SubjectTensor in[SUBJECT_INPUTS], out;
} Subject;

/* 0, or -1 with a message. The words are cut up. */
typedef int SubjectMaker(char *words, int64_t batch, int64_t tokens, Subject *subject, char *message,
                         size_t size);
SubjectMaker subject_mixer, subject_rule, subject_attention;
int subject_open(const char *spec, int64_t batch, int64_t tokens, Subject *subject, char *message,
                 size_t size);

/* The next "KEY=VALUE" of `words`: 1, or 0 at the end. */
int subject_word(char **words, char **key, char **value);

int64_t subject_tensor_count(const SubjectTensor *tensor);
