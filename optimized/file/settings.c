/* Configurations as JSON; apart from model/config.c so that models need no JSON library. */
#include "file/settings.h"
#include "model/model.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 24 };

cJSON *settings_parse(const char *text, char *message, size_t size) {
    cJSON *object = cJSON_Parse(text);
    if (cJSON_IsObject(object)) return object;
    snprintf(message, size, object ? "a JSON object is wanted" : "not valid JSON");
    cJSON_Delete(object);
    return 0;
}

static char *read_text(const char *path, char *message, size_t size) {
    FILE *file = fopen(path, "rb");
    size_t used = 0, room = 1 << 14;
    char *text = file ? malloc(room) : 0;
    if (!file) return snprintf(message, size, "cannot open %s: %m", path), (char *)0;
    while (text) {
        used += fread(text + used, 1, room - used - 1, file);
        if (used < room - 1 || room >= MOST_BYTES) break;
        char *larger = realloc(text, room *= 2);
        if (!larger) free(text);
        text = larger;
    }
    const int failed = ferror(file), whole = feof(file);
    fclose(file);
    if (text && !failed && whole) return text[used] = 0, text;
    snprintf(message, size, "%s: %s", path,
             !text    ? "no memory to read it"
             : failed ? "cannot be read (a folder?)"
                      : "more than 16 MiB is no configuration");
    free(text);
    return 0;
}

cJSON *settings_open(const char *path, char *message, size_t size) {
    char reason[128], *text = read_text(path, message, size);
    if (!text) return 0;
    cJSON *object = settings_parse(text, reason, sizeof reason);
    if (!object) snprintf(message, size, "%s: %s", path, reason);
    free(text);
    return object;
}

int settings_assign(cJSON *object, const char *assignment, char *message, size_t size) {
    const char *equals = strchr(assignment, '=');
    char key[64], *end;
    if (!equals || equals == assignment || equals - assignment >= (ptrdiff_t)sizeof key) {
        snprintf(message, size, "'%.80s': KEY=VALUE is wanted", assignment);
        return -1;
    }
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    const double number = strtod(equals + 1, &end);
    const int is_number = end != equals + 1 && !*end;
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (is_number ? cJSON_AddNumberToObject(object, key, number) != 0
                  : cJSON_AddStringToObject(object, key, equals + 1) != 0)
        return 0;
    snprintf(message, size, "no memory for key %s", key);
    return -1;
}

/* "preset": "neurips 170m", names in turn; other keys of the object then override. */
static int presets_read(const cJSON *item, Config *c, char *message, size_t size) {
    char names[256] = "", *rest = names;
    if (!item) return 0;
    if (!cJSON_IsString(item) || strlen(item->valuestring) >= sizeof names)
        return snprintf(message, size, "\"preset\" must be names, like \"arxiv 170m\""), -1;
    snprintf(names, sizeof names, "%s", item->valuestring);
    for (char *name; (name = strtok_r(rest, " ", &rest));)
        if (config_preset(name, c, message, size)) return -1;
    return 0;
}

static int item_set(const Field *f, void *at, const cJSON *item, char *message, size_t size) {
    if (cJSON_IsString(item) && (f->kind == FIELD_TEXT || f->kind == FIELD_CHOICE))
        return field_set_text(f, at, item->valuestring, message, size);
    /* a number given for a text, haystack=2024, is that text */
    const double value = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
    if (f->kind == FIELD_TEXT && !cJSON_IsNumber(item)) {
        snprintf(message, size, "\"%s\" must be a text", f->key);
        return -1;
    }
    if (f->kind == FIELD_CHOICE) {
        snprintf(message, size, "\"%s\" must be one of: %s", f->key, f->values);
        return -1;
    }
    return field_set_number(f, at, value, message, size);
}

static int read_items(const cJSON *object, const FieldSet *sets, int count, const SettingsSource *source,
                      char *message, size_t size) {
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        const Field *f = 0;
        int i = 0;
        if (!strcmp(item->string, "preset") || !strcmp(item->string, "mixer")) continue;
        while (i < count && !(f = field_find(sets[i].fields, item->string))) i++;
        if (f ? item_set(f, sets[i].at, item, message, size) : 0) return -1;
        if (f) continue;
        const int known = config_known(item->string) || (source->foreign && source->foreign(item->string));
        if (source->shared && known) continue;
        field_unknown(sets, count, item->string, message, size);
        return -1;
    }
    return 0;
}

int settings_read(const cJSON *object, Config *c, const SettingsSource *source, char *message, size_t size) {
    enum { MOST_SETS = 8 };
    FieldSet sets[MOST_SETS];
    const cJSON *mixer = cJSON_GetObjectItemCaseSensitive(object, "mixer");
    if (mixer && !cJSON_IsString(mixer)) return snprintf(message, size, "\"mixer\" must be a name"), -1;
    if (config_defaults(c, mixer ? mixer->valuestring : "", message, size)) return -1;
    if (presets_read(cJSON_GetObjectItemCaseSensitive(object, "preset"), c, message, size)) return -1;
    config_sets(c, sets);
    int count = 2;
    for (int i = 0; i < source->count && count < MOST_SETS; i++) sets[count++] = source->others[i];
    return read_items(object, sets, count, source, message, size);
}

static void add_field(cJSON *object, const Field *f, const void *at) {
    char text[64];
    if (f->kind == FIELD_TEXT || f->kind == FIELD_CHOICE)
        cJSON_AddStringToObject(object, f->key, field_text(f, at, text, sizeof text));
    else
        cJSON_AddNumberToObject(object, f->key, field_number(f, at));
}

char *settings_write(const FieldSet *sets, int count, const char *name, const char *value) {
    cJSON *object = cJSON_CreateObject();
    if (name) cJSON_AddStringToObject(object, name, value);
    for (int i = 0; i < count; i++)
        for (const Field *f = sets[i].fields; f && f->key; f++) add_field(object, f, sets[i].at);
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return text;
}

char *settings_of_model(const Config *c) {
    Config copy = *c;
    FieldSet sets[2];
    config_sets(&copy, sets);
    return settings_write(sets, 2, "mixer", c->mixer->name);
}
