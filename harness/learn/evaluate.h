#pragma once
#include "learn/score.h"
#include "learn/trained.h"

/* Held samples, streamed in constant memory and judged by the task's metric. For METRIC_EXACT a sample is right when
 * the most likely token at every position of its answers is the right one, which is greedy decoding. */
typedef struct {
    uint64_t seed; /* of the samples; disjoint from training by construction (evaluate_seed) */
    int64_t length, samples, batch, segment; /* segment: tokens a call; 0: 512 */
    double depth;                            /* negative: drawn per sample */
    int quiet;
} EvaluateOptions;

/* An evaluation over several processes. load: a state file to go on from, or NULL. save: where the state goes
 * every save_every tokens (0: never on the way), when the batch at hand has read stop_at tokens (0: never),
 * at an interrupt, and at the end. */
typedef struct {
    const char *load, *save;
    int64_t save_every, stop_at;
} EvaluateState;

/* What came out. correct: one flag per sample, or NULL. */
typedef struct {
    int64_t right; /* samples */
    Score sum;
    unsigned char *correct;
    int unsaved; /* a state could not be saved on the way; the message says why */
} Evaluated;

/* files may be NULL. 0 done, 1 stopped with the state saved, -1 with a message. */
int evaluate(Trained *trained, const EvaluateOptions *options, const EvaluateState *files, Evaluated *result,
             char *message, size_t size);

/* Samples of training and evaluation come from different streams of the same seed. */
uint64_t evaluate_seed(uint64_t seed);
