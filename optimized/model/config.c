#include "model/config.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const Field model_fields[] = {
    INTEGER_FIELD(Config, vocab, "vocab", 0, 1 << 20, 0, "token classes; 0: what the task needs"),
    INTEGER_FIELD(Config, features, "features", 0, 1 << 16, 0,
                  "numbers of an input row; 0: the input is tokens, or what the task needs"),
    INTEGER_FIELD(Config, width, "width", 1, 1 << 16, 64, "model width D"),
    INTEGER_FIELD(Config, heads, "heads", 1, 1024, 2, "heads H; D / H is the head width"),
    INTEGER_FIELD(Config, layers, "layers", 1, 1024, 2, "blocks"),
    INTEGER_FIELD(Config, ffn, "ffn", 1, 1 << 18, 128, "hidden width of SwiGLU"),
    CHOICE_FIELD(Config, precision, "precision", "float32 bf16",
                 "of the linear maps, those of gates excepted; weights and all else are float32"),
    REAL_FIELD(Config, embedding_std, "embedding_std", 0, 10, 0.5,
               "standard deviation of the initial embedding"),
    REAL_FIELD(Config, head_std, "head_std", 0, 10, 0.02, "standard deviation of the initial head"),
    FIELD_END,
};

void config_sets(Config *c, FieldSet sets[2]) {
    sets[0] = (FieldSet){"a model", model_fields, c};
    sets[1] = (FieldSet){c->mixer->name, c->mixer->fields, c->options};
}

static const char *mixer_name(int i) { return mixer_at(i) ? mixer_at(i)->name : 0; }

int config_defaults(Config *c, const char *mixer, char *message, size_t size) {
    *c = (Config){.mixer = mixer_find(mixer)};
    if (!c->mixer) {
        word_unknown("mixer", mixer, mixer_name, message, size);
        return -1;
    }
    field_defaults(model_fields, c);
    field_defaults(c->mixer->fields, c->options);
    return 0;
}

static const Field *config_field(const Config *c, const char *key, const void **at) {
    const Field *own = field_find(model_fields, key);
    *at = own ? (const void *)c : c->options;
    return own ? own : field_find(c->mixer->fields, key);
}

int config_has(const Config *c, const char *key) {
    const void *at;
    return config_field(c, key, &at) != 0;
}

double config_number(const Config *c, const char *key) {
    const void *at;
    const Field *f = config_field(c, key, &at);
    return f ? field_number(f, at) : (double)NAN;
}

int config_set(Config *c, const char *key, const char *value, char *message, size_t size) {
    FieldSet sets[2];
    config_sets(c, sets);
    for (int i = 0; i < 2; i++) {
        const Field *f = field_find(sets[i].fields, key);
        if (f) return field_set_text(f, sets[i].at, value, message, size);
    }
    field_unknown(sets, 2, key, message, size);
    return -1;
}

/* The keys that may be asked, or "nothing". */
static void asked_keys(const Config *c, char *text, size_t size) {
    size_t used = 0;
    snprintf(text, size, "nothing");
    for (const Field *f = c->mixer->fields; f && f->key && used < size; f++)
        if (f->asked) used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", f->key);
}

int config_ask(Config *c, const char *key, const char *value, char *message, size_t size) {
    char keys[256];
    const Field *f = field_find(c->mixer->fields, key);
    if (f && f->asked) return config_set(c, key, value, message, size);
    asked_keys(c, keys, sizeof keys);
    snprintf(message, size,
             "\"%s\" is no key that a trained model of mixer %s can be asked with; there is: %s", key,
             c->mixer->name, keys);
    return -1;
}

int config_known(const char *key) {
    for (int i = 0; mixer_at(i); i++)
        if (field_find(mixer_at(i)->fields, key)) return 1;
    return field_find(model_fields, key) != 0;
}

/* What the two versions of the paper choose; blocks x width x heads of its experiments (400m has no published shape,
 * ours fills the name), SwiGLU of 8/3 the width in whole 64s, its vocabulary. */
static const struct {
    const char *name, *keys;
} presets[] = {
    {"arxiv", "activation=silu memory_layers=2 expansion=1 memory_residual=0 memory_norm=0 gates_per_layer=0 "
              "channelwise=0 chunk=64 segment=64 window=1024 persistent=16 taps=4 theta_max=0"},
    {"neurips",
     "activation=gelu memory_layers=2 expansion=4 memory_residual=1 memory_norm=1 gates_per_layer=1 "
     "channelwise=1 chunk=16 segment=512 window=2048 persistent=128 taps=4 theta_max=0"},
    {"170m", "layers=12 width=768 heads=16 ffn=2048 vocab=32000"},
    {"340m", "layers=24 width=1024 heads=16 ffn=2752 vocab=32000"},
    {"400m", "layers=28 width=1024 heads=16 ffn=2752 vocab=32000"},
    {"760m", "layers=24 width=1536 heads=16 ffn=4096 vocab=32000"},
    {"1.3b", "layers=18 width=2048 heads=8 ffn=5504 vocab=32000"},
};
enum { PRESETS = sizeof presets / sizeof *presets };

static int preset_apply(const char *keys, Config *c, char *message, size_t size) {
    char copy[512], *rest = copy, *word, *value;
    snprintf(copy, sizeof copy, "%s", keys);
    while ((word = strtok_r(rest, " ", &rest))) {
        value = strchr(word, '=');
        *value++ = 0;
        if (config_has(c, word) && config_set(c, word, value, message, size)) return -1;
    }
    return 0;
}

static const char *preset_name(int i) { return i < PRESETS ? presets[i].name : 0; }

int config_preset(const char *name, Config *c, char *message, size_t size) {
    for (int i = 0; i < PRESETS; i++)
        if (!strcmp(name, presets[i].name)) return preset_apply(presets[i].keys, c, message, size);
    word_unknown("preset", name, preset_name, message, size);
    return -1;
}

int config_settle(Config *c, char *message, size_t size) {
    /* of heads, whatever the model's is; or there are none */
    const int own_widths = config_has(c, "key_width") || c->mixer->headless;
    if (c->vocab < 1)
        snprintf(message, size, "\"vocab\" is not set");
    else if (!own_widths && c->width % c->heads)
        snprintf(message, size, "\"width\" %ld is not a multiple of \"heads\" %ld", c->width, c->heads);
    else if (!own_widths && c->width / c->heads % 2)
        snprintf(message, size, "head width %ld must be even", c->width / c->heads);
    else
        return c->mixer->settle ? c->mixer->settle(c, message, size) : 0;
    return -1;
}

void config_describe(char *text, size_t size) {
    size_t used = field_describe(model_fields, text, size);
    const char *names = "arxiv, neurips, 170m, 340m, 400m, 760m, 1.3b, in turn; other keys override";
    used += field_line("preset", names, "", text + used, size - used);
    used += field_line("mixer", "sequence mixer, one of those below", "lmm", text + used, size - used);
    for (int i = 0; mixer_at(i) && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "of %s, %s:\n", mixer_at(i)->name,
                                 mixer_at(i)->summary);
        if (used < size) used += field_describe(mixer_at(i)->fields, text + used, size - used);
    }
}
