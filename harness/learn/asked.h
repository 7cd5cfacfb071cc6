#pragma once
#include "learn/recipe.h"

#include <argp.h>

/* What an evaluation asks in place of what the checkpoint says: names, or NULL. The side is the one that was not trained on
 * unless another is named. */
typedef struct {
    const char *task, *haystack, *words, *side;
    int several; /* checkpoints of several tasks are asked: tasks without such a key pass it over */
} Asked;

/* An argp child that reads --task, --haystack, --words and --side; the parent gives it its Asked at ARGP_KEY_INIT. */
extern const struct argp asked_argp;

/* 0, or -1 with a message. */
int asked_apply(const Asked *asked, Recipe *recipe, char *message, size_t size);

/* One "key=value" of a model that is asked, which changes no weight. 0, or -1 with a message. */
int asked_key(Config *config, const char *assignment, char *message, size_t size);
