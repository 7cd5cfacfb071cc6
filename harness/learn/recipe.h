#pragma once
#include "file/settings.h"
#include "task/task.h"
#include "train/optimizer.h"

/* What is trained and how: a model, a task with its own keys, and the training's. A recipe file is one JSON object
 * with all of them; a checkpoint keeps them. */
typedef struct {
    Config model;
    char task_name[32];
    const Task *task;
    _Alignas(16) unsigned char task_options[TASK_OPTIONS];
    int64_t seed, batch, shards, steps, save_every;
    char curriculum[1024]; /* "64:1200 128:400": sequence length : steps, scaled to `steps` */
    char from[PATH_TEXT];
    int64_t task_version;                /* that the task must have; 0: any */
    char prose_hash[24], words_hash[24]; /* what the texts must be; "": any */
    OptimizerOptions optimizer;
    double penalty, penalty_from, lm_weight;
} Recipe;

#define DEFAULT_TASK "passkey"

/* Everything at its default, for the named mixer and task. 0, or -1 with a message. */
int recipe_defaults(Recipe *recipe, const char *mixer, const char *task, char *message, size_t size);

/* From an object of settings over the defaults of its mixer and task. shared: keys that only other mixers or tasks
 * have are passed over. 0, or -1 with a message. */
int recipe_read(const struct cJSON *object, Recipe *recipe, int shared, char *message, size_t size);

/* The same from a file (NULL: an empty object) and assignments "key=value" put over it. */
int recipe_open(Recipe *recipe, const char *file, const char *const *assignment, int count, int shared,
                char *message, size_t size);

/* What a checkpoint says of the training, into a recipe whose model is set already; and that text (malloc). */
int recipe_restore(Recipe *recipe, const char *train, char *message, size_t size);
char *recipe_text(const Recipe *recipe);

/* Another task, or a key of the task, in place of the recipe's. 0, or -1 with a message. */
int recipe_set_task(Recipe *recipe, const char *task, char *message, size_t size);
int recipe_set_task_key(Recipe *recipe, const char *key, const char *value, char *message, size_t size);

/* One line per key for --help: the training's, then those of tasks. */
void recipe_describe(char *text, size_t size);

/* Whether an open task is the one that the recipe was written for, and from now on it is. 0, or -1 with a message that
 * says what differs. */
int recipe_pin(Recipe *recipe, const OpenTask *task, char *message, size_t size);

/* Whether the prose of an open task is that of the training, as far as the recipe says it. */
int recipe_has_prose(const Recipe *recipe, const OpenTask *task);

/* Sequence length of a step under the curriculum; steps: of the whole run. -1 where the text is malformed. Lengths are at
 * most CURRICULUM_LENGTH tokens, all steps together 10^9. */
enum { CURRICULUM_LENGTH = 1 << 24 };
int64_t curriculum_steps(const char *curriculum);
int64_t curriculum_length(const char *curriculum, int64_t step, int64_t steps);
int64_t curriculum_tokens(const char *curriculum, int64_t step,
                          int64_t steps); /* of a sequence, from a step on */
void curriculum_bounds(const char *curriculum, int64_t *shortest, int64_t *longest);
