/* A whole layer of a mixer on random numbers. */
#include "bench/peer/subject.h"
#include "bench/shared/numbers.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    Model model;
    Arena arena;
    int64_t batch;
    Tensor x;
} MixerSubject;

static Tensor *mixer_call(MixerSubject *m, Tape *tape) {
    arena_reset(&m->arena);
    return model_mixer(tape, &m->model, &m->x, m->batch);
}

static void mixer_forward(void *self) {
    MixerSubject *m = self;
    Tape tape = {&m->arena, 0, 0};
    mixer_call(m, &tape);
}

static void mixer_both(void *self) {
    MixerSubject *m = self;
    Tape tape = {&m->arena, 1, 0};
    Tensor *o = mixer_call(m, &tape);
    for (int64_t i = 0; i < o->rows * o->cols; i++) o->grad[i] = 1.0f;
    tape_backward(&tape);
}

static void mixer_close(void *self) {
    MixerSubject *m = self;
    model_free(&m->model);
    arena_free(&m->arena);
    free(m->x.data);
    free(m->x.grad);
    free(m);
}

static int configure(Config *c, char *words, char *message, size_t size) {
    char *key = 0, *value = 0, width[16], heads[16];
    if (!subject_word(&words, &key, &value)) return snprintf(message, size, "no mixer is named"), -1;
    if (config_defaults(c, key, message, size)) return -1;
    snprintf(width, sizeof width, "%d", SUBJECT_WIDTH), snprintf(heads, sizeof heads, "%d", SUBJECT_HEADS);
    c->vocab = c->layers = c->ffn = 1;
    if (config_set(c, "width", width, message, size) || config_set(c, "heads", heads, message, size))
        return -1;
    while (subject_word(&words, &key, &value))
        if (config_set(c, key, value ? value : "", message, size)) return -1;
    return 0;
}

int subject_mixer(char *words, int64_t batch, int64_t tokens, Subject *s, char *message, size_t size) {
    Config config;
    if (configure(&config, words, message, size)) return -1;
    MixerSubject *m = calloc(1, sizeof *m);
    if (!m) return snprintf(message, size, "no memory"), -1;
    *s = (Subject){.self = m, .forward = mixer_forward, .both = mixer_both, .close = mixer_close};
    const int64_t rows = batch * tokens, n = rows * config.width;
    m->batch = batch;
    m->x = (Tensor){rows, config.width, random_floats(n, 0.5), random_floats(n, 0)};
    if (model_create(&m->model, &config, 1, message, size) || model_gradients(&m->model, message, size))
        return mixer_close(m), -1;
    return 0;
}
