#pragma once
#include "learn/trainer.h"
#include "terminal/tsv.h"

/* A training from where it is to its end: steps, saves, the log's rows, what is held out, and what is shown of it.
 * Rank 0 alone writes and speaks. */
typedef struct {
    const char *who, *out; /* who speaks; the checkpoint */
    Tsv *log;              /* or one that is not open */
    int resumed;           /* rows of an earlier process are kept, up to the step */
    int quiet;             /* says nothing unless something is wrong */
    void (*after)(void *context, const Trainer *trainer); /* a step; or NULL */
    void *context;
} TrainingOptions;

/* What becomes of a table that is there, as tsv_open. */
int training_log(Tsv *log, const char *path, TsvMode mode, int argc, char **argv, char *message, size_t size);

/* 0 done; 1 stopped by a signal, with everything saved; -1 with a message, TREE_LOST when a rank cannot be reached. */
int training_run(Trainer *trainer, const TrainingOptions *options, char *message, size_t size);
