#pragma once
#include "learn/recipe.h"

/* Every recipe with every seed, once. A sweep is a file:
 *   {"recipes": ["a.json", {"recipe": "a.json", "name": "wide", "set": {"width": 96}, "seeds": [0]}],
 *    "seeds": [0, 1], "folder": "out", "set": {"steps": 500}}
 * and what is asked of the models (bench/shared/ask.h).
 * A job is one training, NAME-sSEED: its checkpoint, its log and its claim lie in the folder. What is done is known by the
 * checkpoints, who works on what by locks on the claims: any number of processes, on any machine that sees the folder, take
 * jobs without a word to each other, and what a dead one had claimed is free again. */
typedef struct {
    char name[256];
    Recipe recipe;
    int64_t steps;                  /* of the whole training */
    char *checkpoint, *log, *claim; /* paths */
    int done, failed;               /* as this process has seen it */
} SweepJob;

typedef struct {
    SweepJob *jobs;
    int count;
    int64_t room; /* jobs that there is memory for */
    char *folder;
} Sweep;

/* Reads the file and all recipes, and makes the folder; folder: in place of the file's, or NULL. 0, or -1 with a message. */
int sweep_open(Sweep *sweep, const char *path, const char *folder, char *message, size_t size);

/* The models are those of a folder, MODELS/NAME-sSEED.safetensors, and none is trained. 0, or -1 with a message. */
int sweep_models(Sweep *sweep, const char *models, char *message, size_t size);
void sweep_close(Sweep *sweep);

/* Steps that the job's checkpoint has done; 0: there is none. -1 with a message: it is no checkpoint, or of another
 * training, and which key differs. */
int64_t sweep_steps(const SweepJob *job, char *message, size_t size);

/* What a claim says of its job. */
typedef struct {
    int64_t step;   /* of a training; tokens of what is asked */
    double seconds; /* of all processes that worked on it, up to now */
    int failed;     /* the last one could not go on */
    double written; /* when it was written: seconds since 1970; 0: never */
} SweepClaim;
SweepClaim sweep_claim(const char *claim);

/* Takes the job: a descriptor that holds the lock until it is closed or its process ends. SWEEP_BUSY when another process
 * has it; -1 with a message. */
enum { SWEEP_BUSY = -3 };
int sweep_take(const char *claim, char *message, size_t size);

/* Written by the one that has taken it. */
void sweep_tell(int claim, const SweepClaim *now);

/* Tokens of the training up to a step. */
int64_t sweep_tokens(const SweepJob *job, int64_t step);

/* The last row of a job's log: 0, or -1 when there is none. */
int sweep_last_row(const SweepJob *job, double *loss, double *match);
