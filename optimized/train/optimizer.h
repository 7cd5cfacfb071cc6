#pragma once
#include "model/model.h"

/* AdamW with linear warm-up, cosine decay and clipping by the global gradient norm. */
typedef struct {
    float *m, *v;          /* model.list.floats each */
    double power1, power2; /* beta1^step, beta2^step, kept by multiplication: the same bits everywhere */
    int64_t step;
} Optimizer;

int optimizer_create(Optimizer *optimizer, const Model *model, char *message, size_t size);
void optimizer_free(Optimizer *optimizer);

/* Learning rate of step (0-based) out of `steps`. */
double optimizer_rate(const TrainConfig *train, int64_t step, int64_t steps);

/* Applies model->grads and clears them. Returns the gradient norm; when it is not finite nothing is changed
 * and *bad names the first parameter at fault. */
double optimizer_step(Optimizer *optimizer, Model *model, const TrainConfig *train, double rate,
                      const char **bad);
