#include "learn/trained.h"
#include "file/checkpoint.h"

#include <stdio.h>

static int trained_task(Trained *t, const char *file, const char *haystack, int64_t length, char *message,
                        size_t size) {
    if (t->model.config.vocab < t->task->vocab)
        snprintf(message, size, "%s has %lld token classes, task %s needs %lld", file,
                 (long long)t->model.config.vocab, t->task->name, (long long)t->task->vocab);
    else if (length && length < t->task->min_length)
        snprintf(message, size, "%s: task %s needs a length of at least %lld", file, t->task->name,
                 (long long)t->task->min_length);
    else
        return t->task->open(haystack ? haystack : t->train.haystack, message, size);
    return -1;
}

int trained_open(Trained *t, const char *file, const char *task, const char *haystack, int64_t length,
                 char *message, size_t size) {
    Progress progress;
    if (checkpoint_load(file, &t->model, 0, &t->train, &progress, message, size)) return -1;
    const char *name = task ? task : t->train.task;
    t->task = task_find(name);
    if (!t->task) snprintf(message, size, "%s: unknown task '%s' (titans info lists them)", file, name);
    const int status = t->task ? trained_task(t, file, haystack, length, message, size) : -1;
    if (status) model_free(&t->model);
    return status;
}

Probe *trained_probes(const Model *m, int64_t tokens, Arena *arena, int *count) {
    const int every = m->mixer->memory_every;
    const int64_t rows = tokens * m->config.heads;
    *count = every ? (int)(m->config.layers + every - 1) / every : 0;
    Probe *probes = arena_take(arena, (size_t)(*count + 1) * sizeof *probes);
    for (int i = 0; i < *count; i++)
        probes[i] =
            (Probe){i * every, arena_zeros(arena, rows), arena_zeros(arena, rows), arena_zeros(arena, rows)};
    return probes;
}

double trained_head_mean(const Model *m, const float *rows, int64_t t) {
    const int64_t heads = m->config.heads;
    double sum = 0.0;
    for (int64_t h = 0; h < heads; h++) sum += (double)rows[t * heads + h];
    return sum / (double)heads;
}
