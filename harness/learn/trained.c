#include "learn/trained.h"
#include "base/hash.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, TRAINED_REASON = 6144 /* has room for a path */ };

static int trained_fits(const Trained *t, int64_t length, char *message, size_t size) {
    const Task *task = t->recipe.task;
    const Config *c = &t->model.config;
    if (c->vocab < task->vocab || (task->metric == METRIC_SQUARED && c->vocab != task->vocab))
        snprintf(message, size, "the model has %lld token classes, task %s has %lld", (long long)c->vocab,
                 task->name, (long long)task->vocab);
    else if (c->features != task->features)
        snprintf(message, size, "the model reads rows of %lld features, task %s has %lld",
                 (long long)c->features, task->name, (long long)task->features);
    else if (length && length < task->min_length)
        snprintf(message, size, "task %s needs a length of at least %lld", task->name,
                 (long long)task->min_length);
    else
        return 0;
    return -1;
}

static int trained_task(Trained *t, const Asked *asked, int64_t length, char *message, size_t size) {
    Recipe *r = &t->recipe;
    if (asked_apply(asked, r, message, size)) return -1;
    if (trained_fits(t, length, message, size)) return -1;
    if (task_open(&t->task, r->task, r->task_options, message, size)) return -1;
    if (task_fits(&t->task, length, message, size)) return task_close(&t->task), -1;
    t->same_text = recipe_has_prose(r, &t->task);
    return 0;
}

static int trained_load(Trained *t, const char *file, char *message, size_t size) {
    char *train, reason[TRAINED_REASON];
    *t = (Trained){.recipe = {.task = 0}};
    if (checkpoint_load(file, 0, &t->model, 0, &train, &t->progress, message, size)) return -1;
    t->library = library_model(&t->model);
    t->recipe.model = t->model.config;
    const int status = recipe_restore(&t->recipe, train, reason, sizeof reason);
    free(train);
    if (!status) return 0;
    snprintf(message, size, "%s: %s", file, reason);
    trained_close(t);
    return -1;
}

int trained_open(Trained *t, const char *file, const Asked *asked, int64_t length, char *message,
                 size_t size) {
    char reason[TRAINED_REASON];
    if (trained_load(t, file, message, size)) return -1;
    if (!trained_task(t, asked, length, reason, sizeof reason)) return 0;
    snprintf(message, size, "%s: %s", file, reason);
    trained_close(t);
    return -1;
}

int trained_open_bytes(Trained *t, const char *file, char *message, size_t size) {
    if (trained_load(t, file, message, size)) return -1;
    if (t->model.config.vocab == BYTES && !t->model.config.features) return 0;
    snprintf(message, size, "%s has %lld token classes; text needs a byte-level checkpoint (%d)", file,
             (long long)t->model.config.vocab, BYTES);
    trained_close(t);
    return -1;
}

/* A length that is not given. */
static void ask_length(Config *c, const char *key, int64_t length) {
    char value[24], unused[512];
    if (!config_has(c, key) || config_number(c, key) > 0.0) return;
    snprintf(value, sizeof value, "%lld", (long long)length);
    config_set(c, key, value, unused, sizeof unused);
}

int trained_ask(Trained *t, const char *const *assignment, int count, int64_t length, char *message,
                size_t size) {
    Config c = t->recipe.model;
    int64_t shortest, longest;
    for (int i = 0; i < count; i++)
        if (asked_key(&c, assignment[i], message, size)) return -1;
    curriculum_bounds(t->recipe.curriculum, &shortest, &longest);
    if (count) ask_length(&c, "trained_length", longest);
    if (count) ask_length(&c, "asked_length", length);
    if (config_settle(&c, message, size)) return -1;
    t->model.config = c;
    return 0;
}

static void add_hash(cJSON *about, const char *key, uint64_t hash) {
    char text[HASH_TEXT];
    hash_text(text, hash);
    cJSON_AddStringToObject(about, key, text);
}

cJSON *trained_identity(const Trained *t) {
    const Recipe *r = &t->recipe;
    const TaskData data = task_data(&t->task);
    cJSON *about = cJSON_CreateObject();
    char text[64];
    cJSON_AddStringToObject(about, "task", r->task->name);
    cJSON_AddNumberToObject(about, "task version", r->task->version);
    for (const Field *f = r->task->fields; f && f->key; f++)
        if (f->kind == FIELD_INTEGER || f->kind == FIELD_REAL)
            cJSON_AddNumberToObject(about, f->key, field_number(f, r->task_options));
        else if (f->kind == FIELD_CHOICE)
            cJSON_AddStringToObject(about, f->key, field_text(f, r->task_options, text, sizeof text));
    add_hash(about, "prose", data.prose);
    add_hash(about, "word lists", data.words);
    return about;
}

void trained_close(Trained *t) {
    task_close(&t->task);
    model_free(&t->model);
}

double trained_head_mean(const Trained *t, const float *rows, int64_t row) {
    const int64_t heads = t->model.config.heads;
    double sum = 0.0;
    for (int64_t h = 0; h < heads; h++) sum += (double)rows[row * heads + h];
    return sum / (double)heads;
}
