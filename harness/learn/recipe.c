#include "learn/recipe.h"
#include "base/hash.h"
#include "base/size.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURRICULUM_STEPS = 1000000000, RECIPE_REASON = 6144 };

static const Field training_fields[] = {
    TEXT_FIELD(Recipe, task_name, "task", DEFAULT_TASK, "task: a name from harness/task/"),
    INTEGER_FIELD(Recipe, seed, "seed", 0, 9007199254740992.0, 0, "seed of weights and samples"),
    INTEGER_FIELD(Recipe, batch, "batch", 1, 1 << 16, 32, "sequences per step"),
    INTEGER_FIELD(
        Recipe, shards, "shards", 1, 1 << 16, 1,
        "parts of a batch, a power of two: each has a gradient, added by a fixed tree; what ranks share"),
    INTEGER_FIELD(Recipe, steps, "steps", 0, 1e9, 0, "optimizer steps; 0: the sum of the curriculum"),
    INTEGER_FIELD(Recipe, save_every, "save_every", 1, 1e9, 200, "steps between checkpoints"),
    TEXT_FIELD(Recipe, curriculum, "curriculum", "64:1000", "length:steps pairs, in order"),
    TEXT_FIELD(Recipe, from, "from", "", "checkpoint to start from: its weights, and its keys of the model"),
    INTEGER_FIELD(
        Recipe, task_version, "task_version", 0, 1e6, 0,
        "what the task's samples must be, with the two that follow: a checkpoint has those of its training"),
    TEXT_FIELD(Recipe, prose_hash, "prose_hash", "", "hash of the prose; empty: any"),
    TEXT_FIELD(Recipe, words_hash, "words_hash", "", "hash of the word lists; empty: any"),
    OPTIMIZER_FIELDS(Recipe, optimizer),
    REAL_FIELD(Recipe, penalty, "penalty", 0, 100, 0,
               "weight of the write-sparsity penalty on alpha and theta"),
    REAL_FIELD(Recipe, lm_weight, "lm_weight", 0, 100, 0,
               "weight of next-token loss on all other tokens, until the penalty is on"),
    REAL_FIELD(Recipe, penalty_from, "penalty_from", 0, 1, 0.7,
               "mean exact match at which the penalty is switched on for good"),
    FIELD_END,
};

static int known(const char *key) { return task_known(key) || field_find(training_fields, key) != 0; }

static void recipe_sets(Recipe *r, FieldSet sets[2]) {
    sets[0] = (FieldSet){"training", training_fields, r};
    sets[1] = (FieldSet){r->task->name, r->task->fields, r->task_options};
}

static const char *task_name(int i) { return task_at(i) ? task_at(i)->name : 0; }

int recipe_set_task(Recipe *r, const char *name, char *message, size_t size) {
    r->task = task_find(name);
    if (r->task) {
        snprintf(r->task_name, sizeof r->task_name, "%s", name);
        r->task_version = 0;
        r->prose_hash[0] = r->words_hash[0] = 0;
        field_defaults(r->task->fields, r->task_options);
        return 0;
    }
    word_unknown("task", name, task_name, message, size);
    return -1;
}

int recipe_set_task_key(Recipe *r, const char *key, const char *value, char *message, size_t size) {
    const Field *f = field_find(r->task->fields, key);
    const FieldSet set = {r->task->name, r->task->fields, r->task_options};
    if (f) return field_set_text(f, r->task_options, value, message, size);
    field_unknown(&set, 1, key, message, size);
    return -1;
}

int recipe_defaults(Recipe *r, const char *mixer, const char *task, char *message, size_t size) {
    *r = (Recipe){.task = 0};
    field_defaults(training_fields, r);
    if (config_defaults(&r->model, mixer, message, size)) return -1;
    return recipe_set_task(r, task, message, size);
}

int recipe_read(const cJSON *object, Recipe *r, int shared, char *message, size_t size) {
    FieldSet sets[2];
    const cJSON *task = cJSON_GetObjectItemCaseSensitive(object, "task");
    if (task && !settings_text(task)) return snprintf(message, size, "\"task\" must be a name"), -1;
    if (recipe_defaults(r, DEFAULT_MIXER, task ? settings_text(task) : DEFAULT_TASK, message, size))
        return -1;
    recipe_sets(r, sets);
    const SettingsSource source = {sets, 2, shared, known};
    return settings_read(object, &r->model, &source, message, size);
}

int recipe_open(Recipe *r, const char *file, const char *const *assignment, int count, int shared,
                char *message, size_t size) {
    char reason[RECIPE_REASON];
    cJSON *object = file ? settings_open(file, message, size) : cJSON_CreateObject();
    if (!object) return -1;
    int status = 0;
    for (int i = 0; !status && i < count; i++) status = settings_assign(object, assignment[i], message, size);
    if (!status && recipe_read(object, r, shared, reason, sizeof reason)) {
        snprintf(message, size, "%s%s%s", file ? file : "", file ? ": " : "", reason);
        status = -1;
    }
    cJSON_Delete(object);
    return status;
}

int recipe_restore(Recipe *r, const char *train, char *message, size_t size) {
    const Config model = r->model;
    cJSON *object = settings_parse(train, message, size);
    const int status = object ? recipe_read(object, r, 1, message, size) : -1;
    cJSON_Delete(object);
    r->model = model;
    return status;
}

char *recipe_text(const Recipe *r) {
    Recipe copy = *r;
    FieldSet sets[2];
    recipe_sets(&copy, sets);
    return settings_write(sets, 2, 0, 0);
}

static int pin_hash(char *pinned, uint64_t hash, const char *what, char *message, size_t size) {
    char now[HASH_TEXT] = "";
    if (hash) hash_text(now, hash);
    if (*pinned && strcmp(pinned, now)) {
        snprintf(message, size, "the %s are not those of the training: hash %s, wanted is %s", what,
                 *now ? now : "none", pinned);
        return -1;
    }
    snprintf(pinned, HASH_TEXT, "%s", now);
    return 0;
}

int recipe_pin(Recipe *r, const OpenTask *task, char *message, size_t size) {
    const TaskData data = task_data(task);
    if (r->task_version && r->task_version != task->task->version + 1)
        return snprintf(message, size, "task %s makes other samples now: version %d, wanted is %lld",
                        task->task->name, task->task->version + 1, (long long)r->task_version),
               -1;
    r->task_version = task->task->version + 1;
    return pin_hash(r->prose_hash, data.prose, "texts of the haystack", message, size) ||
                   pin_hash(r->words_hash, data.words, "word lists", message, size)
               ? -1
               : 0;
}

int recipe_has_prose(const Recipe *r, const OpenTask *task) {
    char now[HASH_TEXT];
    hash_text(now, task_data(task).prose);
    return !strcmp(r->prose_hash, now);
}

void recipe_describe(char *text, size_t size) {
    size_t used = field_describe(training_fields, text, size);
    for (int i = 0; task_at(i) && used < size; i++) {
        if (!task_at(i)->fields || !task_at(i)->fields->key) continue;
        used += (size_t)snprintf(text + used, size - used, "of task %s:\n", task_at(i)->name);
        if (used < size) used += field_describe(task_at(i)->fields, text + used, size - used);
    }
}

/* A whole number from 1 to `most` that `end` follows; -1 on anything else. */
static int64_t curriculum_number(const char **text, char end, int64_t most) {
    int64_t value = 0;
    const char *c = *text;
    for (; *c >= '0' && *c <= '9'; c++) value = size_plus(size_times(value, 10), *c - '0');
    if (c == *text || (*c != end && (end != ' ' || *c)) || value < 1 || value > most) return -1;
    *text = *c ? c + 1 : c;
    return value;
}

/* Reads the next "length:steps" pair; 0 at the end, -1 on anything else. */
static int curriculum_next(const char **text, int64_t *length, int64_t *steps) {
    *text += strspn(*text, " ");
    if (!**text) return 0;
    *length = curriculum_number(text, ':', CURRICULUM_LENGTH);
    *steps = *length < 0 ? -1 : curriculum_number(text, ' ', CURRICULUM_STEPS);
    return *steps < 0 ? -1 : 1;
}

int64_t curriculum_steps(const char *text) {
    int64_t length, steps, total = 0;
    int status;
    while ((status = curriculum_next(&text, &length, &steps)) > 0) total = size_plus(total, steps);
    return status < 0 || !total || total > CURRICULUM_STEPS ? -1 : total;
}

int64_t curriculum_length(const char *text, int64_t step, int64_t steps) {
    const double scale = (double)steps / (double)curriculum_steps(text);
    int64_t length = 0, count, end = 0;
    while (curriculum_next(&text, &length, &count) > 0) {
        end += count;
        if ((double)step < (double)end * scale) break;
    }
    return length;
}

int64_t curriculum_tokens(const char *text, int64_t step, int64_t steps) {
    const double scale = (double)steps / (double)curriculum_steps(text);
    int64_t length, count, end = 0, sum = 0, at = step;
    while (curriculum_next(&text, &length, &count) > 0) {
        end += count;
        int64_t until = (int64_t)ceil((double)end * scale); /* the first step that is not of this length */
        if (until > steps || !*text) until = steps;
        if (until <= at) continue;
        sum = size_plus(sum, size_times(until - at, length));
        at = until;
    }
    return sum;
}

void curriculum_bounds(const char *text, int64_t *shortest, int64_t *longest) {
    int64_t length, steps;
    *shortest = INT64_MAX, *longest = 0;
    while (curriculum_next(&text, &length, &steps) > 0) {
        *shortest = length < *shortest ? length : *shortest;
        *longest = length > *longest ? length : *longest;
    }
}
