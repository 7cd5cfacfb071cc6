#include "file/state.h"
#include "base/hash.h"
#include "base/size.h"
#include "file/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "titans.c state 2"
enum { OWN_METADATA = 7, MOST_METADATA = 24 };

uint64_t state_weights_hash(const Model *m) {
    return hash_bytes(HASH_START, m->weights, (size_t)m->list.floats * sizeof(float));
}

static SafeTensor slot_tensor(int layer, int k, const Tensor *slot) {
    SafeTensor t = {
        .dims = 2, .shape = {slot->rows, slot->cols}, .count = slot->rows * slot->cols, .data = slot->data};
    snprintf(t.name, sizeof t.name, "layer.%d.slot.%d", layer, k);
    return t;
}

/* Of what the file says: an edited position, or a tensor of another state, does not go with the rest. */
static uint64_t contents_hash(const State *state, const SafeTensor *tensors, int count) {
    char numbers[96];
    const int n = snprintf(numbers, sizeof numbers, "%lld %lld %lld", (long long)state->position,
                           (long long)state->batch, (long long)state->capacity);
    uint64_t hash = hash_bytes(HASH_START, numbers, (size_t)n);
    for (int i = 0; i < count; i++)
        hash = hash_bytes(hash, tensors[i].data, (size_t)tensors[i].count * sizeof(float));
    return hash;
}

/* The slots that hold numbers; tensors must have room for layers * m->mixer->slots. */
static int state_tensors(const State *state, const Model *m, SafeTensor *tensors) {
    int count = 0;
    for (int layer = 0; layer < m->config.layers; layer++)
        for (int k = 0; k < m->mixer->slots; k++) {
            const Tensor *slot = state->layers[layer].slot[k];
            if (slot && slot->rows * slot->cols > 0) tensors[count++] = slot_tensor(layer, k, slot);
        }
    return count;
}

/* A state that no loader would take is not written. */
static int state_finite(const SafeTensor *tensors, int count, const State *state, char *message,
                        size_t size) {
    for (int i = 0; i < count; i++) {
        const float *values = tensors[i].data;
        for (int64_t j = 0; j < tensors[i].count; j++) {
            if (isfinite(values[j])) continue;
            snprintf(message, size, "the state is not saved: after %lld tokens %s holds %g at %lld",
                     (long long)state->position, tensors[i].name, (double)values[j], (long long)j);
            return -1;
        }
    }
    return 0;
}

int state_save(const char *path, const State *state, const Model *m, const SafeMetadata *metadata,
               int metadata_count, char *message, size_t size) {
    char text[OWN_METADATA - 2][32];
    char *config = settings_of_model(&m->config);
    SafeMetadata all[MOST_METADATA] = {{"format", FORMAT}, {"config", config}};
    static const char *const keys[] = {"position", "batch", "capacity", "weights", "contents"};
    SafeTensor *tensors = calloc((size_t)(m->config.layers * m->mixer->slots), sizeof *tensors);
    int status = -1;
    if (tensors && config && OWN_METADATA + metadata_count <= MOST_METADATA) {
        const int count = state_tensors(state, m, tensors);
        const int64_t numbers[] = {state->position, state->batch, state->capacity};
        for (int i = 0; i < 3; i++) snprintf(text[i], sizeof text[i], "%lld", (long long)numbers[i]);
        hash_text(text[3], state_weights_hash(m));
        hash_text(text[4], contents_hash(state, tensors, count));
        for (int i = 0; i < OWN_METADATA - 2; i++) {
            snprintf(all[i + 2].key, sizeof all->key, "%s", keys[i]);
            all[i + 2].value = text[i];
        }
        for (int i = 0; i < metadata_count; i++) all[OWN_METADATA + i] = metadata[i];
        status = state_finite(tensors, count, state, message, size);
        if (!status)
            status =
                safetensors_write(path, tensors, count, all, OWN_METADATA + metadata_count, message, size);
    } else
        snprintf(message, size, "no memory to write %s", path);
    free(config);
    free(tensors);
    return status;
}

int state_key_is_own(const char *key) {
    static const char *const own[] = {"format",   "config",  "position", "batch",
                                      "capacity", "weights", "contents", 0};
    for (int i = 0; own[i]; i++)
        if (!strcmp(own[i], key)) return 1;
    return 0;
}

static int state_number(const SafeFile *f, const char *key, int64_t low, int64_t *value, char *message,
                        size_t size) {
    const char *text = safetensors_metadata(f, key);
    char *end = 0;
    if (text) *value = strtoll(text, &end, 10);
    if (text && end != text && !*end && *value >= low && *value < (int64_t)1 << 48) return 0;
    snprintf(message, size, "metadata has no readable \"%s\"", key);
    return -1;
}

static int state_copy(const SafeFile *f, const SafeTensor *want, char *message, size_t size) {
    const SafeTensor *t = safetensors_find(f, want->name);
    if (!t || t->type != SAFE_F32 || t->dims != 2 || t->shape[0] != want->shape[0] ||
        t->shape[1] != want->shape[1]) {
        snprintf(message, size, "tensor '%s' is missing or not F32 %lld x %lld", want->name,
                 (long long)want->shape[0], (long long)want->shape[1]);
        return -1;
    }
    float *values = (void *)(uintptr_t)want->data;
    memcpy(values, t->data, (size_t)t->count * sizeof(float));
    for (int64_t j = 0; j < t->count; j++)
        if (!isfinite(values[j])) {
            snprintf(message, size, "tensor '%s' holds a value that is not finite at %lld", want->name,
                     (long long)j);
            return -1;
        }
    return 0;
}

/* The numbers are those that were saved. */
static int state_contents(const SafeFile *f, const State *state, const SafeTensor *tensors, int count,
                          char *message, size_t size) {
    const char *contents = safetensors_metadata(f, "contents");
    char hash[HASH_TEXT];
    hash_text(hash, contents_hash(state, tensors, count));
    if (contents && !strcmp(contents, hash)) return 0;
    snprintf(message, size, "its numbers are not those that were saved (hash %s, the file says %s)", hash,
             contents ? contents : "nothing");
    return -1;
}

static int state_fill(const SafeFile *f, State *state, const Model *m, char *message, size_t size) {
    SafeTensor *tensors = calloc((size_t)(m->config.layers * m->mixer->slots), sizeof *tensors);
    int status = 0;
    if (!tensors) return snprintf(message, size, "no memory"), -1;
    const int count = state_tensors(state, m, tensors);
    if (count != f->tensor_count) {
        snprintf(message, size, "%d tensors, the model's state has %d", f->tensor_count, count);
        status = -1;
    }
    for (int i = 0; !status && i < count; i++) status = state_copy(f, &tensors[i], message, size);
    if (!status) status = state_contents(f, state, tensors, count, message, size);
    free(tensors);
    return status;
}

/* The configuration that the state belongs to: weights alone do not say what theta_max or a window was. */
static int state_config(const SafeFile *f, const Model *m, char *message, size_t size) {
    const char *text = safetensors_metadata(f, "config");
    char *own = settings_of_model(&m->config), difference[256];
    int status = -1;
    if (!text || !own)
        snprintf(message, size, own ? "metadata has no \"config\"" : "no memory");
    else if (settings_differ(text, own, difference, sizeof difference))
        snprintf(message, size, "the state belongs to another configuration: %s", difference);
    else
        status = 0;
    free(own);
    return status;
}

int state_load(const SafeFile *f, State *state, const Model *m, char *message, size_t size) {
    const char *format = safetensors_metadata(f, "format"), *weights = safetensors_metadata(f, "weights");
    char hash[HASH_TEXT];
    int64_t position, batch, capacity;
    hash_text(hash, state_weights_hash(m));
    if (!format || strcmp(format, FORMAT))
        return snprintf(message, size,
                        "not a state of this program (format \"%s\", \"" FORMAT "\" is wanted)",
                        format ? format : "none"),
               -1;
    if (!weights || strcmp(weights, hash))
        return snprintf(message, size, "the state belongs to other weights (hash %s, the checkpoint has %s)",
                        weights ? weights : "none", hash),
               -1;
    if (state_config(f, m, message, size)) return -1;
    if (state_number(f, "position", 0, &position, message, size) ||
        state_number(f, "batch", 1, &batch, message, size) ||
        state_number(f, "capacity", 0, &capacity, message, size))
        return -1;
    /* what the file holds says how much it can ask for */
    int64_t held = 0;
    for (int i = 0; i < f->tensor_count; i++) held = size_plus(held, f->tensors[i].count);
    if (batch > 4096 || (m->mixer->uses_capacity && size_times(batch, capacity) > held))
        return snprintf(message, size,
                        "a batch of %lld and a capacity of %lld are not plausible in a file of %lld numbers",
                        (long long)batch, (long long)capacity, (long long)held),
               -1;
    state_start(state, m, batch, capacity); /* in the arena that is the caller's */
    state->position = position;
    if (!state_fill(f, state, m, message, size)) return 0;
    state_free(state);
    return -1;
}
