#pragma once
#include "base/random.h"
#include "learn/recipe.h"
#include "train/optimizer.h"

/* A model in training on random tokens, `batch` sequences of `length`. */
typedef struct {
    Model model;
    Optimizer optimizer;
    OptimizerOptions how;
    Arena arena;
    Random random;
    int64_t batch, length;
    const char *bad; /* what is not finite, in some step */
} Step;

/* 0, or -1 with a message. */
int step_create(Step *s, const Recipe *recipe, int64_t batch, int64_t length, char *message, size_t size);
void step_free(Step *s);

/* One whole step, context a Step: forward, backward, optimizer. */
void step_once(void *context);
