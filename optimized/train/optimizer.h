#pragma once
#include "model/model.h"

typedef struct {
    double rate, final_rate, beta1, beta2, decay, clip;
    int64_t warmup;
} OptimizerOptions;

/* The keys of OptimizerOptions, member `m` of a struct S. */
#define OPTIMIZER_FIELDS(S, m)                                                                               \
    INTEGER_FIELD(S, m.warmup, "warmup", 0, 1e9, 50, "steps of linear warm-up"),                             \
        REAL_FIELD(S, m.rate, "rate", 0, 10, 2e-3, "peak learning rate"),                                    \
        REAL_FIELD(S, m.final_rate, "final_rate", 0, 1, 0.1, "end of the cosine, as a share of rate"),       \
        REAL_FIELD(S, m.beta1, "beta1", 0, 0.9999, 0.9, "AdamW"),                                            \
        REAL_FIELD(S, m.beta2, "beta2", 0, 0.999999, 0.98, "AdamW"),                                         \
        REAL_FIELD(S, m.decay, "decay", 0, 10, 0.01, "AdamW weight decay, on matrices only"),                \
        REAL_FIELD(S, m.clip, "clip", 0, 1e9, 1, "largest gradient norm")

/* AdamW with linear warm-up, cosine decay and clipping by the global gradient norm. */
typedef struct {
    float *m, *v;          /* model.list.floats each */
    double power1, power2; /* beta1^step, beta2^step, kept by multiplication: the same bits everywhere */
    int64_t step;
} Optimizer;

int optimizer_create(Optimizer *optimizer, const Model *model, char *message, size_t size);
void optimizer_free(Optimizer *optimizer);

/* Learning rate of step (0-based) out of `steps`. */
double optimizer_rate(const OptimizerOptions *options, int64_t step, int64_t steps);

/* Applies model->grads and clears them. Returns the gradient norm; when it is not finite nothing is changed
 * and *bad names the first parameter at fault. */
double optimizer_step(Optimizer *optimizer, Model *model, const OptimizerOptions *options, double rate,
                      const char **bad);
