#include "file/checkpoint.h"
#include "base/finite.h"
#include "base/number.h"
#include "base/size.h"
#include "file/safetensors.h"
#include "file/settings.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "titans.c checkpoint 1"

enum { GROUPS = 3 };
static const char *const group_prefix[GROUPS] = {"", "adamw.m.", "adamw.v."};

static SafeTensor checkpoint_tensor(const Parameter *p, int group, const float *base) {
    SafeTensor t = {
        .dims = 2, .shape = {p->rows, p->cols}, .count = p->rows * p->cols, .data = base + p->offset};
    snprintf(t.name, sizeof t.name, "%s%s", group_prefix[group], p->name);
    return t;
}

enum { NUMBERS = 8, TEXTS = 3, NUMBER_TEXT = 64 };

/* Progress and the optimizer's powers as metadata; text: where their values lie. */
static void checkpoint_numbers(const Progress *p, const Optimizer *o, SafeMetadata *metadata,
                               char text[NUMBERS][NUMBER_TEXT]) {
    static const char *const keys[NUMBERS] = {"step",   "match",    "penalised", "power1",
                                              "power2", "row_loss", "row_match", "row_steps"};
    const double numbers[NUMBERS] = {
        (double)p->step,     p->match,    (double)p->penalised, o ? o->power1 : 1.0,
        o ? o->power2 : 1.0, p->row_loss, p->row_match,         (double)p->row_steps};
    for (int i = 0; i < NUMBERS; i++) {
        const int whole = i == 0 || i == 2 || i == NUMBERS - 1;
        number_format(text[i], NUMBER_TEXT, whole ? "%.0f" : "%a", numbers[i]);
        snprintf(metadata[i].key, sizeof metadata[i].key, "%s", keys[i]);
        metadata[i].value = text[i];
    }
}

/* What no loader would take is not written: the file that is there stays. */
static int checkpoint_finite(const SafeTensor *tensors, int count, char *message, size_t size) {
    for (int i = 0; i < count; i++) {
        const int64_t at = first_not_finite(tensors[i].count, tensors[i].data);
        if (at < 0) continue;
        snprintf(message, size, "nothing is saved: tensor '%s' is not finite at %lld", tensors[i].name,
                 (long long)at);
        return -1;
    }
    return 0;
}

int checkpoint_save(const char *path, const Model *model, const Optimizer *o, const char *train,
                    const Progress *progress, char *message, size_t size) {
    const float *const base[GROUPS] = {model->weights, o ? o->m : 0, o ? o->v : 0};
    const int count = model->list.count, groups = o ? GROUPS : 1;
    SafeTensor *tensors = calloc((size_t)(count * GROUPS), sizeof *tensors);
    char *config = settings_of_model(&model->config), numbers[NUMBERS][NUMBER_TEXT];
    SafeMetadata metadata[TEXTS + NUMBERS] = {{"format", FORMAT}, {"config", config}, {"train", train}};
    int written = 0, status = -1;
    checkpoint_numbers(progress, o, metadata + TEXTS, numbers);
    for (int g = 0; tensors && g < groups; g++)
        for (int i = 0; i < count; i++)
            if (parameter_count(&model->list.items[i]) > 0)
                tensors[written++] = checkpoint_tensor(&model->list.items[i], g, base[g]);
    if (!tensors || !config)
        snprintf(message, size, "no memory to write %s", path);
    else if (!checkpoint_finite(tensors, written, message, size))
        status = safetensors_write(path, tensors, written, metadata, TEXTS + NUMBERS, message, size);
    free(tensors);
    free(config);
    return status;
}

/* Checkpoints were once written with the keys of every mixer: those of others say nothing. */
static int checkpoint_config(const SafeFile *f, Config *config, char *message, size_t size) {
    const SettingsSource source = {.shared = 1};
    const char *text = safetensors_metadata(f, "config");
    char reason[128];
    cJSON *object = text ? settings_parse(text, reason, sizeof reason) : 0;
    const int status = object ? settings_read(object, config, &source, message, size) : -1;
    if (!object) snprintf(message, size, "metadata has no readable \"config\"");
    cJSON_Delete(object);
    return status;
}

/* A number of the metadata inside [low, high]. */
static int checkpoint_number(const SafeFile *f, const char *key, double low, double high, double *value,
                             char *message, size_t size) {
    const char *text = safetensors_metadata(f, key);
    if (text && !number_read(text, low, high, value)) return 0;
    snprintf(message, size, "metadata has no readable \"%s\" from %g to %g", key, low, high);
    return -1;
}

static int checkpoint_copy(const SafeFile *f, const Model *model, int group, float *base, char *message,
                           size_t size) {
    for (int i = 0; i < model->list.count; i++) {
        if (parameter_count(&model->list.items[i]) == 0) continue;
        const SafeTensor want = checkpoint_tensor(&model->list.items[i], group, base);
        const SafeTensor *t = safetensors_find(f, want.name);
        if (!t) {
            snprintf(message, size, "tensor '%s' is missing", want.name);
            return -1;
        }
        if (t->type != SAFE_F32 || t->dims != 2 || t->shape[0] != want.shape[0] ||
            t->shape[1] != want.shape[1]) {
            snprintf(message, size, "tensor '%s' is %s %lld x %lld, the configuration wants F32 %lld x %lld",
                     want.name, safetensors_type(t->type), (long long)t->shape[0], (long long)t->shape[1],
                     (long long)want.shape[0], (long long)want.shape[1]);
            return -1;
        }
        float *values = base + model->list.items[i].offset;
        memcpy(values, t->data, (size_t)t->count * sizeof(float));
        for (int64_t j = 0; j < t->count; j++)
            if (!isfinite(values[j])) {
                snprintf(message, size, "tensor '%s' holds a value that is not finite at %lld", want.name,
                         (long long)j);
                return -1;
            }
    }
    return 0;
}

/* A damaged configuration can ask for any amount of memory; the file says how much there can be. */
static int checkpoint_weights(const SafeFile *f, const Config *config, char *message, size_t size) {
    int64_t wanted, held = 0;
    if (model_count(config, &wanted, message, size)) return -1;
    for (int i = 0; i < f->tensor_count; i++) held = size_plus(held, f->tensors[i].count);
    if (held == wanted || held == size_times(GROUPS, wanted)) return 0;
    snprintf(message, size, "%lld numbers, the configuration wants %lld, or %lld with the optimizer's",
             (long long)held, (long long)wanted, (long long)(GROUPS * wanted));
    return -1;
}

static int checkpoint_progress(const SafeFile *f, Progress *progress, double power[2], char *message,
                               size_t size) {
    double step, penalised;
    if (checkpoint_number(f, "step", 0, 1e9, &step, message, size) ||
        checkpoint_number(f, "match", 0, 1, &progress->match, message, size) ||
        checkpoint_number(f, "penalised", 0, 1, &penalised, message, size) ||
        checkpoint_number(f, "power1", 0, 1, &power[0], message, size) ||
        checkpoint_number(f, "power2", 0, 1, &power[1], message, size))
        return -1;
    /* checkpoints of before have no row that is begun */
    double steps = 0.0;
    progress->row_loss = progress->row_match = 0.0;
    if (safetensors_metadata(f, "row_steps") &&
        (checkpoint_number(f, "row_steps", 0, 1e9, &steps, message, size) ||
         checkpoint_number(f, "row_loss", -1e300, 1e300, &progress->row_loss, message, size) ||
         checkpoint_number(f, "row_match", 0, 1e9, &progress->row_match, message, size)))
        return -1;
    progress->row_steps = (int64_t)steps;
    progress->step = (int64_t)step;
    progress->penalised = (int64_t)penalised;
    return 0;
}

static int checkpoint_fill(const SafeFile *f, const Allocator *memory, Model *model, Optimizer *o,
                           Progress *progress, char *message, size_t size) {
    const char *format = safetensors_metadata(f, "format");
    Config config;
    double power[2];
    if (!format || strcmp(format, FORMAT)) {
        snprintf(message, size, "not a checkpoint of this program (format \"%s\", \"" FORMAT "\" is wanted)",
                 format ? format : "none");
        return -1;
    }
    if (checkpoint_config(f, &config, message, size) ||
        checkpoint_progress(f, progress, power, message, size))
        return -1;
    if (checkpoint_weights(f, &config, message, size) ||
        model_allocate(model, &config, memory, message, size))
        return -1;
    int wanted = 0;
    for (int i = 0; i < model->list.count; i++) wanted += parameter_count(&model->list.items[i]) > 0;
    if (f->tensor_count != wanted && f->tensor_count != GROUPS * wanted) {
        snprintf(message, size, "%d tensors, the configuration wants %d, or %d with the optimizer's",
                 f->tensor_count, wanted, GROUPS * wanted);
        return -1;
    }
    if (o && f->tensor_count == wanted) {
        snprintf(message, size, "weights only: there is no optimizer state to resume from");
        return -1;
    }
    if (checkpoint_copy(f, model, 0, model->weights, message, size)) return -1;
    if (!o) return 0;
    if (optimizer_create(o, model, message, size)) return -1;
    o->step = progress->step;
    o->power1 = power[0];
    o->power2 = power[1];
    return checkpoint_copy(f, model, 1, o->m, message, size) ||
                   checkpoint_copy(f, model, 2, o->v, message, size)
               ? -1
               : 0;
}

int checkpoint_read(const SafeFile *file, const Allocator *memory, Model *model, Optimizer *optimizer,
                    char **train, Progress *progress, char *message, size_t size) {
    Progress unused;
    *model = (Model){0};
    if (optimizer) *optimizer = (Optimizer){0};
    if (train) *train = 0;
    const char *text = safetensors_metadata(file, "train");
    int status =
        checkpoint_fill(file, memory, model, optimizer, progress ? progress : &unused, message, size);
    if (!status && train && !(*train = text ? strdup(text) : 0)) {
        snprintf(message, size, "metadata has no readable \"train\"");
        status = -1;
    }
    if (!status) return 0;
    if (model->weights) model_free(model);
    if (optimizer) optimizer_free(optimizer);
    return -1;
}

int checkpoint_load(const char *path, const Allocator *memory, Model *model, Optimizer *optimizer,
                    char **train, Progress *progress, char *message, size_t size) {
    char reason[512];
    SafeFile file;
    if (safetensors_read(&file, path, message, size)) return -1;
    const int status =
        checkpoint_read(&file, memory, model, optimizer, train, progress, reason, sizeof reason);
    safetensors_close(&file);
    if (status) snprintf(message, size, "%s: %s", path, reason);
    return status;
}
