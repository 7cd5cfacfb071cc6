/* Configurations as JSON; apart from model/config.c so that models need no JSON library. */
#include "file/settings.h"
#include "file/input.h"
#include "base/number.h"
#include "file/json.h"
#include "model/model.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 24, MOST_SETS = 8 };

/* Keys that are no field of a table: they choose one. */
static const Field names[] = {{.key = "mixer"}, {.key = "preset"}, FIELD_END};

cJSON *settings_parse(const char *text, char *message, size_t size) {
    return json_object(text, (int64_t)strlen(text), message, size);
}

cJSON *settings_open(const char *path, char *message, size_t size) {
    char reason[256];
    int64_t length;
    char *text = input_all(path, MOST_BYTES, &length, message, size);
    if (!text) return 0;
    cJSON *object = json_object(text, length, reason, sizeof reason);
    if (!object)
        snprintf(message, size, "%s: %s", path, length ? reason : "is empty, a JSON object is wanted");
    free(text);
    return object;
}

/* The value is kept as it is given: what it means depends on the key. */
int settings_assign(cJSON *object, const char *assignment, char *message, size_t size) {
    const char *equals = strchr(assignment, '=');
    char key[64];
    if (!equals || equals == assignment || equals - assignment >= (ptrdiff_t)sizeof key) {
        snprintf(message, size, "'%.200s': KEY=VALUE is wanted", assignment);
        return -1;
    }
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (cJSON_AddRawToObject(object, key, equals + 1)) return 0;
    snprintf(message, size, "no memory for key %s", key);
    return -1;
}

const char *settings_text(const cJSON *item) {
    return cJSON_IsString(item) || cJSON_IsRaw(item) ? item->valuestring : 0;
}

/* "preset": "neurips 170m", names in turn; other keys of the object then override. */
static int presets_read(const cJSON *item, Config *c, char *message, size_t size) {
    char names[256] = "", *rest = names;
    if (!item) return 0;
    if (!settings_text(item) || strlen(settings_text(item)) >= sizeof names)
        return snprintf(message, size, "\"preset\" must be names, like \"arxiv 170m\""), -1;
    snprintf(names, sizeof names, "%s", settings_text(item));
    for (char *name; (name = strtok_r(rest, " ", &rest));)
        if (config_preset(name, c, message, size)) return -1;
    return 0;
}

static int item_set(const Field *f, void *at, const cJSON *item, char *message, size_t size) {
    const int is_text = f->kind == FIELD_TEXT || f->kind == FIELD_CHOICE;
    if (cJSON_IsRaw(item) || (cJSON_IsString(item) && is_text))
        return field_set_text(f, at, item->valuestring, message, size);
    if (!is_text)
        return field_set_number(f, at, cJSON_IsNumber(item) ? item->valuedouble : (double)NAN, message, size);
    if (f->kind == FIELD_TEXT)
        snprintf(message, size, "\"%s\" must be a text", f->key);
    else
        snprintf(message, size, "\"%s\" must be one of: %s", f->key, f->values);
    return -1;
}

static int read_items(const cJSON *object, const FieldSet *sets, int count, const SettingsSource *source,
                      char *message, size_t size) {
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        const Field *f = 0;
        int i = 0;
        if (field_find(names, item->string)) continue;
        while (i < count && !(f = field_find(sets[i].fields, item->string))) i++;
        if (f ? item_set(f, sets[i].at, item, message, size) : 0) return -1;
        if (f) continue;
        const int known = config_known(item->string) || (source->foreign && source->foreign(item->string));
        if (source->shared && known) continue;
        FieldSet all[MOST_SETS + 1] = {{"a configuration", names, 0}};
        memcpy(all + 1, sets, (size_t)count * sizeof *sets);
        field_unknown(all, count + 1, item->string, message, size);
        return -1;
    }
    return 0;
}

int settings_read(const cJSON *object, Config *c, const SettingsSource *source, char *message, size_t size) {
    FieldSet sets[MOST_SETS];
    const cJSON *mixer = cJSON_GetObjectItemCaseSensitive(object, "mixer");
    if (mixer && !settings_text(mixer)) return snprintf(message, size, "\"mixer\" must be a name"), -1;
    if (config_defaults(c, mixer ? settings_text(mixer) : DEFAULT_MIXER, message, size)) return -1;
    if (presets_read(cJSON_GetObjectItemCaseSensitive(object, "preset"), c, message, size)) return -1;
    config_sets(c, sets);
    int count = 2;
    for (int i = 0; i < source->count && count < MOST_SETS; i++) sets[count++] = source->others[i];
    return read_items(object, sets, count, source, message, size);
}

/* With as many digits as it takes to read the same number again. */
static void add_number(cJSON *object, const char *key, double value) {
    char text[64];
    for (int digits = 15; digits <= 17; digits++) {
        number_format(text, sizeof text, "%.*g", digits, value);
        if (number_parse(text, 0) == value) break;
    }
    cJSON_AddRawToObject(object, key, text);
}

static void add_field(cJSON *object, const Field *f, const void *at) {
    char text[64];
    if (f->kind == FIELD_TEXT || f->kind == FIELD_CHOICE)
        cJSON_AddStringToObject(object, f->key, field_text(f, at, text, sizeof text));
    else
        add_number(object, f->key, field_number(f, at));
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

static void item_text(const cJSON *item, char *text, size_t size) {
    char *printed = item ? cJSON_PrintUnformatted(item) : 0;
    snprintf(text, size, "%s", printed ? printed : "nothing");
    free(printed);
}

/* The first key of a whose value is another in b. */
static int first_difference(const cJSON *a, const cJSON *b, char *key, size_t size) {
    const cJSON *item;
    cJSON_ArrayForEach(item, a) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(b, item->string);
        const int numbers = cJSON_IsNumber(item) && cJSON_IsNumber(other);
        if (numbers ? item->valuedouble == other->valuedouble : cJSON_Compare(item, other, 1)) continue;
        return snprintf(key, size, "%s", item->string), 1;
    }
    return 0;
}

int settings_differ(const char *theirs, const char *ours, char *difference, size_t size) {
    char reason[128], key[64], value[2][160];
    cJSON *a = settings_parse(theirs, reason, sizeof reason),
          *b = settings_parse(ours, reason, sizeof reason);
    int differ = !a || !b;
    if (differ)
        snprintf(difference, size, "it cannot be read: %s", reason);
    else if ((differ = first_difference(b, a, key, sizeof key) || first_difference(a, b, key, sizeof key))) {
        item_text(cJSON_GetObjectItemCaseSensitive(a, key), value[0], sizeof value[0]);
        item_text(cJSON_GetObjectItemCaseSensitive(b, key), value[1], sizeof value[1]);
        snprintf(difference, size, "\"%s\" is %s there, here it is %s", key, value[0], value[1]);
    }
    cJSON_Delete(a);
    cJSON_Delete(b);
    return differ;
}
