#include "learn/recipe.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Field training_fields[] = {
    TEXT_FIELD(Recipe, task_name, "task", "passkey", "task: a name from harness/task/"),
    INTEGER_FIELD(Recipe, seed, "seed", 0, 9007199254740992.0, 0, "seed of weights and samples"),
    INTEGER_FIELD(Recipe, batch, "batch", 1, 1 << 16, 32, "sequences per step"),
    INTEGER_FIELD(Recipe, steps, "steps", 0, 1e9, 0, "optimizer steps; 0: the sum of the curriculum"),
    INTEGER_FIELD(Recipe, save_every, "save_every", 1, 1e9, 200, "steps between checkpoints"),
    TEXT_FIELD(Recipe, curriculum, "curriculum", "64:1000", "length:steps pairs, in order"),
    TEXT_FIELD(Recipe, from, "from", "", "checkpoint to start from: its weights, and its keys of the model"),
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

int recipe_set_task(Recipe *r, const char *name, char *message, size_t size) {
    r->task = task_find(name);
    if (r->task) {
        snprintf(r->task_name, sizeof r->task_name, "%s", name);
        field_defaults(r->task->fields, r->task_options);
        return 0;
    }
    int used = snprintf(message, size, "unknown task \"%.40s\"; there are:", name);
    for (int i = 0; task_at(i) && used > 0 && (size_t)used < size; i++)
        used += snprintf(message + used, size - (size_t)used, " %s", task_at(i)->name);
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
    return recipe_set_task(r, *task ? task : "passkey", message, size);
}

int recipe_read(const cJSON *object, Recipe *r, int shared, char *message, size_t size) {
    FieldSet sets[2];
    const cJSON *task = cJSON_GetObjectItemCaseSensitive(object, "task");
    if (task && !cJSON_IsString(task)) return snprintf(message, size, "\"task\" must be a name"), -1;
    if (recipe_defaults(r, "", task ? task->valuestring : "", message, size)) return -1;
    recipe_sets(r, sets);
    const SettingsSource source = {sets, 2, shared, known};
    return settings_read(object, &r->model, &source, message, size);
}

int recipe_open(Recipe *r, const char *file, const char *const *assignment, int count, int shared,
                char *message, size_t size) {
    char reason[768];
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

void recipe_describe(char *text, size_t size) {
    size_t used = field_describe(training_fields, text, size);
    for (int i = 0; task_at(i) && used < size; i++) {
        if (!task_at(i)->fields || !task_at(i)->fields->key) continue;
        used += (size_t)snprintf(text + used, size - used, "of task %s:\n", task_at(i)->name);
        if (used < size) used += field_describe(task_at(i)->fields, text + used, size - used);
    }
}

/* Reads the next "length:steps" pair; 0 at the end, -1 on anything else. */
static int curriculum_next(const char **text, int64_t *length, int64_t *steps) {
    static const int64_t most = 1000000000;
    int used = 0;
    long long a, b;
    if (!**text) return 0;
    if (sscanf(*text, " %lld:%lld %n", &a, &b, &used) < 2 || a < 1 || b < 1 || a > most || b > most)
        return -1;
    *text += used;
    *length = a;
    *steps = b;
    return 1;
}

int64_t curriculum_steps(const char *text) {
    int64_t length, steps, total = 0;
    int status;
    while ((status = curriculum_next(&text, &length, &steps)) > 0) total += steps;
    return status < 0 || !total ? -1 : total;
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

int64_t curriculum_shortest(const char *text) {
    int64_t length, steps, least = INT64_MAX;
    while (curriculum_next(&text, &length, &steps) > 0) least = length < least ? length : least;
    return least;
}
