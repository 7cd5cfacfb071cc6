#pragma once
#include "model/model.h"
#include "task/task.h"

/* A checkpoint together with the task it is asked. */
typedef struct {
    Model model;
    TrainConfig train;
    const Task *task;
} Trained;

/* task, haystack: what replaces those of the training, or NULL; length: the sequences that will be asked, or 0. The task is
 * ready to give samples. 0, or -1 with a message; model_free(&model) releases. */
int trained_open(Trained *trained, const char *file, const char *task, const char *haystack, int64_t length,
                 char *message, size_t size);

/* One probe for every layer with a memory, for a call of `tokens` tokens of one sequence; all zeros. */
Probe *trained_probes(const Model *model, int64_t tokens, Arena *arena, int *count);

/* Mean over the heads of row t of a probe's array. */
double trained_head_mean(const Model *model, const float *rows, int64_t t);
