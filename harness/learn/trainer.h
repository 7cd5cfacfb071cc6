#pragma once
#include "file/checkpoint.h"
#include "learn/ranks.h"
#include "learn/recipe.h"

/* A training run: the same recipe gives the same bits on every machine, with any number of threads and ranks, and
 * whether or not it was interrupted. */
typedef struct {
    Model model;
    Optimizer optimizer;
    Recipe recipe;
    Progress progress;
    OpenTask task;
    int64_t steps; /* of the whole run */
    Ranks ranks;   /* who trains it: this process alone, or trainer_ranks */
    Arena arena;
} Trainer;

typedef struct {
    double loss, match, rate, gradient;
    int64_t length, tokens;
} StepReport;

/* A new run; a vocab (and features) of 0 takes the task's. 0, or -1 with a message. */
int trainer_create(Trainer *trainer, const Recipe *recipe, char *message, size_t size);
/* A run that stopped; haystack: where its text lies now, which must be the same, or NULL. */
int trainer_load(Trainer *trainer, const char *path, const char *haystack, char *message, size_t size);
int trainer_save(const Trainer *trainer, const char *path, char *message, size_t size);
void trainer_free(Trainer *trainer);

/* The run is shared by these ranks, each of which has created or loaded it with this status. 0; -1 on all of them with a
 * message that says what is wrong on which; TREE_LOST when a rank cannot be reached. */
int trainer_ranks(Trainer *trainer, const Ranks *ranks, int status, char *message, size_t size);

/* One optimizer step, the same on all ranks. -1 with a message when loss or gradient is not finite, or TREE_LOST when a
 * rank cannot be reached; nothing has been changed then. */
int trainer_step(Trainer *trainer, StepReport *report, char *message, size_t size);
