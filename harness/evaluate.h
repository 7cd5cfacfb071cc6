#pragma once
#include "model/model.h"
#include "task.h"

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

/* Samples of training and evaluation come from different streams of the same seed. */
uint64_t evaluate_seed(uint64_t seed);
