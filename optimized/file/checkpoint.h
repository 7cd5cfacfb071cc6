#pragma once
#include "file/safetensors.h"
#include "train/optimizer.h"

/* A training run on disk: weights, optimizer state, the model's configuration, what the trainer says of itself (a JSON
 * text of its own) and the progress. Nothing in it depends on the instruction set, the number of threads or the time of
 * day. The state of the random numbers is (seed, step): a sample is a function of the task, the seed and its index.
 * Numbers that are not finite are neither written nor read. */
typedef struct {
    int64_t step;               /* optimizer steps done */
    double match;               /* running mean of exact match */
    int64_t penalised;          /* the write-sparsity penalty has been switched on */
    double row_loss, row_match; /* sums over the row_steps steps since the log's last row */
    int64_t row_steps;
} Progress;

/* optimizer NULL: weights only, a third of the size, nothing to resume from. 0, or -1 with a message. */
int checkpoint_save(const char *path, const Model *model, const Optimizer *optimizer, const char *train,
                    const Progress *progress, char *message, size_t size);

/* Creates the model, and the optimizer unless NULL, which wants a file that has one; *train becomes the trainer's text
 * (malloc), progress what it was, unless NULL. memory: of the model, NULL the system's. Refuses files whose tensors do
 * not fit the configuration. */
int checkpoint_read(const SafeFile *file, const Allocator *memory, Model *model, Optimizer *optimizer,
                    char **train, Progress *progress, char *message, size_t size);

/* The same of the file at a path. */
int checkpoint_load(const char *path, const Allocator *memory, Model *model, Optimizer *optimizer,
                    char **train, Progress *progress, char *message, size_t size);
