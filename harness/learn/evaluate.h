#pragma once
#include "model/model.h"
#include "task/task.h"

/* Exact match on held samples: the sequence is streamed in segments of constant memory; a sample is right
 * when the most likely token at every position of its answer is the right one, which is greedy decoding. */
typedef struct {
    uint64_t seed; /* of the samples; disjoint from training by construction (evaluate_seed) */
    int64_t length, samples, batch, segment;
    double depth; /* negative: drawn per sample */
    int quiet;
} EvaluateOptions;

/* correct: one flag per sample; depths may be NULL. Returns the number right. */
int64_t evaluate(Model *model, const Task *task, const EvaluateOptions *options, unsigned char *correct,
                 double *depths);

/* The same over several processes. load: a state file to go on from, or NULL. save: where the state goes
 * every save_every tokens (0: never on the way), when the batch at hand has read stop_at tokens (0: never),
 * at an interrupt, and at the end. 0 done, 1 stopped with the state saved, -1 with a message. */
typedef struct {
    const char *load, *save;
    int64_t save_every, stop_at;
} EvaluateState;
int evaluate_resumable(Model *model, const Task *task, const EvaluateOptions *options,
                       const EvaluateState *files, unsigned char *correct, char *message, size_t size);

/* Samples of training and evaluation come from different streams of the same seed. */
uint64_t evaluate_seed(uint64_t seed);
